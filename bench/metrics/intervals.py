"""Intervals: AUROC in closed form, anything else from a bootstrap.

All are two-sided at ``level``, a function of their arguments alone, and hold the value: low ≤ value ≤ high. Two sources
of variance are kept apart and added: the sampling of test images (of patients, where they are known), and the spread
of seeds, s² / seeds. The second is known to seeds − 1 degrees of freedom only, so where it counts Student's t takes the
place of the normal distribution, with the degrees of freedom of the sum (:func:`degrees`).

Where the data cannot show their own spread, no method that measures it may claim certainty:

- at exactly 0 or 1 the width is that of a Clopper-Pearson interval for as many trials as the smaller class has units;
- a class of one unit, or few patients with images of both classes whose sums cancel, say nothing of their spread, so
  the interval is the metric's whole range;
- constant scores rank nothing. Their metrics are known without any data, so the interval is the value.

``method`` says which of these was used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.delong import delong
from bench.metrics.ranking import auroc
from bench.metrics.sample import Sample

RESAMPLES = 2000
Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A value, its interval and how the interval was found."""

    value: float
    low: float
    high: float
    method: str


def auroc_interval(
    labels: ArrayLike, scores: ArrayLike, level: float = 0.95, clusters: NDArray[np.int64] | None = None
) -> Interval:
    """AUROC of one score (n,) with an interval; see :func:`auroc_over_seeds`."""
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise ValueError(f"scores must be (n,), not {values.shape}")
    return auroc_over_seeds(Sample(np.asarray(labels), values[None], np.empty((1, 0)), clusters), level)


def auroc_over_seeds(sample: Sample, level: float = 0.95) -> Interval:
    """Mean AUROC of the seeds, its interval symmetric on the logit scale, since a plain one under-covers near 1.

    The variance over images is the mean of all entries of the (seeds, seeds) covariance of DeLong (of Obuchowski where
    patients are known); that over seeds is added.

    Raises:
        ValueError: a level outside (0, 1).

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988; Obuchowski, Biometrics 1997; the logit scale: Pepe, "The
    statistical evaluation of medical tests", 2003, section 5.2.

    """
    check_level(level)
    value = float(np.mean([auroc(sample.labels, one) for one in sample.scores]))
    if known := without_spread(value, sample, level):
        return known
    areas, covariance = delong(sample.labels, sample.scores, sample.clusters)
    # Rounding, or few patients, may leave a variance that is 0 a little below it.
    images, seeds = max(float(covariance.mean()), 0.0), seed_variance(areas)
    if sample.clusters is not None and images + seeds < 1e-15:
        # Of few patients with images of both classes, the sums may cancel: no spread is seen, and none is ruled out.
        return Interval(value, 0.0, 1.0, "unknown: too few patients")
    half = quantile(level, images, seeds, len(areas)) * math.sqrt(images + seeds) / (value * (1 - value))
    centre = math.log(value / (1 - value))
    low, high = min(_expit(centre - half), value), max(_expit(centre + half), value)
    name = "DeLong" if sample.clusters is None else "Obuchowski, by patient"
    return Interval(value, low, high, f"{name}{' and seed variance' if len(areas) > 1 else ''}, logit")


