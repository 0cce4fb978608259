"""Stratified bootstrap resamples of a ranking, generic and fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bench.metrics.ranking import Counts

Statistic = Callable[[Counts, Counts], NDArray[np.float64]]
Metric = Callable[[NDArray[np.int8], NDArray[np.float64]], float]

# Images drawn at a time: the arrays of one chunk stay in a processor's cache and memory stays bounded.
CHUNK = 1 << 17


def draws(
    positive: NDArray[np.bool_], resamples: int, seed: int, chunk: int = CHUNK
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw images with replacement within each class, so that every resample keeps the sizes of the classes.

    Each class has a stream of its own (PCG64), so the draws do not depend on how they are chunked.

    Args:
        positive: bool (n,), True where anomalous.
        resamples: how many in all.
        seed: decides every draw.
        chunk: images to draw at a time.

    Yields:
        for some resamples at a time, positions within the anomalous images, int64 (rows, anomalous), and within the
        normal ones, int64 (rows, normal).

    """
    anomalous = np.count_nonzero(positive)
    normal = len(positive) - anomalous
    first, second = (np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(2))
    step = max(chunk // len(positive), 1)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        yield first.integers(anomalous, size=(rows, anomalous)), second.integers(normal, size=(rows, normal))


def resampled(
    compute: Metric, positive: NDArray[np.bool_], values: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Call any metric on every resample.

    Args:
        compute: ``(labels int8 (n,), scores float64 (n,)) -> float``.
        positive: bool (n,), True where anomalous.
        values: float64 (n,).
        resamples: how many.
        seed: decides every draw.

    Returns:
        float64 (resamples,).

    """
    labels = positive.astype(np.int8)
    anomalous, normal = np.flatnonzero(positive), np.flatnonzero(~positive)
    found = []
    for hits, misses in draws(positive, resamples, seed):
        # In the images' own order: an order of classes would help a metric that breaks ties by position.
        chosen = np.sort(np.concatenate([anomalous[hits], normal[misses]], axis=1), axis=1)
        found += [float(compute(labels[one], values[one])) for one in chosen]
    return np.array(found)


def resampled_counts(
    statistic: Statistic, positive: NDArray[np.bool_], values: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Compute a statistic of true and false positives on every resample, without sorting any of them again.

    True positives change only at scores of anomalous images, so these are the only thresholds looked at: each image
    is given the first of them, from the highest down, that calls it anomalous, once; a resample is then two histograms
    of these positions and their cumulative sums.

    Args:
        statistic: ``(tp, fp) -> float64 (rows,)``, both int64 (rows, thresholds) at falling thresholds.
        positive: bool (n,), True where anomalous.
        values: float64 (k, n), k scores of the same images; a resample holds the same images for all of them.
        resamples: how many.
        seed: decides every draw.

    Returns:
        float64 (k, resamples).

    """
    places = [_places(one[positive], one[~positive]) for one in values]
    found = [
        [statistic(_cumulative(first[hits], size), _cumulative(second[misses], size)) for first, second, size in places]
        for hits, misses in draws(positive, resamples, seed)
    ]
    return np.concatenate(found, axis=1)


def _places(
    anomalous: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """For each image the first threshold, from the highest down, that calls it anomalous; and how many there are."""
    thresholds, first = np.unique(-anomalous, return_inverse=True)
    return first, np.searchsorted(thresholds, -normal), len(thresholds)


def _cumulative(places: NDArray[np.int64], size: int) -> Counts:
    """Count places (rows, images) up to each of ``size`` thresholds: int64 (rows, size)."""
    rows = len(places)
    # One bin more: normal images below every anomalous one are false positives at none of the thresholds.
    shifted = places + (np.arange(rows) * (size + 1))[:, None]
    counts = np.bincount(shifted.ravel(), minlength=rows * (size + 1)).reshape(rows, size + 1)
    return counts[:, :size].cumsum(axis=1)
