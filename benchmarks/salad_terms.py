"""What each term of SALAD's score is worth, alone and left out: from what runs have learned, nothing is trained again.

    bench run --detectors salad --tasks chest-xray,oct2017 --data DIR --seeds 3 --keep-state
    python benchmarks/salad_terms.py --tasks chest-xray,oct2017 --data DIR

Losses and pretext task are those of the default; only the terms that are multiplied change. The whole score is computed
again beside them, and must be what the run recorded. Differences as in ``salad_ablation.py``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from salad_ablation import Line, adjusted, of_edition, show

from bench import RunContext
from bench.cli.options import open_registry
from bench.cli.tasks import data_folder
from bench.data.decode import open_images, prepare_images
from bench.data.index import index_task
from bench.files import cache_folder
from bench.report.rows import Row, by_edition, make_rows
from bench.results.record import STATE, Record
from bench.results.store import Store
from bench.run.statefile import read_state
from bench.torchkit import resolve_device, resolve_precision
from salad_plugin import SALAD
from salad_plugin.config import SaladConfig, ScoreTerm
from salad_plugin.detector import SaladDetector


def main() -> None:
    """Print a table for each edition of each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", required=True, help="separated by commas")
    parser.add_argument("--data", type=Path, default=os.environ.get("BENCH_DATA"))
    parser.add_argument("--results", type=Path, default=Path("bench-runs"))
    given = parser.parse_args()
    found = list(states(given.results, given.tasks.split(",")))
    if not found:
        sys.exit(f"{given.results}: no finished run of salad {SALAD.version} on {given.tasks} with its state kept")
    terms = {folder: surprises(folder, record, given.data) for folder, record in found}
    lines: list[Line] = []
    for task, rows in by_edition(make_rows(found)):
        (base,) = rows  # make_rows tells configurations apart, and only the default was taken
        own = [terms[folder] for folder, record in sorted(found, key=lambda item: item[1].seed) if record.task == task]
        lines += of_edition(task, base, {label: rescored(base, label, own, chosen) for label, chosen in choices()})
    show(adjusted(lines), {label: {"score_terms": list(chosen)} for label, chosen in choices()})


def states(results: Path, tasks: list[str]) -> Iterator[tuple[Path, Record]]:
    """Runs of the default configuration that kept what they learned."""
    for folder, record in Store(results).records():
        detector = record.detector
        named = (detector.name, detector.version, detector.variant) == ("salad", SALAD.version, "default")
        if named and record.status == "ok" and record.task.name in tasks and (folder / STATE).exists():
            yield folder, record


def choices() -> list[tuple[str, tuple[ScoreTerm, ...]]]:
    """Each term of the default alone, and each left out."""
    every = SaladConfig().terms
    alone = [(f"only {term}", (term,)) for term in every]
    return alone + [(f"without {term}", tuple(other for other in every if other != term)) for term in every]


def surprises(folder: Path, record: Record, data: Path | None) -> dict[str, NDArray[np.float64]]:
    """−log p of each term for the run's test images, float64 (n,), in order of id."""
    config = SaladConfig.model_validate(record.detector.config)
    spec, cache = open_registry(None).task(record.task.name).spec, cache_folder()
    manifest = index_task(spec, data_folder(spec, record.task.name, data, cache), cache)
    if manifest.sha256 != record.task.manifest_sha256:
        sys.exit(f"{folder}: the run was on another edition of {record.task.name}")
    images = open_images(prepare_images(spec, manifest, config.image_size, cache).evaluate, config.channels)
    tested = [place for place, entry in enumerate(manifest.of_role("tune", "test")) if entry.role == "test"]
    device = resolve_device("auto")
    with tempfile.TemporaryDirectory() as scratch:
        run = RunContext(record.seed, device, Path(scratch), resolve_precision(device))
        detector = SaladDetector(config).load_state(read_state(folder / STATE))
        learned = detector._learned
        assert learned is not None
        measured = detector._measured(learned.networks, images, run)
    of_terms = learned.normality.surprise(measured)[tested]
    (row,) = make_rows([(folder, record)])
    if not np.allclose(of_terms.sum(axis=1), row.cells[0].scores, rtol=1e-3, atol=1e-3):
        sys.exit(f"{folder}: its state does not give the scores that it recorded")
    return dict(zip(measured, of_terms.T, strict=True))


def rescored(base: Row, label: str, of_seeds: list[dict[str, NDArray[np.float64]]], chosen: tuple[str, ...]) -> Row:
    """The row that a score of some terms gives."""
    cells = [
        replace(cell, scores=np.sum([of_seed[term] for term in chosen], axis=0))
        for cell, of_seed in zip(base.cells, of_seeds, strict=True)
    ]
    return replace(base, variant=label, cells=tuple(cells))


if __name__ == "__main__":
    main()
