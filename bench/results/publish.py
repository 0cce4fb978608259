"""From finished runs to published results: verified first, copied second."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from bench.contracts import MetricSpec
from bench.data.manifest import count_roles, manifest_sha256
from bench.errors import RecordError, UsageError
from bench.files import write_atomically
from bench.results.record import EDITED, Record, TaskPart, read_record
from bench.results.scores import read_table, split_scores
from bench.results.store import RECORD, SCORES, Store
from bench.run.evaluate import evaluate, evaluate_plugins

TOLERANCE = 1e-9


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


def verify_cell(folder: Path, metrics: Sequence[MetricSpec] = ()) -> tuple[Record, dict[str, bytes], bytes]:
    """Check a cell against its own files: hashes, images against the manifest, metrics recomputed.

    Args:
        folder: ``…/runs/<task>/<detector>/<cell>``.
        metrics: third-party metrics that are installed.

    Returns:
        the record, the files beside it, and its manifest.

    Raises:
        RecordError: anything that does not agree, all of it named.

    """
    folder = folder.resolve()
    record = read_record(folder / RECORD)
    manifest = _manifest(folder, record)
    if record.status != "ok":
        return record, {}, manifest
    problems, files = [], {}
    for file in record.files:
        if Path(file.path).name != file.path:
            raise RecordError(f"{folder}: the record names a file outside its folder: {file.path}")
        content = (folder / file.path).read_bytes() if (folder / file.path).is_file() else b""
        if sha256(content).hexdigest() != file.sha256:
            problems.append(f"{file.path} is missing or is not the file that the record was made with")
        files[file.path] = content
    if SCORES not in files:
        problems.append(f"the record lists no {SCORES}")
    if not problems:
        table = read_table(files[SCORES], str(folder / SCORES))
        listed = read_table(manifest, f"the manifest of {folder}")
        problems += _manifest_itself(listed, record.task) or _against_manifest(table, listed)
        problems += _against_metrics(record, table, metrics) if not problems else []
    if problems:
        raise RecordError(f"{folder} does not verify:\n  " + "\n  ".join(problems))
    return record, files, manifest


def _manifest(folder: Path, record: Record) -> bytes:
    path = folder.parents[3] / "manifests" / record.task.name / f"{record.task.manifest_sha256}.parquet"
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read the manifest of {folder.name}: {path}: {error.strerror}") from error


def _manifest_itself(listed: pd.DataFrame, task: TaskPart) -> list[str]:
    """The manifest must have the hash that stands for it, and the counts that the record states."""
    columns = ("id", "patient", "role", "label", "category", "mask")
    if missing := [name for name in columns if name not in listed.columns]:
        return [f"the manifest has no column {', '.join(missing)}"]
    plain = listed[list(columns)].astype(object)
    rows = list(plain.where(plain.notna(), None).itertuples(index=False, name=None))
    problems = []
    if manifest_sha256(task.name, task.version, rows) != task.manifest_sha256:
        problems.append("the manifest is not the one that the record was made with (its hash differs)")
    if count_roles((role, label) for _, _, role, label, _, _ in rows) != task.counts:
        problems.append("the record's counts of images are not those of its manifest")
    return problems


def _against_manifest(scores: pd.DataFrame, manifest: pd.DataFrame) -> list[str]:
    """Every tune and test image scored once, under the label that the manifest gives it."""
    wanted = manifest[manifest["role"].isin(["tune", "test"])].set_index("id").sort_index()
    given = scores.set_index("image_id").sort_index()
    if not wanted.index.equals(given.index):
        return [f"{SCORES} has {len(given)} images, the manifest {len(wanted)}, and they are not the same ones"]
    columns = ("role", "label", "category", "patient")
    return [
        f"{SCORES} and the manifest disagree on '{column}'"
        for column in columns
        if not (given[column].fillna("").astype(str) == wanted[column].fillna("").astype(str)).all()
    ]


def _against_metrics(record: Record, table: pd.DataFrame, specs: Sequence[MetricSpec]) -> list[str]:
    scores = split_scores(table)
    offered, failed = evaluate_plugins(scores, [spec for spec in specs if spec.name in record.metrics])
    computed = {**evaluate(scores), **offered}
    problems = []
    for name, stated in record.metrics.items():
        if name in failed:
            problems.append(f"metric '{name}' failed: {type(failed[name]).__name__}: {failed[name]}")
            continue
        if name not in computed:
            problems.append(f"metric '{name}' cannot be recomputed: install the plugin that offers it")
            continue
        for part in ("value", "low", "high"):
            before, now = getattr(stated, part), getattr(computed[name], part)
            if not np.isclose(before, now, rtol=0, atol=TOLERANCE):
                problems.append(f"{name}.{part} is {before!r} in the record, {now!r} from its scores")
    return problems


def check_publishable(folder: Path, metrics: Sequence[MetricSpec] = ()) -> tuple[Record, dict[str, bytes], bytes]:
    """Verify a cell, and refuse kinds of records that say nothing.

    Raises:
        RecordError: it does not verify, its task is private, it is a smoke test, or it was interrupted.

    """
    record, files, manifest = verify_cell(folder, metrics)
    if record.detector.variant.partition("+")[0] == "smoke":
        raise RecordError(f"{folder.name}: the preset 'smoke' is a check that things run, and is not published")
    if record.task.private:
        raise RecordError(f"{folder.name}: task '{record.task.name}' is private: its TOML file says publish = false")
    if record.status == "interrupted":
        raise RecordError(f"{folder.name}: it was interrupted: run it again")
    if record.detector.source_digest == EDITED:
        raise RecordError(f"{folder.name}: its detector's source was {EDITED}: run it again")
    return record, files, manifest


def publish_cell(folder: Path, target: Store, metrics: Sequence[MetricSpec] = ()) -> Record:
    """Verify a cell and copy its record, scores and manifest.

    Raises:
        RecordError: it does not verify, or it is of a kind that is not published.
        StorageError: the target cannot be written.

    """
    record, files, manifest = check_publishable(folder, metrics)
    path = target.root / "manifests" / record.task.name / f"{record.task.manifest_sha256}.parquet"
    if not path.exists():
        write_atomically(path, manifest)
    return target.write(record, files)
