"""Metrics of records computed again from their scores: a newer bench has more of them, a plugin was installed later."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import MetricSpec
from bench.errors import RecordError
from bench.results.pixels import PIXELS
from bench.results.scores import read_scores, sample_of
from bench.results.store import SCORES, Store
from bench.run.evaluate import evaluate, evaluate_plugins


def rescore(store: Store, offered: Sequence[MetricSpec]) -> tuple[int, int]:
    """Replace the metrics of every finished record; those of plugins that are not installed stay as they are.

    Args:
        store: the records.
        offered: metrics of installed plugins.

    Returns:
        how many records have changed, and how many there are.

    Raises:
        RecordError: scores that are missing or are not those of their record; nothing after it was touched.
        StorageError: the folder cannot be written.

    """
    changed = count = 0
    for folder, record in store.records():
        if record.status != "ok":
            continue
        count += 1
        listed = {file.path: file.sha256 for file in record.files}
        if store.folder_of(record).resolve() != folder.resolve():  # it would be written to where its names point
            raise RecordError(f"{folder}: the record is of another task, detector or cell: run bench verify")
        if SCORES not in listed:
            raise RecordError(f"{folder}: the record lists no {SCORES}")
        if not store.has_files_of(record):
            raise RecordError(f"{folder}: its files are not those that the record was made with: run bench verify")
        scores = read_scores(folder / SCORES, listed[SCORES])
        others, _ = evaluate_plugins(sample_of([scores]), offered)
        pixels = folder / PIXELS if PIXELS in listed else None
        metrics = {**record.metrics, **evaluate(scores, pixels), **others}
        if metrics != record.metrics:
            store.replace(record.model_copy(update={"metrics": metrics}))
            changed += 1
    return changed, count
