"""How long the leaderboard's site takes to build, on records that are drawn, not measured.

    python benchmarks/leaderboard.py [--detectors 50] [--tasks 10] [--seeds 5] [--images 1000] [--keep FOLDER]

Prints seconds of ``bench leaderboard build`` as a user runs it, plugins and imports included: all of it with nothing
kept; after one new record; and without a change. Then the bytes that the start page loads.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from bench.contracts import Role
from bench.data.manifest import Entry, Manifest, manifest_sha256
from bench.metrics import auroc_over_seeds
from bench.results.record import CostPart, DetectorPart, EnvironmentPart, MetricPart, Record, TaskPart
from bench.results.scores import sample_of, scores_table, split_scores, to_parquet
from bench.results.store import SCORES, Store

KINDS = ("CNV", "DME", "DRUSEN")


def manifest_of(task: str, images: int) -> Manifest:
    """``images`` to test on, half of them diseased, two of a patient; a tenth as many held out."""
    entries = []
    for number in range(images + images // 10 + 10):
        role: Role = "test" if number < images else "tune" if number < images + images // 10 else "fit"
        label: Literal[0, 1] = 1 if role == "test" and number % 2 else 0
        kind = KINDS[number % 3] if label else "NORMAL"
        digest = sha256(f"{task} {number}".encode()).hexdigest()[:16]
        patient = f"{'sick' if label else 'well'} {number // 4}"
        entries.append(Entry(digest, Path("nowhere"), patient, role, label, kind, None, None))
    every = tuple(sorted(entries, key=lambda entry: entry.id))
    digest = manifest_sha256(task, "1", ((e.id, e.patient, e.role, e.label, e.category, e.mask) for e in every))
    return Manifest(task, "1", "patient", "drawn", digest, every)


def task_of(manifest: Manifest) -> TaskPart:
    """What a record says of its task."""
    return TaskPart(
        name=manifest.task,
        version="1",
        edition="drawn",
        manifest_sha256=manifest.sha256,
        grouping="patient",
        synthetic=False,
        counts=manifest.counts(),
    )


def add(store: Store, manifest: Manifest, detector: int, seed: int) -> None:
    """Write a record whose scores are drawn: the higher its number, the better a detector."""
    scored = [entry for entry in manifest.entries if entry.role in ("test", "tune")]
    rng = np.random.default_rng([detector, seed, int(manifest.sha256[:8], 16)])
    labels = np.array([entry.label for entry in scored], np.float64)
    table = scores_table(scored, labels * (0.2 + detector / 25) + rng.normal(size=len(scored)))
    auroc = auroc_over_seeds(sample_of([split_scores(table)]))
    name = f"detector-{detector:02d}"
    record = Record(
        schema=1,
        cell=sha256(f"{manifest.task} {name} {seed}".encode()).hexdigest()[:16],
        status="ok",
        reason="",
        log_tail="",
        task=task_of(manifest),
        detector=DetectorPart(
            name=name,
            version="1",
            variant="default",
            config={f"field_{number}": number for number in range(12)},
            fields_set=[],
            distribution="drawn",
            distribution_version="1",
            source_digest="drawn",
            pretrained=[{"name": "weights", "source": "nowhere", "licence": None}] if detector % 4 == 0 else [],
        ),
        seed=seed,
        metrics={"auroc": MetricPart(**auroc._asdict())},
        files=[],
        cost=CostPart(fit_seconds=float(10 ** rng.uniform(-1, 3)), images_per_second=float(10 ** rng.uniform(1, 5))),
        environment=EnvironmentPart(
            python="3", platform="drawn", processor="drawn", packages={"drawn": "1"}, git_commit=None, dirty=None
        ),
    )
    store.write(record, {SCORES: to_parquet(table)})


def timed(results: Path, out: Path, cache: Path) -> str:
    """Seconds of one build, and of processor time."""
    command = [sys.executable, "-m", "bench", "leaderboard", "build", str(results), "--out", str(out)]
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, env={**os.environ, "BENCH_CACHE": str(cache)}, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return f"{wall:6.1f} s, {used:5.1f} s of processor time"


def start_page_bytes(out: Path) -> int:
    """Bytes of the start page and of all that it loads."""
    text = (out / "index.html").read_text()
    loaded = re.findall(r'(?:src|href)="(assets/[^"]+)"', text)
    return sum((out / name).stat().st_size for name in ("index.html", *loaded))


def main() -> None:
    """Draw, build, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("detectors", 50), ("tasks", 10), ("seeds", 5), ("images", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="keep records and site in this folder")
    asked = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        results, out, cache = folder / "results", folder / "site", folder / "cache"
        manifests = [manifest_of(f"drawn-{number}", asked.images) for number in range(asked.tasks)]
        store = Store(results)
        for manifest in manifests:
            store.write_manifest(manifest)
            for detector in range(asked.detectors):
                for seed in range(asked.seeds):
                    add(store, manifest, detector, seed)
        print(f"{asked.detectors} detectors x {asked.tasks} tasks x {asked.seeds} seeds, {asked.images} test images")
        print(f"first build           {timed(results, out, cache)}")
        add(store, manifests[0], asked.detectors, 0)
        print(f"after one new record  {timed(results, out, cache)}")
        print(f"without a change      {timed(results, out, cache)}")
        print(f"start page            {start_page_bytes(out) / 1000:6.1f} kB with all that it loads")


if __name__ == "__main__":
    main()
