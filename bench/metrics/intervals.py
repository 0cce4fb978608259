"""Intervals for the metrics of one score, or of several seeds' scores averaged.

``labels`` are int8 (n,), 1 anomalous and 0 normal; ``scores`` float64 (n,), or (seeds, n) for ``…_over_seeds``. All
intervals are two-sided at ``level``, a function of their arguments alone, and hold the value: low ≤ value ≤ high.

Where the data cannot show their own spread, no method that measures it may claim certainty:

- at exactly 0 or 1 the width is that of a Clopper-Pearson interval for as many trials as the smaller class has images;
- a class of one image says nothing of its spread, so the interval is [0, 1];
- constant scores rank nothing. Their metrics are known without any data, so the interval is the value.

``method`` says which of these was used.
"""

from __future__ import annotations

import math
from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.bootstrap import Metric, Statistic, resampled, resampled_counts
from bench.metrics.delong import delong
from bench.metrics.ranking import (
    auroc,
    average_precision,
    average_precision_of_counts,
    checked,
    sensitivity_at_specificity,
    sensitivity_of_counts,
)

RESAMPLES = 2000


class Interval(NamedTuple):
    """A value, its interval and how the interval was found."""

    value: float
    low: float
    high: float
    method: str


def auroc_interval(labels: ArrayLike, scores: ArrayLike, level: float = 0.95) -> Interval:
    """AUROC with DeLong's variance, symmetric on the logit scale, since a plain interval under-covers near 1.

    Raises:
        ValueError: a level outside (0, 1); see also :func:`bench.metrics.ranking.checked`.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988; the logit scale: Pepe, "The statistical evaluation of
    medical tests", 2003, section 5.2.

    """
    _, values = checked(labels, scores)
    return auroc_over_seeds(labels, values[None], level)


