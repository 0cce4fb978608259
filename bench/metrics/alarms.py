"""How often healthy images raise an alarm at a threshold that was fixed beforehand, on held-out normals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.bootstrap import CHUNK
from bench.metrics.intervals import RESAMPLES, Interval
from bench.metrics.ranking import checked


def alarm_threshold(tune: ArrayLike, specificity: float) -> NDArray[np.float64]:
    """Return the smallest scores that at least ``specificity`` of held-out normals do not exceed.

    Args:
        tune: float64 (…, m), m ≥ 1.
        specificity: in (0, 1].

    Returns:
        (…,).

    """
    ordered = np.sort(np.asarray(tune, np.float64), axis=-1)
    place = math.ceil(specificity * ordered.shape[-1] - 1e-9) - 1
    threshold: NDArray[np.float64] = ordered[..., place]
    return threshold


def false_alarm_rate_over_seeds(
    labels: ArrayLike,
    scores: ArrayLike,
    tune: ArrayLike,
    specificity: float,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Share of normal test images above the threshold that held-out normals set; mean of the seeds.

    Where test images come from where the held-out normals do, it is close to 1 − ``specificity``; corrupted or shifted
    images show how far a threshold carries. The interval is a percentile bootstrap over both held-out and test normals,
    with the same images for all seeds.

    Args:
        labels: int8 (n,), 1 anomalous and 0 normal.
        scores: float64 (seeds, n).
        tune: float64 (seeds, m), m ≥ 1, of held-out normals.
        specificity: in (0, 1].
        level: in (0, 1).
        resamples: at least 2.
        seed: decides every draw.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a class that is missing.

    """
    positive, values = checked(labels, scores, ndim=2)
    held_out = np.asarray(tune, np.float64)
    if held_out.ndim != 2 or len(held_out) != len(values) or held_out.shape[1] == 0 or not np.isfinite(held_out).all():
        raise ValueError(f"tune has shape {held_out.shape}; expected finite values ({len(values)}, m), m ≥ 1")
    normal = values[:, ~positive]
    value = float(np.mean(normal > alarm_threshold(held_out, specificity)[:, None]))
    rng = np.random.default_rng(seed)
    found = np.empty(resamples)
    step = max(CHUNK // (held_out.size + normal.size), 1)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        one = held_out[:, rng.integers(0, held_out.shape[1], (rows, held_out.shape[1]))]
        other = normal[:, rng.integers(0, normal.shape[1], (rows, normal.shape[1]))]
        found[start : start + rows] = (other > alarm_threshold(one, specificity)[..., None]).mean(axis=(0, 2))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    if value in (0.0, 1.0):  # resamples of no alarms have none
        bound = ((1 - level) / 2) ** (1 / normal.shape[1])
        low, high = (0.0, max(1 - bound, high)) if value == 0 else (min(bound, low), 1.0)
        return Interval(value, float(low), float(high), "Clopper-Pearson on the test normals")
    method = f"percentile bootstrap over held-out and test normals, {resamples} resamples"
    return Interval(value, min(float(low), value), max(float(high), value), method)
