"""Detectors compared on the same images: paired differences, tests, and what a ranking of them can say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.metrics.delong import delong
from bench.metrics.intervals import auroc_over_seeds, check_level, degrees, quantile, seed_variance
from bench.metrics.sample import Sample

Floats = NDArray[np.float64]
ALPHA = 0.05
POWER = 0.8
CHUNK = 10_000
FEW = 100
"""Units of a class below which the intervals have not been shown to hold what they promise."""


class Difference(NamedTuple):
    """A paired difference of mean AUROCs, first less second.

    Attributes:
        value: in [-1, 1].
        low: of its interval.
        high: of its interval.
        p: two-sided, of no difference.
        smallest: the smallest true difference that this comparison would find with a power of 80 % at p < 0.05.
        method: how the interval and the test were made.

    """

    value: float
    low: float
    high: float
    p: float
    smallest: float
    method: str


class Joint:
    """The AUROCs of many scores of the same images with their covariance, from which every pair is compared."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Compute them once.

        Args:
            samples: one a detector, of the same images; numbers of seeds may differ.

        Raises:
            ValueError: other images, a class with fewer than two units.

        """
        first = samples[0]
        if any(not np.array_equal(sample.labels, first.labels) for sample in samples):
            raise ValueError("a paired comparison needs the same images on both sides")
        self.samples = tuple(samples)
        scores = np.concatenate([sample.scores for sample in samples])
        self.areas, self.covariance = delong(first.labels, scores, first.clusters)
        self.starts = np.cumsum([0, *(len(sample.scores) for sample in samples)])
        self.name = "DeLong" if first.clusters is None else "Obuchowski, by patient"

    def compare(
        self, first: int, second: int, pairs: Sequence[tuple[int, int]] | None = None, level: float = 0.95
    ) -> Difference:
        """Compare two detectors, seed by seed.

        The difference of the mean AUROCs has the variance that its sampling of images gives it, and that of the seeds,
        s² / seeds of the differences of each seed. Two scores that rank all images alike do not differ, whatever the
        images. Where both variances are 0 otherwise (two perfect rankings), the interval joins those of the two
        AUROCs by square-and-add.

        Args:
            first: position of a detector.
            second: position of the other.
            pairs: positions of the seeds that belong together; None: first with first, and so on.
            level: of the interval, in (0, 1).

        Raises:
            ValueError: no pair, numbers of seeds that differ, a level outside (0, 1).

        Source: DeLong, DeLong & Clarke-Pearson 1988; Obuchowski 1997; square-and-add: Newcombe, Statistics in Medicine
        1998, "Interval estimation for the difference between independent proportions", method 10.

        """
        check_level(level)
        sizes = [len(self.samples[which].scores) for which in (first, second)]
        if pairs is None and sizes[0] != sizes[1]:
            raise ValueError(f"say which of {sizes[0]} and {sizes[1]} seeds belong together")
        pairs = [(number, number) for number in range(sizes[0])] if pairs is None else pairs
        if not pairs:
            raise ValueError("the two have no seed in common")
        one, other = np.array(pairs).T + self.starts[[first, second]][:, None]
        gaps, count = self.areas[one] - self.areas[other], len(pairs)
        rows = np.concatenate([one, other])
        contrast = np.repeat([1 / count, -1 / count], count)
        images = max(float(contrast @ self.covariance[np.ix_(rows, rows)] @ contrast), 0.0)
        seeds, value = seed_variance(gaps), float(gaps.mean())
        if images + seeds < 1e-15:
            if all(_same_ranking(self.samples[first].scores[a], self.samples[second].scores[b]) for a, b in pairs):
                return Difference(0.0, 0.0, 0.0, 1.0, 0.0, "the same ranking")
            return _square_and_add(value, self.samples[first], self.samples[second], level)
        error, free = math.sqrt(images + seeds), degrees(images, seeds, count)
        half = quantile(level, images, seeds, count) * error
        found = quantile(1 - ALPHA, images, seeds, count) + quantile(2 * POWER - 1, images, seeds, count)
        method = f"paired {self.name}{' and seed variance' if count > 1 else ''}"
        low, high = max(value - half, -1.0), min(value + half, 1.0)
        return Difference(value, low, high, _two_sided(value / error, free), error * found, method)

    def probability_of_top(self, draws: int = 100_000, seed: int = 0) -> list[float]:
        """Probability of each detector to have the highest true AUROC; shared where several are equal throughout.

        From a normal distribution around the measured mean AUROCs with their joint covariance (images and seeds).

        Args:
            draws: of the normal distribution; the error is at most 0.002 at 100,000.
            seed: decides every draw.

        """
        size = len(self.samples)
        mean, added = np.zeros((size, len(self.areas))), np.zeros(size)
        for row, (start, stop) in enumerate(pairwise(self.starts)):
            mean[row, start:stop] = 1 / (stop - start)
            added[row] = seed_variance(self.areas[start:stop])
        # eigh rather than Cholesky: the covariance of equal scores is singular, that by patient a little indefinite.
        spread, directions = np.linalg.eigh(mean @ self.covariance @ mean.T + np.diag(added))
        scaled, rng, share = (
            (directions * np.sqrt(np.maximum(spread, 0))).T,
            np.random.default_rng(seed),
            np.zeros(size),
        )
        for start in range(0, draws, CHUNK):  # hundreds of detectors would fill the memory
            drawn = mean @ self.areas + rng.standard_normal((min(CHUNK, draws - start), size)) @ scaled
            ties = drawn >= drawn.max(axis=1, keepdims=True) - 1e-7
            share += (ties / ties.sum(axis=1, keepdims=True)).sum(axis=0)
        return [float(one) / draws for one in share]


def compare(first: Sample, second: Sample, level: float = 0.95) -> Difference:
    """Compare two detectors with the same seeds; see :meth:`Joint.compare`."""
    return Joint([first, second]).compare(0, 1, level=level)


def _square_and_add(value: float, first: Sample, second: Sample, level: float) -> Difference:
    one, other = auroc_over_seeds(first, level), auroc_over_seeds(second, level)
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    width, reach = max(value - low, high - value), quantile(level, 1.0, 0.0, 1)
    p = 1.0 if value == 0 else _two_sided(abs(value) / (width / reach) if width else math.inf, math.inf)
    smallest = width / reach * (quantile(1 - ALPHA, 1.0, 0.0, 1) + quantile(2 * POWER - 1, 1.0, 0.0, 1))
    return Difference(value, max(low, -1.0), min(high, 1.0), p, smallest, "square-and-add of both intervals")


def _same_ranking(one: Floats, other: Floats) -> bool:
    return np.array_equal(np.unique(one, return_inverse=True)[1], np.unique(other, return_inverse=True)[1])


def _two_sided(ratio: float, free: float) -> float:
    from scipy.special import ndtr, stdtr

    tail = ndtr(-abs(ratio)) if math.isinf(free) else stdtr(free, -abs(ratio))
    return min(2 * float(tail), 1.0)


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p values of one family so that the chance of any false finding stays at the level that they are read at.

    Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    order = np.argsort(values, kind="stable")
    steps = np.sort(values) * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]


def ranks(size: int, differences: Sequence[tuple[int, int, float, float]]) -> list[tuple[int, int]]:
    """Rank detectors as far as their differences allow.

    A rank is a range: from one more than the detectors that are better for sure, to all but those that are worse for
    sure; 1 is best.

    Args:
        size: how many detectors there are.
        differences: of each pair (first, second) their positions, their difference, and its adjusted p.

    """
    better, worse = [0] * size, [0] * size
    for first, second, value, p in differences:
        if p < ALPHA and value != 0:
            good, bad = (first, second) if value > 0 else (second, first)
            worse[good] += 1
            better[bad] += 1
    return [(1 + up, size - down) for up, down in zip(better, worse, strict=True)]
