"""Pixel metrics with intervals: a percentile bootstrap over images (patients, where they are known).

Pixels of one image are no independent observations, so images are drawn and not pixels. All metrics come from the same
draws, and each draw is a weighted sum of the images' histograms. As in :mod:`bench.metrics.intervals`, data that cannot
show their own spread claim no certainty: at 0 or 1 the width is that of a Clopper-Pearson interval, and where only one
image (or patient) has lesions, the interval is [0, 1].
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.bootstrap import Units, draw
from bench.metrics.intervals import RESAMPLES, Interval
from bench.metrics.pixel_bounds import bounds
from bench.metrics.pixel_counts import PixelCounts
from bench.metrics.pixels import (
    LESIONS,
    SENSITIVITIES,
    add_up,
    left_out,
    lesion_sizes,
    statistics,
    totals,
    tune_threshold,
)

Floats = NDArray[np.float64]
Clusters = NDArray[np.int64]

ROWS = 256
"""Resamples at a time: their sums take about 40 MB."""
CLOSE = 1e-9


def pixel_metrics(
    counts: PixelCounts,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    tune_clusters: Clusters | None = None,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Compute every pixel metric that these images can give, with intervals; the same on every call.

    Images with lesions, normal images and others are drawn separately, as many of each as there are. Tune images are
    drawn as well, since they set the threshold of ``lesion_sensitivity_…``. Each ``method`` states the bound of the
    error that binning adds (:mod:`bench.metrics.pixel_bounds`), or how many lesions were found.

    Args:
        counts: of one cell.
        clusters: int64 (n,), equal for test images of one patient; None: every image by itself.
        resamples: at least 2.
        tune_clusters: the same for tune images, (m,).
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: no lesion at all, or no pixel outside lesions; fewer than 2 resamples.

    """
    if resamples < 2:
        raise ValueError(f"a bootstrap needs at least 2 resamples, not {resamples}")
    sums = totals(counts)
    without = left_out(sums, counts)
    points = {name: float(found[0]) for name, found in statistics(sums, without).items()}
    errors = {
        name: f"{counts.edges.size - 1:,} bins, error ≤ {_up(bound)}" for name, bound in bounds(sums, without).items()
    }
    for place, name in enumerate(SENSITIVITIES):
        errors[name] = f"{sums.found[0, place]:.0f} of {sums.lesions[0, place]:.0f} lesions"
    groups = _Groups.of(counts, clusters, tune_clusters)
    drawn = _resampled(counts, groups, resamples, without)
    word = "image" if clusters is None else "patient"
    return {
        name: _interval(value, drawn[name], groups.number_behind(name), word, errors[name], level)
        for name, value in points.items()
    }


@dataclass(frozen=True)
class _Groups:
    """Who is drawn, and how many units (images or patients) there are behind each kind of metric.

    Attributes:
        units: images with lesions and without are of different kinds.
        normal: units with normal images.
        sized: units with lesions of any size, small, medium and large.

    """

    units: Units
    normal: int
    sized: tuple[int, ...]

    @classmethod
    def of(cls, counts: PixelCounts, clusters: Clusters | None, tune_clusters: Clusters | None) -> _Groups:
        names, codes = _codes(clusters, len(counts.labels))
        _, tune = _codes(tune_clusters, len(counts.tune_tops))
        has = [np.bincount(codes, of_images, names) > 0 for of_images in (*_has_lesions(counts).T, counts.labels == 0)]
        others = np.bincount(codes, ~_has_lesions(counts)[:, 0] & (counts.labels == 1), names) > 0
        kind = has[0] + 2 * has[-1] + 4 * others
        number = np.empty(names, np.int64)
        number[np.argsort(kind, kind="stable")] = np.arange(names)
        strata = (*np.bincount(kind, minlength=8).tolist(), int(tune.max(initial=-1)) + 1)
        sized = tuple(int(np.count_nonzero(one)) for one in has[:-1])
        return cls(Units(strata, number[codes], tune + names), int(np.count_nonzero(has[-1])), sized)

    def number_behind(self, metric: str) -> int:
        """Units of the smaller class."""
        if metric.startswith(LESIONS):
            return self.sized[SENSITIVITIES.index(metric)]
        return min(self.sized[0], self.normal) if self.normal else self.sized[0]


def _codes(clusters: Clusters | None, images: int) -> tuple[int, NDArray[np.int64]]:
    names, codes = np.unique(np.arange(images) if clusters is None else clusters, return_inverse=True)
    if len(codes) != images:
        raise ValueError(f"{len(codes)} clusters are given for {images} images")
    return len(names), codes


def _has_lesions(counts: PixelCounts) -> NDArray[np.bool_]:
    """Which images have lesions of any size, small, medium and large: bool (n, 4)."""
    parts = []
    for block in counts.blocks:
        here = np.zeros((len(block.lesions), len(SENSITIVITIES)), np.bool_)
        np.logical_or.at(here, block.lesion_images(), lesion_sizes(block.areas(), counts.side))
        parts.append(here)
    return np.concatenate(parts)


def _resampled(counts: PixelCounts, groups: _Groups, resamples: int, without: Container[str]) -> dict[str, Floats]:
    """Every metric on every resample, float64 (resamples,); NaN where one has no lesion of a size."""
    parts = []
    units = groups.units
    for weights in _batches(draw(units, resamples, seed=0)):
        thresholds = _thresholds(counts.tune_tops, weights[:, units.tune])
        parts.append(statistics(add_up(counts, weights[:, units.test], thresholds), without))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batches(drawn: Iterator[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    """Cut what is drawn into equal batches: each is a pass over all images."""
    rest: list[NDArray[np.int64]] = []
    for weights in drawn:
        rest.append(weights)
        if sum(map(len, rest)) >= ROWS:
            joined = np.concatenate(rest)
            whole = len(joined) // ROWS * ROWS
            yield from (joined[start : start + ROWS] for start in range(0, whole, ROWS))
            rest = [joined[whole:]]
    if sum(map(len, rest)):
        yield np.concatenate(rest)


def _thresholds(tune_tops: NDArray[np.uint16], weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the threshold of each row, whose tune images were drawn so often."""
    if not len(tune_tops):
        return np.zeros(len(weights), np.int64)
    return np.concatenate([tune_threshold(np.repeat(tune_tops, row)[None]) for row in weights])


def _interval(value: float, drawn: Floats, units: int, word: str, note: str, level: float) -> Interval:
    if units == 1:
        return Interval(value, 0.0, 1.0, f"unknown: lesions, or normals, of one {word}; {note}")
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(float(low), value), max(float(high), value)
    bound = ((1 - level) / 2) ** (1 / units)
    if value > 1 - CLOSE:
        return Interval(value, min(low, bound), max(1.0, value), f"Clopper-Pearson on the smaller class; {note}")
    if value < CLOSE:
        return Interval(value, min(0.0, value), max(high, 1 - bound), f"Clopper-Pearson on the smaller class; {note}")
    return Interval(value, low, high, f"percentile bootstrap by {word}, {len(drawn)} resamples; {note}")


def _up(bound: float) -> str:
    """Two digits, rounded up: a bound must not shrink in print."""
    if bound < 1e-9:
        return "1e-9"
    unit = 10.0 ** (np.floor(np.log10(bound)) - 1)
    return f"{np.ceil(bound / unit) * unit:.2g}"