def bootstrap_interval(
    points: Floats,
    resampled: Floats,
    sample: Sample,
    share: bool,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a mean over seeds, stretched to the value where the percentiles miss it.

    Both sides are stretched by the part of the variance that is due to the seeds, and cut where a share ends.

    Args:
        points: float64 (seeds,), the metric of each seed.
        resampled: float64 (resamples,), the mean over the seeds on each resample.
        sample: what they were computed from.
        share: whether the metric lies in [0, 1], so that the module's rules for 0 and 1 hold.
        level: in (0, 1).

    Raises:
        ValueError: a value that is not finite, a level outside (0, 1), fewer than 2 resamples.

    Source: Efron & Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.

    """
    check_level(level)
    if len(resampled) < 2:
        raise ValueError(f"a bootstrap needs at least 2 resamples, not {len(resampled)}")
    value = float(points.mean())
    if not (math.isfinite(value) and np.isfinite(resampled).all()):
        raise ValueError("the metric is not finite on these scores or on a resample of them")
    known = without_spread(value, sample, level) if share else None
    if known and 0 < value < 1:
        return known
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(float(low), value), max(float(high), value)
    if known:  # at 0 or 1 resamples may still differ (a threshold moves), if seldom: the wider of the two
        return known._replace(low=min(low, known.low), high=max(high, known.high))
    name = f"percentile bootstrap by {'image' if sample.clusters is None else 'patient'}, {len(resampled)} resamples"
    added, spread = seed_variance(points), float(np.var(resampled, ddof=1))
    if added == 0:
        return Interval(value, low, high, name)
    reach = quantile(level, spread, added, len(points))
    if np.ptp(resampled) < 1e-12:  # nothing to stretch
        low, high, name = value - reach * math.sqrt(added), value + reach * math.sqrt(added), "seed variance"
    else:
        factor = reach / quantile(level, 1.0, 0.0, 1) * math.sqrt((spread + added) / spread)
        low, high = value - (value - low) * factor, value + (high - value) * factor
        name += ", widened by seed variance"
    return Interval(value, max(low, 0.0), min(high, 1.0), name) if share else Interval(value, low, high, name)


def over_seeds(intervals: Sequence[Interval]) -> Interval:
    """Join the intervals of several seeds on the same images where their scores are not at hand.

    The sampling of images is taken to move all seeds alike, which is the most that it can; the seeds' own variance is
    added. One interval is returned as it is.

    Args:
        intervals: of each seed, at 95 %.

    """
    if len(intervals) == 1:
        return intervals[0]
    points = np.array([one.value for one in intervals])
    value, added = float(points.mean()), seed_variance(points)
    sides = []
    for end in ("low", "high"):
        reach = float(np.mean([abs(getattr(one, end) - one.value) for one in intervals]))
        images = (reach / quantile(0.95, 1.0, 0.0, 1)) ** 2
        sides.append(quantile(0.95, images, added, len(points)) * math.sqrt(images + added))
    return Interval(
        value,
        max(value - sides[0], 0.0),
        min(value + sides[1], 1.0),
        f"{intervals[0].method}; mean of seeds, at most",
    )


def without_spread(value: float, sample: Sample, level: float) -> Interval | None:
    """Return the interval where the data cannot show their own spread (see the module's text), else None."""
    if np.all(sample.scores == sample.scores[:, :1]):
        return Interval(value, value, value, "no ranking: constant scores")
    smaller = min(sample.sizes())
    bound = ((1 - level) / 2) ** (1 / smaller)
    if value == 1:
        return Interval(value, bound, 1.0, "Clopper-Pearson on the smaller class")
    if value == 0:
        return Interval(value, 0.0, 1 - bound, "Clopper-Pearson on the smaller class")
    if smaller == 1:
        unit = "image" if sample.clusters is None else "patient"
        return Interval(value, 0.0, 1.0, f"unknown: a class of one {unit}")
    return None


def seed_variance(points: Floats) -> float:
    """Variance of the mean of the seeds' values (seeds,), as far as the seeds are to blame; 0 for one seed."""
    return float(np.var(points, ddof=1)) / len(points) if len(points) > 1 else 0.0


def degrees(images: float, seeds: float, count: int) -> float:
    """Degrees of freedom of the sum of a variance over images and one over ``count`` seeds; infinite for one seed.

    Satterthwaite's, with the seeds' variance set to where it most likely is: a variance measured on few seeds is more
    often too small than too large, and then its small weight would make the test too sure (by simulation, see
    ``benchmarks/coverage.py``). Its median is below its mean by the factor that is taken out here.

    Source: Satterthwaite, Biometrics Bulletin 1946, equation 17.

    """
    if count < 2 or seeds == 0:
        return math.inf
    from scipy.special import chdtri

    free = count - 1
    typical = seeds * free / float(chdtri(free, 0.5))
    return free * ((images + typical) / typical) ** 2


def quantile(level: float, images: float, seeds: float, count: int) -> float:
    """Two-sided quantile for such a sum: the normal distribution's for one seed, Student's t otherwise."""
    from scipy.special import ndtri, stdtrit

    free = degrees(images, seeds, count)
    return float(ndtri((1 + level) / 2) if math.isinf(free) else stdtrit(free, (1 + level) / 2))


def check_level(level: float) -> None:
    """Raise ValueError for a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")


def _expit(x: float) -> float:
    small = math.exp(-abs(x))  # never overflows
    return 1 / (1 + small) if x >= 0 else small / (1 + small)
