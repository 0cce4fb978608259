"""scores.parquet and manifests as files: the only truth that every metric is derived from."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.data.manifest import Entry, Manifest
from bench.errors import RecordError
from bench.metrics.sample import Sample
from bench.results.record import Record
from bench.results.store import SCORES

COLUMNS = ("image_id", "patient", "role", "category", "label", "score")
GROUPS = ("sex", "age", "view", "device")
"""What else may be known of an image; each is a column ``group_<name>`` of text where the task knows it."""
PREFIX = "group_"
AGES = (20, 40, 60, 80)


@dataclass(frozen=True)
class Scores:
    """The scores of one cell, split by role; test images in order of id.

    Attributes:
        ids: ids of the test images.
        labels: int8 (n,), 0 normal, 1 anomalous.
        scores: float64 (n,), of the test images.
        tune: float64 (m,), of the held-out normals.
        categories: of the test images, (n,).
        patients: int64 (n,), test images of one patient share a number, one without a patient has its own; None where
            no patient is known.
        tune_patients: int64 (m,), likewise of the held-out normals.
        groups: other things known of the test images: by name (n,) of text, empty where it is not known.

    """

    ids: tuple[str, ...]
    labels: NDArray[np.int8]
    scores: NDArray[np.float64]
    tune: NDArray[np.float64]
    categories: NDArray[np.str_]
    patients: NDArray[np.int64] | None
    tune_patients: NDArray[np.int64] | None
    groups: Mapping[str, NDArray[np.str_]]


def sample_of(cells: Sequence[Scores]) -> Sample:
    """Stack the seeds of one detector on one task.

    Raises:
        ValueError: fewer than two classes, or seeds that scored different images.

    """
    first = cells[0]
    if any(cell.ids != first.ids for cell in cells):
        raise ValueError("the seeds scored different images")
    scores, tune = np.stack([cell.scores for cell in cells]), np.stack([cell.tune for cell in cells])
    return Sample(first.labels, scores, tune, first.patients, first.tune_patients)


def scores_table(entries: Sequence[Entry], scores: NDArray[np.float64]) -> pd.DataFrame:
    """Join scores to the tune and test entries that they belong to, in the same order."""
    known = {name: [age_band(e.attributes.get(name, "")) if name == "age" else e.attributes.get(name) or None
                    for e in entries] for name in GROUPS}  # fmt: skip
    return pd.DataFrame(
        {
            "image_id": pd.array([entry.id for entry in entries], dtype="string"),
            "patient": pd.array([entry.patient for entry in entries], dtype="string"),
            "role": pd.array([entry.role for entry in entries], dtype="string"),
            "category": pd.array([entry.category for entry in entries], dtype="string"),
            "label": np.array([entry.label for entry in entries], np.int8),
            "score": scores.astype(np.float64),
            **{PREFIX + name: pd.array(texts, dtype="string") for name, texts in known.items() if any(texts)},
        }
    )


def age_band(age: str) -> str | None:
    """``"63"`` (or DICOM's ``"063Y"``) to ``"60–79"``: years alone tell more of a person than a subgroup needs."""
    match = re.fullmatch(r"(\d{1,3})(?:\.\d*)?[Yy]?", age.strip())
    if not match or int(match[1]) > 120:
        return None
    above = [limit for limit in AGES if int(match[1]) >= limit]
    low = above[-1] if above else 0
    return f"{low}+" if len(above) == len(AGES) else f"{low}–{AGES[len(above)] - 1}"


def split_scores(table: pd.DataFrame) -> Scores:
    """Split a scores table by role.

    Raises:
        RecordError: see :func:`check_table`.

    """
    return split_columns(check_table(table))


def split_columns(columns: Mapping[str, NDArray[Any]]) -> Scores:
    """Split by role what :func:`check_table` returns."""
    test, tune = np.flatnonzero(columns["role"] == "test"), np.flatnonzero(columns["role"] == "tune")
    test = test[np.argsort(columns["image_id"][test])]
    numbers: dict[tuple[bool, str], int] = {}
    pairs = zip(columns["patient"].tolist(), columns["image_id"].tolist(), strict=True)
    patients = np.array([numbers.setdefault((not p, p or i), len(numbers)) for p, i in pairs], np.int64)
    known = any(columns["patient"])
    return Scores(
        tuple(columns["image_id"][test].tolist()),
        columns["label"][test],
        columns["score"][test],
        columns["score"][tune],
        columns["category"][test].astype(np.str_),
        patients[test] if known else None,
        patients[tune] if known else None,
        {
            name: np.array([text or "" for text in columns[PREFIX + name][test]], np.str_)
            for name in GROUPS
            if PREFIX + name in columns
        },
    )


def check_table(table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Hold a scores table against its schema, ``results/schemas/scores.schema.json``.

    Returns:
        its columns: label int8, score float64, the others objects, text or None.

    Raises:
        RecordError: a column is missing or unknown, a role or label that does not exist, an id that occurs twice, or a
            score that is missing or not finite.

    """
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise RecordError(f"the scores have no column {', '.join(missing)}")
    if extra := sorted(set(table.columns) - {*COLUMNS, *(PREFIX + name for name in GROUPS)}):
        raise RecordError(f"the scores have columns that no schema knows: {', '.join(map(repr, extra))}")
    columns = {name: _text(table[name], name) for name in table.columns if name not in ("label", "score")}
    values = {name: set(column.tolist()) for name, column in columns.items()}
    if any(None in values[name] for name in ("image_id", "role", "category")):
        raise RecordError("the scores have an image without an id, a role or a category")
    if len(values["image_id"]) != len(table):
        twice = sorted(name for name, count in Counter(columns["image_id"].tolist()).items() if count > 1)
        raise RecordError(f"the scores name an image twice: {', '.join(twice[:5])}")
    if not values["role"] <= {"tune", "test"}:
        raise RecordError("the scores have a role other than tune and test")
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy()
    if labels.dtype.kind not in "iu" or not np.isin(labels, [0, 1]).all() or labels[columns["role"] == "tune"].any():
        raise RecordError("the scores have a label other than 0 and 1, or a held-out image that is not normal")
    if scores.dtype != np.float64:
        raise RecordError(f"the scores are {scores.dtype}, not float64")
    if bad := int((~np.isfinite(scores)).sum()):
        raise RecordError(f"the scores are not all finite: {bad} of {len(scores)} are missing, NaN or infinite")
    return {**columns, "label": labels.astype(np.int8), "score": scores}


def _text(column: pd.Series[Any], name: str) -> NDArray[Any]:
    found = column.to_numpy(object, copy=True)
    if (missing := column.isna().to_numpy()).any():
        found[missing] = None
    if wrong := [value for value in set(found.tolist()) if not isinstance(value, str | None)]:
        raise RecordError(f"the scores have a '{name}' that is not text: {wrong[0]!r}")
    return found


def read_scores(path: Path, expected_sha256: str) -> Scores:
    """Read scores.parquet.

    Raises:
        RecordError: missing, damaged, or not the file that the record was made with.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    if sha256(content).hexdigest() != expected_sha256:
        raise RecordError(f"{path} is not the file that its record was made with (its sha256 differs)")
    return split_scores(read_table(content, str(path)))


def read_table(content: bytes, what: str) -> pd.DataFrame:
    """Read a parquet file.

    Raises:
        RecordError: it is damaged; ``what`` names it.

    """
    try:
        # As pandas.read_parquet does, in half the time; without threads, which may outlive main.
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        table: pd.DataFrame = file.read(use_threads=False).to_pandas(use_threads=False)
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise RecordError(f"{what} is damaged: {str(error).splitlines()[0]}") from error
    return table


def manifest_table(manifest: Manifest) -> pd.DataFrame:
    """Return the manifest as it may be published: without paths."""
    entries = manifest.entries
    columns = ("id", "patient", "role", "category", "mask")
    table = {name: pd.array([getattr(entry, name) for entry in entries], dtype="string") for name in columns}
    return pd.DataFrame({**table, "label": np.array([entry.label for entry in entries], np.int8)})


def to_parquet(table: pd.DataFrame) -> bytes:
    """Serialise a table; the same table gives the same bytes with the same pyarrow."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def scores_of(folder: Path, record: Record) -> Scores:
    """Read the scores of a cell.

    Raises:
        RecordError: they are missing, damaged, or not those of the record.

    """
    listed = {file.path: file.sha256 for file in record.files}
    if SCORES not in listed:
        raise RecordError(f"{folder}: the record lists no {SCORES}")
    return read_scores(folder / SCORES, listed[SCORES])
