"""From finished runs to published results: verified first, copied second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.contracts import MetricSpec
from bench.errors import RecordError, UsageError
from bench.files import write_atomically
from bench.results.record import EDITED, Record
from bench.results.store import RECORD, Store
from bench.results.verify import Verified, Verifier


def find_cells(names: Sequence[str], store: Store) -> list[Path]:
    """Turn cell ids (or the beginnings of them) and folders into the folders of cells.

    Raises:
        UsageError: a name that fits no cell, or several.

    """
    found: dict[Path, None] = {}
    for name in names:
        folder = Path(name)
        if folder.is_dir():
            inside = sorted(path.parent for path in folder.rglob(RECORD))
        else:
            inside = sorted(path.parent for path in store.root.glob(f"runs/*/*/{name}*/{RECORD}"))
            if len(inside) > 1:
                raise UsageError(f"'{name}' fits {len(inside)} cells: {', '.join(path.name for path in inside)}")
        if not inside:
            raise UsageError(f"no record '{name}': name a cell id in {store.root / 'runs'}, or a folder with records")
        found.update(dict.fromkeys(inside))
    return list(found)


def check_publishable(folder: Path, metrics: Sequence[MetricSpec] = ()) -> Verified:
    """Verify a cell, and refuse kinds of records that say nothing.

    Raises:
        RecordError: it does not verify, its task is private, it is a smoke test, or it was interrupted.

    """
    found = Verifier(metrics, deep=True).verify(folder)
    if found.problems or found.record is None:
        raise RecordError(f"{folder} does not verify:\n  " + "\n  ".join(found.problems))
    record = found.record
    if record.detector.smoke:
        raise RecordError(f"{folder.name}: the preset 'smoke' is a check that things run, and is not published")
    if record.task.private:
        raise RecordError(f"{folder.name}: task '{record.task.name}' is private: its TOML file says publish = false")
    if record.status == "interrupted":
        raise RecordError(f"{folder.name}: it was interrupted: run it again")
    if record.detector.source_digest == EDITED:
        raise RecordError(f"{folder.name}: its detector's source was {EDITED}: run it again")
    return found


def publish_cell(found: Verified, target: Store) -> Record:
    """Copy the record, scores and manifest of a cell that :func:`check_publishable` let pass.

    Raises:
        StorageError: the target cannot be written.

    """
    assert found.record is not None
    record = found.record
    path = target.root / "manifests" / record.task.name / f"{record.task.manifest_sha256}.parquet"
    if not path.exists():
        write_atomically(path, found.manifest)
    return target.write(record, found.files)
