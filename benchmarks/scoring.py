"""What the statistics cost, each beside the usual way in one run; and bench verify on 1,000 records.

python benchmarks/scoring.py             # bootstrap and DeLong, median of 5
python benchmarks/scoring.py verify      # 1,000 records of 624 images in a folder that is removed afterwards
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from bench.data.manifest import manifest_sha256
from bench.files import write_atomically
from bench.metrics import CLOSED_FORM, IMAGE_METRICS, Sample, auroc_over_seeds, delong, values
from bench.metrics.bootstrap import resampled_auroc
from bench.report.published import write_leaderboard
from bench.results.record import FilePart, MetricPart
from bench.results.scores import sample_of, split_scores, to_parquet
from bench.results.store import SCORES, Store

IMAGES, ANOMALOUS = 17_194, 15_000


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["metrics", "verify"], default="metrics")
    if parser.parse_args().what == "metrics":
        metrics()
    else:
        verify()


def metrics() -> None:
    """2,000 bootstrap AUROCs and the covariance of 15 detectors, on as many images as BMAD's RSNA test set has."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [ANOMALOUS, IMAGES - ANOMALOUS]).astype(np.int8)
    scores = rng.normal(size=(15, IMAGES)) + labels
    patients = rng.integers(0, IMAGES // 2, IMAGES)
    one = Sample(labels, scores[:1], np.empty((1, 0)))
    clustered = Sample(labels, scores[:1], np.empty((1, 0)), patients)
    print("| what | usual way | here | times |")
    print("|---|---|---|---|")
    line("2,000 bootstrap AUROCs", lambda: loop(labels, scores[0]), lambda: resampled_auroc(one, 2000, 0), usual_runs=1)
    line("the same, by patient", None, lambda: resampled_auroc(clustered, 2000, 0))
    line("covariance of 15 detectors", lambda: midrank_way(labels, scores), lambda: delong(labels, scores))
    line("the same, by patient", None, lambda: delong(labels, scores, patients))


def line(what: str, usual: Callable[[], object] | None, own: Callable[[], object], usual_runs: int = 5) -> None:
    """Time both."""
    before = median(timed(usual) for _ in range(usual_runs)) if usual else None
    after = median(timed(own) for _ in range(5))
    shown = (f"{before:.2f} s", f"{before / after:.0f}") if before else ("–", "–")
    print(f"| {what}, {IMAGES:,} images | {shown[0]} | {after:.3f} s | {shown[1]} |", flush=True)


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def loop(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    """Resample within each class, and have scikit-learn compute each AUROC."""
    rng = np.random.default_rng(0)
    anomalous, normal = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    found = []
    for _ in range(2000):
        chosen = np.concatenate([rng.choice(anomalous, len(anomalous)), rng.choice(normal, len(normal))])
        found.append(float(roc_auc_score(labels[chosen], scores[chosen])))
    return found


def midrank_way(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Sun and Xu's algorithm as it is usually written: three rankings a detector."""
    anomalous, normal = scores[:, labels == 1], scores[:, labels == 0]
    m, n = anomalous.shape[1], normal.shape[1]
    both = np.stack([rankdata(row) for row in np.concatenate([anomalous, normal], axis=1)])
    v10 = (both[:, :m] - np.stack([rankdata(row) for row in anomalous])) / n
    v01 = 1 - (both[:, m:] - np.stack([rankdata(row) for row in normal])) / m
    covariance: np.ndarray = np.cov(v10) / m + np.cov(v01) / n
    return covariance


def verify() -> None:
    """Copy a published record 1,000 times with other scores: 10 tasks, 20 detectors, 5 seeds."""
    results = Store(Path(__file__).parents[1] / "results")
    folder, record = next(found for found in results.records() if found[1].task.name == "chest-xray")
    table = pd.read_parquet(folder / SCORES)
    manifest = pd.read_parquet(next((results.root / "manifests" / "chest-xray").iterdir()))
    plain = manifest[["id", "patient", "role", "label", "category", "mask"]].astype(object)
    rows = list(plain.where(plain.notna(), None).itertuples(index=False, name=None))
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        for number in range(1000):
            task = f"task{number // 100}"
            digest = manifest_sha256(task, record.task.version, rows)
            path = store.root / "manifests" / task / f"{digest}.parquet"
            if not path.exists():
                write_atomically(path, to_parquet(manifest))
            rng = np.random.default_rng(number)
            own = table.assign(score=rng.normal(size=len(table)) + number % 20 / 10 * table["label"])
            content = to_parquet(own)
            made = record.model_copy(
                update={
                    "cell": sha256(str(number).encode()).hexdigest()[:16],
                    "seed": number // 20 % 5,
                    "task": record.task.model_copy(update={"name": task, "manifest_sha256": digest}),
                    "detector": record.detector.model_copy(update={"name": f"d{number % 20}"}),
                    "metrics": cheap(sample_of([split_scores(own)])),
                    "files": [FilePart(path=SCORES, sha256=sha256(content).hexdigest())],
                }
            )
            store.write(made, {SCORES: content})
        write_leaderboard(store.root)
        for _ in range(3):
            started = time.perf_counter()
            command = [sys.executable, "-m", "bench", "verify", place]
            done = subprocess.run(command, capture_output=True, text=True)
            print(f"{time.perf_counter() - started:.1f} s: {done.stdout.splitlines()[-1]}", flush=True)


def cheap(sample: Sample) -> dict[str, MetricPart]:
    """Metrics whose bootstrap intervals are made up: bench verify looks at these with --deep only."""
    found = {
        name: MetricPart(value=float(of[0]), low=float(of[0]) - 1, high=float(of[0]) + 1, method="made up")
        for name, of in values(sample, IMAGE_METRICS).items()
    }
    return {**found, **{name: MetricPart(**auroc_over_seeds(sample)._asdict()) for name in CLOSED_FORM}}


if __name__ == "__main__":
    main()
