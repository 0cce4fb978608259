"""How far pixel metrics of bins may lie from those of the maps themselves, bounded from the same histograms.

The edges of bins are thresholds like any other, so that curves of bins pass through points of the true curves; between
two of them the true curve rises too, in an order of pixels that is not known. Each bound is the worst of all orders.
``lesion_sensitivity_…`` has none: an edge lies directly above its threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Container

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from bench.metrics.pixel_counts import PixelCounts
from bench.metrics.pixels import FPR_LIMIT, Sums, before, decades, left_out, to_limit, totals

Floats = NDArray[np.float64]


def binning_error(counts: PixelCounts) -> dict[str, float]:
    """Bound the error of each metric that binning can change, by name.

    Raises:
        ValueError: no lesion at all, or no pixel outside lesions.

    """
    sums = totals(counts)
    return bounds(sums, left_out(sums, counts))


def bounds(sums: Sums, without: Container[str] = ()) -> dict[str, float]:
    """Bound the errors from sums (1, …) of all images; ``without`` names metrics to be left out."""
    return {name: compute(sums) for name, compute in BOUNDS.items() if name not in without}


def _auroc(sums: Sums) -> float:
    """Pairs of one bin count half, and may have been right or wrong."""
    tp, fp = sums.inside, sums.outside
    return float((_rises(tp) * _rises(fp)).sum() / (2 * tp[0, -1] * fp[0, -1]))


def _average_precision(sums: Sums) -> float:
    """At best the pixels inside masks are tied above all others of their bin; at worst they follow one by one."""
    tp, fp = sums.inside, sums.outside
    rises = _rises(tp)
    best, stated = (rises * tp / np.maximum(tp + false, 1) for false in (before(fp), fp))
    # The sum of n / (n + fp) over all n of a rise.
    worst = rises - fp * (digamma(tp + fp + 1) - digamma(before(tp) + fp + 1))
    return float(max((best - stated).sum(), (stated - worst).sum()) / tp[0, -1])


def _aupro(sums: Sums) -> float:
    """The true curve lies anywhere in the rectangle of a step; the stated one halves it, or what the limit leaves."""
    width, part, overlap = to_limit(sums)
    return float((width * _rises(overlap) * np.maximum(part / 2, 1 - part / 2)).sum() / FPR_LIMIT)


def _aupimo(sums: Sums) -> float:
    """The stated recall of a step is the least that it may be."""
    return float((_rises(sums.recall) * decades(sums)).sum() / sums.recall[0, -1])


def _dice(sums: Sums) -> float:
    """At a threshold inside a bin there are no more true positives than below it, nor fewer false ones than above."""
    tp, fp, size = sums.inside, sums.outside, sums.inside[0, -1]
    best, stated = tp / (tp + before(fp) + size), tp / (tp + fp + size)
    return float(2 * (best.max() - stated.max()))


def _rises(curve: Floats) -> Floats:
    """How much a curve (1, 4096) rises in each bin."""
    return curve - before(curve)


BOUNDS: dict[str, Callable[[Sums], float]] = {
    "pixel_auroc": _auroc,
    "pixel_average_precision": _average_precision,
    "aupro_at_30_fpr": _aupro,
    "aupimo": _aupimo,
    "oracle_best_dice": _dice,
}
