"""How often the 95 % intervals hold the truth, on binormal scores whose true metrics are known.

Run from the repository root: ``python benchmarks/interval_coverage.py [runs]``.
"""

from __future__ import annotations

import sys
from math import sqrt
from statistics import NormalDist

import numpy as np

from bench.metrics import auroc_interval, average_precision, average_precision_interval, sensitivity_interval

SIZES = ((20, 20), (50, 50), (50, 200), (200, 200))
AREAS = (0.6, 0.8, 0.95, 0.99)


def main(runs: int) -> None:
    """Print the coverage and mean width for each size and separation."""
    print(f"{runs} runs; coverage (mean width) of AUROC, AP and sensitivity at 95 % specificity")
    for anomalous, normal in SIZES:
        for area in AREAS:
            cells = coverage(anomalous, normal, area, runs)
            print(
                f"{anomalous:4} + {normal:4}  AUROC {area:.2f}   " + "   ".join(f"{c:.3f} ({w:.3f})" for c, w in cells)
            )


def coverage(anomalous: int, normal: int, area: float, runs: int) -> list[tuple[float, float]]:
    """Coverage and mean width of the three intervals."""
    standard = NormalDist()
    shift = sqrt(2) * standard.inv_cdf(area)
    random = np.random.default_rng(0)
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [anomalous, normal])
    # The average precision that an endless sample of the same prevalence would have.
    endless = np.repeat(labels, 1_000_000 // len(labels))
    precision = average_precision(endless, random.normal(size=len(endless)) + shift * endless)
    truth = np.array([area, precision, 1 - standard.cdf(standard.inv_cdf(0.95) - shift)])
    limits = np.empty((runs, 3, 2))
    for run in range(runs):
        scores = random.normal(size=len(labels)) + shift * labels
        found = (
            auroc_interval(labels, scores),
            average_precision_interval(labels, scores),
            sensitivity_interval(labels, scores, 0.95),
        )
        limits[run] = [(one.low, one.high) for one in found]
    covered = ((limits[..., 0] <= truth) & (truth <= limits[..., 1])).mean(axis=0)
    width = (limits[..., 1] - limits[..., 0]).mean(axis=0)
    return list(zip(covered.tolist(), width.tolist(), strict=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
