"""Operating points that a user could have chosen: the threshold comes from held-out normals, never from test images.

An image raises an alarm when its score lies above the threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.metrics.ranking import SLACK, Counts

Floats = NDArray[np.float64]


class Operating(NamedTuple):
    """What a threshold achieves: true and false positives, and the sizes of both classes, each float64 (rows,)."""

    tp: Floats
    fp: Floats
    anomalous: Floats
    normal: Floats


def operating_point(
    scores: Floats, tune: Floats, weights: NDArray[np.int64], tp: Counts, fp: Counts, specificity: float
) -> Operating:
    """Find the threshold in resampled held-out normals, and what it achieves on resampled test images.

    Args:
        scores: float64 (n,), of test images.
        tune: float64 (m,), m ≥ 1, of held-out normals.
        weights: int64 (rows, m), how often each held-out normal was drawn.
        tp: (rows, thresholds) at every distinct score of test images, falling.
        fp: likewise.
        specificity: that the threshold promises, in (0, 1].

    """
    order = np.argsort(tune)
    below = np.cumsum(weights[:, order], axis=1)
    place = np.argmax(below >= _ranks(below[:, -1], specificity)[:, None], axis=1)
    rising = np.unique(scores)
    # Distinct scores of test images above each possible threshold.
    above = len(rising) - np.searchsorted(rising, tune[order], side="right")
    reached, rows = above[place], np.arange(len(tp))
    first = np.maximum(reached - 1, 0)
    return Operating(
        np.where(reached > 0, tp[rows, first], 0).astype(np.float64),
        np.where(reached > 0, fp[rows, first], 0).astype(np.float64),
        tp[:, -1].astype(np.float64),
        fp[:, -1].astype(np.float64),
    )


def _ranks(sizes: NDArray[np.int64], specificity: float) -> NDArray[np.int64]:
    """Which of so many scores, from the lowest up, the threshold is."""
    found: NDArray[np.int64] = np.maximum(np.ceil((specificity - SLACK) * sizes), 1).astype(np.int64)
    return found


def threshold_at(tune: Floats, specificity: float) -> float:
    """Return the lowest score that at least this share of held-out normals, float64 (m,) with m ≥ 1, do not exceed."""
    return float(np.sort(tune)[_ranks(np.array([len(tune)]), specificity)[0] - 1])


def share_below(ordered: Floats, score: float) -> float:
    """Share of held-out normals, float64 (m,) in rising order with m ≥ 1, with a lower score; ties count half."""
    return float(np.searchsorted(ordered, score, "left") + np.searchsorted(ordered, score, "right")) / (
        2 * len(ordered)
    )


def sensitivity(point: Operating) -> Floats:
    """Share of anomalous images that raise an alarm."""
    return point.tp / point.anomalous


def specificity(point: Operating) -> Floats:
    """Share of normal images that raise none."""
    return 1 - point.fp / point.normal


def false_alarm_rate(point: Operating) -> Floats:
    """Share of normal images that raise an alarm."""
    return point.fp / point.normal


def f1(point: Operating) -> Floats:
    """Harmonic mean of precision and sensitivity; depends on the prevalence of the test set."""
    return 2 * point.tp / (point.tp + point.fp + point.anomalous)
