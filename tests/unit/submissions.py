"""Results that are believed, and submissions to them, for tests of what is added and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report.published import write_leaderboard
from bench.results.archive import pack
from bench.results.known import Known
from bench.results.record import Record
from bench.results.scores import read_table, split_scores, to_parquet
from bench.results.store import RECORD, SCORES, Store
from bench.results.submission import check_submission
from bench.results.submit import gather
from bench.run.evaluate import evaluate
from tests.unit.record_factory import add_record

Files = dict[str, bytes]


def published(folder: Path) -> Path:
    """Results of two detectors with two seeds each on one task, tables and checksums included."""
    store = Store(folder)
    for detector in ("toy", "other"):
        for seed in (0, 1):
            add_record(store, seed=seed, detector=detector)
    write_leaderboard(folder)
    return folder


def submitted(folder: Path, **changes: Any) -> Files:
    """Files of a submission of one record, by name, as ``bench submit`` packs them."""
    store = Store(folder)
    record = add_record(store, **{"detector": "novel", "gap": 2.0, **changes})
    return gather([store.folder_of(record)], {})


def name_of(files: Files, file: str) -> str:
    """The name of the one record.json, or of another file beside it."""
    (name,) = (name for name in files if name.endswith(f"/{RECORD}"))
    return name.replace(RECORD, file)


def edit(files: Files, /, **changes: Any) -> Files:
    """Change fields of the record: ``detector__name="x"`` changes ``detector.name``."""
    plain = json.loads(files[name_of(files, RECORD)])
    for path, value in changes.items():
        part, names = plain, path.split("__")
        for name in names[:-1]:
            part = part[name]
        part[names[-1]] = value
    return {**files, name_of(files, RECORD): json.dumps(plain).encode()}


def edit_scores(files: Files, change: Callable[[pd.DataFrame], pd.DataFrame], metrics: bool = False) -> Files:
    """Change the scores, and the record's hash of them; with ``metrics`` its metrics too, as a liar would."""
    name = name_of(files, SCORES)
    content = to_parquet(change(read_table(files[name], name)))
    return with_scores(files, content, metrics)


def with_scores(files: Files, content: bytes, metrics: bool = False) -> Files:
    """Replace the file of scores, and the record's hash of it."""
    changed = edit(files, files=[{"path": SCORES, "sha256": sha256(content).hexdigest()}])
    if metrics:
        found = evaluate(split_scores(read_table(content, "scores")))
        changed = edit(changed, metrics={metric: part.model_dump() for metric, part in found.items()})
    return {**changed, name_of(files, SCORES): content}


def reasons(files: Files, results: Path) -> tuple[str, ...]:
    """Why a submission is refused."""
    return check_submission(files, Known.of(results)).reasons


def write_archive(path: Path, files: Files) -> Path:
    """Write a submission."""
    path.write_bytes(pack(files))
    return path


def record_of(files: Files) -> Record:
    """The record of a submission of one."""
    return Record.model_validate_json(files[name_of(files, RECORD)])
