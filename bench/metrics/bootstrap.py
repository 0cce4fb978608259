"""Bootstrap resamples of a sample: images, or patients where they are known, drawn anew within each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.operating import Operating, operating_point
from bench.metrics.ranking import Counts
from bench.metrics.sample import Sample

Floats = NDArray[np.float64]
Weights = NDArray[np.int64]
Statistic = Callable[[Counts, Counts], Floats]
OperatingStatistic = Callable[[Operating], Floats]
Metric = Callable[[NDArray[np.int8], Floats, Floats], float]

# Weights drawn at a time: the arrays of one chunk stay in a processor's cache and memory stays bounded.
CHUNK = 1 << 19


@dataclass(frozen=True)
class Units:
    """What is drawn: patients where known, else images.

    Attributes:
        strata: how many units there are of each kind: anomalous only, normal only, of both classes, held-out.
        test: int64 (n,), the unit of each test image; units of one kind have consecutive numbers.
        tune: int64 (m,), the unit of each held-out image, after those of test.

    """

    strata: tuple[int, ...]
    test: NDArray[np.int64]
    tune: NDArray[np.int64]


def units_of(sample: Sample) -> Units:
    """Number the units so that those of one kind lie side by side, and images (of the first seed) in falling order."""
    positive = sample.positive
    if sample.clusters is None:
        codes = np.empty(len(positive), np.int64)
        codes[np.argsort(-sample.scores[0], kind="stable")] = np.arange(len(positive))
    else:
        _, codes = np.unique(sample.clusters, return_inverse=True)
    size = int(codes.max()) + 1
    sick, healthy = (np.bincount(codes[side], minlength=size) > 0 for side in (positive, ~positive))
    kind = np.where(sick & healthy, 2, np.where(sick, 0, 1))
    number = np.empty(size, np.int64)
    number[np.argsort(kind, kind="stable")] = np.arange(size)
    held_out = np.arange(sample.tune.shape[1]) if sample.tune_clusters is None else sample.tune_clusters
    names, tune = np.unique(held_out, return_inverse=True)
    return Units((*np.bincount(kind, minlength=3).tolist(), len(names)), number[codes], tune + size)


def draw(units: Units, resamples: int, seed: int) -> Iterator[Weights]:
    """Draw units with replacement, of each kind as many as there are.

    Each kind has a stream of its own (SFC64), so the draws do not depend on how they are chunked. Of each 64 bits both
    halves are scaled to the number of units: an index is too likely or unlikely by less than 1 in 100,000 where there
    are no more than 40,000 of them.

    Yields:
        how often each unit was drawn, int64 (rows, units), for some resamples at a time.

    """
    streams = [np.random.SFC64(child) for child in np.random.SeedSequence(seed).spawn(len(units.strata))]
    # An even number of rows: no half of 64 bits is thrown away, whatever the chunk.
    step = max(CHUNK // sum(units.strata) // 2 * 2, 2)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        yield np.concatenate([_times(*pair, rows) for pair in zip(streams, units.strata, strict=True)], axis=1)


def _times(stream: np.random.SFC64, size: int, rows: int) -> Weights:
    if size == 0:
        return np.zeros((rows, 0), np.int64)
    raw = stream.random_raw((rows * size + 1) // 2).view(np.uint32)[: rows * size].astype(np.uint64)
    raw *= np.uint64(size)
    raw >>= np.uint64(32)
    drawn = raw.view(np.int64).reshape(rows, size)
    return np.stack([np.bincount(row, minlength=size) for row in drawn])


def resampled(
    sample: Sample,
    statistics: Mapping[str, Statistic],
    operating: Mapping[str, tuple[float, OperatingStatistic]],
    resamples: int,
    seed: int,
) -> dict[str, Floats]:
    """Compute many statistics on the same resamples, sorting the scores only once.

    Args:
        sample: what to resample.
        statistics: by name, functions of true and false positives (rows, thresholds).
        operating: by name, a specificity and a function of what its threshold, found on the resampled held-out
            normals, achieves on the resampled test images.
        resamples: how many.
        seed: decides every draw.

    Returns:
        the mean over the seeds of each statistic, float64 (resamples,).

    """
    units, positive = units_of(sample), sample.positive
    ladders = [_ladder(one, positive, units.test) for one in sample.scores]
    found: dict[str, list[Floats]] = {name: [] for name in (*statistics, *operating)}
    wanted = {specificity for specificity, _ in operating.values()}
    for weights in draw(units, resamples, seed):
        per_seed: dict[str, list[Floats]] = {name: [] for name in found}
        for ladder, scores, tune in zip(ladders, sample.scores, sample.tune, strict=True):
            tp, fp = ladder.count(weights)
            for name, compute in statistics.items():
                per_seed[name].append(compute(tp, fp))
            held_out = weights[:, units.tune]
            points = {one: operating_point(scores, tune, held_out, tp, fp, one) for one in wanted}
            for name, (specificity, judge) in operating.items():
                per_seed[name].append(judge(points[specificity]))
        for name, values in per_seed.items():
            found[name].append(np.mean(values, axis=0))
    return {name: np.concatenate(values) for name, values in found.items()}


@dataclass(frozen=True)
class _Ladder:
    """The images of each class in falling order of score, and how many of them each threshold reaches."""

    anomalous: NDArray[np.int64]
    normal: NDArray[np.int64]
    reach_anomalous: NDArray[np.int64]
    reach_normal: NDArray[np.int64]

    def count(self, weights: Weights) -> tuple[Counts, Counts]:
        """True and false positives (rows, thresholds) where each unit counts as often as it was drawn."""
        return (
            _below(weights, self.anomalous).take(self.reach_anomalous, axis=1),
            _below(weights, self.normal).take(self.reach_normal, axis=1),
        )

    def area(self, weights: Weights) -> Floats:
        """AUROC (rows,): of each class' sums only what the smaller class needs is looked up."""
        swap = len(self.anomalous) < len(self.normal)
        few, many = (self.anomalous, self.normal) if swap else (self.normal, self.anomalous)
        reach_few, reach_many = (self.reach_anomalous, self.reach_normal)[:: 1 if swap else -1]
        sums, own = _below(weights, many), _pick(weights, few)
        level = np.searchsorted(reach_few, np.arange(len(few)), side="right")
        above, beside = np.append(0, reach_many)[level], reach_many[level]
        # Twice the number of the many above each of the few, ties half.
        twice = np.einsum("ij,ij->i", own, sums.take(above, axis=1) + sums.take(beside, axis=1))
        share: Floats = twice / (2.0 * own.sum(axis=1) * sums[:, -1])
        return 1 - share if swap else share


