"""Making a submission of finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import RecordError
from bench.metrics import IMAGE_METRICS
from bench.metrics.pixels import PIXEL_METRICS
from bench.results.known import Known
from bench.results.record import Record, read_record
from bench.results.store import RECORD


def gather(folders: Sequence[Path], citations: Mapping[tuple[str, str], str]) -> dict[str, bytes]:
    """Read the files of cells as a submission has them: no state, and built-in metrics only.

    Args:
        folders: of the cells.
        citations: of installed detectors, by name and version: for records from before citations were kept.

    Returns:
        files by their name in the archive.

    Raises:
        RecordError: a record or one of its files cannot be read.

    """
    files = {}
    for folder in folders:
        record = _prepared(read_record(folder / RECORD), citations)
        place = f"runs/{record.task.name}/{record.detector.name}/{record.cell}"
        files[f"{place}/{RECORD}"] = record.to_json()
        for file in record.files:
            try:
                files[f"{place}/{file.path}"] = (folder / file.path).read_bytes()
            except OSError as error:
                raise RecordError(f"cannot read {folder / file.path}: {error.strerror}") from error
    return files


def own_side(results: Path, folders: Sequence[Path]) -> Known:
    """What a submitter without the published results can check against: the manifests of the runs themselves.

    Raises:
        RecordError: a record that cannot be read.

    """
    tasks = [(folder, read_record(folder / RECORD)) for folder in folders]
    return Known(results, (), {record.task.manifest_sha256: record.task for _, record in tasks})


def _prepared(record: Record, citations: Mapping[tuple[str, str], str]) -> Record:
    detector = record.detector
    if not detector.citation:
        citation = citations.get((detector.name, detector.version), "")
        detector = detector.model_copy(update={"citation": citation})
    known = {*IMAGE_METRICS, *PIXEL_METRICS}
    metrics = {name: metric for name, metric in record.metrics.items() if name in known}
    return record.model_copy(update={"detector": detector, "metrics": metrics})