def average_precision_interval(
    labels: ArrayLike, scores: ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Average precision with a stratified percentile bootstrap.

    Few images make it too narrow: on binormal scores a nominal 95 % held the truth in about 85–90 % of samples of
    20 + 20 and 50 + 50 images and in 91–95 % of those of 200 + 200 (``benchmarks/interval_coverage.py``).

    Raises:
        ValueError: see :func:`bootstrap_interval`.

    """
    _, values = checked(labels, scores)
    return average_precision_over_seeds(labels, values[None], level, resamples, seed)


def sensitivity_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    specificity: float,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Sensitivity at a specificity, its threshold found anew in each resample of a stratified percentile bootstrap.

    Raises:
        ValueError: a specificity outside [0, 1]; see also :func:`bootstrap_interval`.

    """
    _, values = checked(labels, scores)
    return sensitivity_over_seeds(labels, values[None], specificity, level, resamples, seed)


def bootstrap_interval(
    compute: Metric,
    labels: ArrayLike,
    scores: ArrayLike,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Any metric with a stratified percentile bootstrap, stretched to the value where the percentiles miss it.

    Nothing is known of the metric's range, so a metric that no resample changes gets an interval of width 0.

    Args:
        compute: ``(labels int8 (n,), scores float64 (n,)) -> float``, called ``resamples + 1`` times.
        labels: (n,).
        scores: (n,).
        level: in (0, 1).
        resamples: at least 2.
        seed: decides every draw.

    Raises:
        ValueError: a metric that is not finite, a level outside (0, 1), fewer than 2 resamples; see also
            :func:`bench.metrics.ranking.checked`.

    Source: Efron & Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.

    """
    positive, values = checked(labels, scores)
    _check(level, resamples)
    value = float(compute(positive.astype(np.int8), values))
    found = resampled(compute, positive, values, resamples, seed)
    if not (math.isfinite(value) and np.isfinite(found).all()):
        raise ValueError("the metric is not finite on these scores or on a resample of them")
    low, high = _percentiles(value, found, level)
    return Interval(value, low, high, _bootstrap_name(resamples))


def auroc_over_seeds(labels: ArrayLike, scores: ArrayLike, level: float = 0.95) -> Interval:
    """Mean AUROC of the seeds, with the variance of that mean over images and over seeds, on the logit scale.

    The variance over images is the mean of all entries of DeLong's (seeds, seeds) covariance; that over seeds is
    added as s² / seeds, s² being the sample variance of the AUROCs (0 for one seed).

    Raises:
        ValueError: a level outside (0, 1); see also :func:`bench.metrics.ranking.checked`.

    """
    positive, values = checked(labels, scores, ndim=2)
    _check(level)
    value = float(np.mean([auroc(labels, one) for one in values]))
    if known := _without_spread(value, positive, values, level):
        return known
    areas, covariance = delong(labels, values)
    # Rounding may leave a variance that is 0 a little below it.
    deviation = math.sqrt(max(float(covariance.mean()), 0.0) + _seed_variance(areas))
    half = _z(level) * deviation / (value * (1 - value))
    centre = math.log(value / (1 - value))
    low, high = min(_expit(centre - half), value), max(_expit(centre + half), value)
    return Interval(value, low, high, "DeLong, logit" if len(values) == 1 else "DeLong and seed variance, logit")


def average_precision_over_seeds(
    labels: ArrayLike, scores: ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean average precision of the seeds; the interval and what it raises: see :func:`sensitivity_over_seeds`."""
    _, values = checked(labels, scores, ndim=2)
    points = np.array([average_precision(labels, one) for one in values])
    return _bootstrap_over_seeds(average_precision_of_counts, points, labels, values, level, resamples, seed)


def sensitivity_over_seeds(
    labels: ArrayLike,
    scores: ArrayLike,
    specificity: float,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean sensitivity of the seeds at a specificity, with a bootstrap over images widened by the variance over seeds.

    Each resample takes the same images for all seeds and averages over the seeds. Both sides of the percentile
    interval are then stretched by sqrt((v + s² / seeds) / v), v being the variance of the resampled means and s² the
    sample variance of the seeds' values (0 for one seed), and cut at 0 and 1.

    Raises:
        ValueError: a specificity or level outside its range, fewer than 2 resamples; see also
            :func:`bench.metrics.ranking.checked`.

    """
    positive, values = checked(labels, scores, ndim=2)
    points = np.array([sensitivity_at_specificity(labels, one, specificity) for one in values])
    statistic = partial(sensitivity_of_counts, normal=int(np.count_nonzero(~positive)), specificity=specificity)
    return _bootstrap_over_seeds(statistic, points, labels, values, level, resamples, seed)


def _bootstrap_over_seeds(
    statistic: Statistic,
    points: NDArray[np.float64],
    labels: ArrayLike,
    values: NDArray[np.float64],
    level: float,
    resamples: int,
    seed: int,
) -> Interval:
    positive, _ = checked(labels, values, ndim=2)
    _check(level, resamples)
    value = float(points.mean())
    known = _without_spread(value, positive, values, level)
    if known and 0 < value < 1:
        return known
    means = resampled_counts(statistic, positive, values, resamples, seed).mean(axis=0)
    low, high = _percentiles(value, means, level)
    if known:  # at 0 or 1 resamples may still differ (a threshold moves), if seldom: the wider of the two
        return known._replace(low=min(low, known.low), high=max(high, known.high))
    name = _bootstrap_name(resamples)
    added = _seed_variance(points)
    if len(points) == 1:
        return Interval(value, low, high, name)
    spread = float(np.var(means, ddof=1))
    if np.ptp(means) < 1e-12:  # nothing to stretch
        half = _z(level) * math.sqrt(added)
        return Interval(value, max(value - half, 0.0), min(value + half, 1.0), "seed variance, normal")
    factor = math.sqrt((spread + added) / spread)
    low, high = value - (value - low) * factor, value + (high - value) * factor
    return Interval(value, max(low, 0.0), min(high, 1.0), f"{name}, widened by seed variance")


def _without_spread(
    value: float, positive: NDArray[np.bool_], values: NDArray[np.float64], level: float
) -> Interval | None:
    """Return the interval where the data cannot show their own spread (see the module's text), else None."""
    if np.all(values == values[:, :1]):
        return Interval(value, value, value, "no ranking: constant scores")
    smaller = min(np.count_nonzero(positive), np.count_nonzero(~positive))
    bound = ((1 - level) / 2) ** (1 / smaller)
    if value == 1:
        return Interval(value, bound, 1.0, "Clopper-Pearson on the smaller class")
    if value == 0:
        return Interval(value, 0.0, 1 - bound, "Clopper-Pearson on the smaller class")
    if smaller == 1:
        return Interval(value, 0.0, 1.0, "unknown: a class of one image")
    return None


def _percentiles(value: float, found: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), value), max(float(high), value)


def _seed_variance(points: NDArray[np.float64]) -> float:
    """Variance of the mean of the seeds' values (seeds,), as far as the seeds are to blame; 0 for one seed."""
    return float(np.var(points, ddof=1)) / len(points) if len(points) > 1 else 0.0


def _check(level: float, resamples: int = RESAMPLES) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    if resamples < 2:
        raise ValueError(f"a bootstrap needs at least 2 resamples, not {resamples}")


def _bootstrap_name(resamples: int) -> str:
    return f"stratified percentile bootstrap, {resamples} resamples"


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _expit(x: float) -> float:
    small = math.exp(-abs(x))  # never overflows
    return 1 / (1 + small) if x >= 0 else small / (1 + small)