def resampled_auroc(sample: Sample, resamples: int, seed: int) -> Floats:
    """AUROC alone, mean over the seeds, float64 (resamples,); :func:`resampled` at less than its cost."""
    units, positive = units_of(sample), sample.positive
    ladders = [_ladder(one, positive, units.test) for one in sample.scores]
    found = [np.mean([ladder.area(weights) for ladder in ladders], axis=0) for weights in draw(units, resamples, seed)]
    return np.concatenate(found)


def _ladder(scores: Floats, positive: NDArray[np.bool_], unit: NDArray[np.int64]) -> _Ladder:
    levels, place = np.unique(-scores, return_inverse=True)
    sides = []
    for side in (positive, ~positive):
        order = np.argsort(place[side], kind="stable")
        reach = np.searchsorted(place[side][order], np.arange(len(levels)), side="right")
        sides.append((unit[side][order], reach))
    return _Ladder(sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def _below(weights: Weights, order: NDArray[np.int64]) -> Weights:
    """Cumulative weights of images in an order, int64 (rows, images + 1), the first of them 0."""
    sums = np.zeros((len(weights), len(order) + 1), np.int64)
    np.cumsum(_pick(weights, order), axis=1, out=sums[:, 1:])
    return sums


def _pick(weights: Weights, order: NDArray[np.int64]) -> Weights:
    """Columns of weights; where they lie side by side, as they do for a single seed's images, without a copy."""
    first, last = order[0], order[-1]
    if last - first == len(order) - 1 and np.array_equal(order, np.arange(first, last + 1)):
        return weights[:, first : last + 1]
    return weights.take(order, axis=1)


def resampled_metric(compute: Metric, sample: Sample, resamples: int, seed: int) -> Floats:
    """Call any metric on every resample; mean over the seeds, float64 (resamples,).

    Args:
        compute: ``(labels int8 (n,), scores float64 (n,), tune float64 (m,)) -> float``.
        sample: what to resample.
        resamples: how many.
        seed: decides every draw; the same seed draws the same images as :func:`resampled`.

    """
    units, labels = units_of(sample), sample.labels.astype(np.int8)
    found = []
    for weights in draw(units, resamples, seed):
        for row in weights:
            # In the images' own order: an order of classes would help a metric that breaks ties by position.
            test = np.repeat(np.arange(len(labels)), row[units.test])
            tune = np.repeat(np.arange(sample.tune.shape[1]), row[units.tune])
            pairs = zip(sample.scores, sample.tune, strict=True)
            found.append(np.mean([float(compute(labels[test], one[test], two[tune])) for one, two in pairs]))
    return np.array(found)
