"""The bins that all maps of a cell share, fixed beforehand from the tune maps alone: no test pixel moves an edge.

Bin ``b`` holds the values ``edges[b] <= v < edges[b + 1]``; the first is open below and the last above.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096
Map = NDArray[np.float32]

# How the edges within the range of the tune maps are spent; the rest lie above. Even steps of rank serve AUROC; ranks
# that get finer towards the top serve AUPRO and AUPIMO, which look at few false positives; the highest pixels of tune
# images serve as thresholds.
EVEN, TAIL, HIGHEST = 1024, 512, 511
SAMPLE = 1 << 20
LEAST_TAIL = 1e-6
SPREAD = (1e-4, 1e4)
"""Nearest and farthest edge above the tune maximum, in units of the tune maps' range."""


@dataclass(frozen=True)
class TuneValues:
    """What is kept of the tune maps to place the bins.

    Attributes:
        sample: float32 (s,), values in order of size: all of them, or about a million at even steps.
        highest: float32 (m,), the highest pixel of each tune image, in the images' order.
        lowest: the lowest pixel of all.

    """

    sample: NDArray[np.float32]
    highest: NDArray[np.float32]
    lowest: float


def tune_values(maps: Iterable[Map], images: int) -> TuneValues:
    """Look through the tune maps once, keeping about a million values at most.

    Args:
        maps: float32 (h, w) each, all of one shape.
        images: how many there are.

    Raises:
        ValueError: no map, or one with a value that is not finite.

    """
    kept, highest, lowest, place = [], [], math.inf, 0
    for one in maps:
        values = map_values(one)
        step = _stride(images * values.size, one.shape[1])
        kept.append(values[-place % step :: step])
        place += values.size
        highest.append(values.max())
        lowest = min(lowest, float(values.min()))
    if not highest:
        raise ValueError("bins are fixed from tune maps, and there is none")
    return TuneValues(np.sort(np.concatenate(kept)), np.array(highest, np.float32), lowest)


def bin_edges(tune: TuneValues) -> NDArray[np.float64]:
    """Place the edges of 4,096 bins: about half at values of the tune maps, the rest above their maximum.

    Tune values get edges at even steps of rank, at ranks ever closer to the top, and directly above the highest pixel
    of tune images, so that a threshold set by these is exact. Where tune maps have few distinct values, each has a bin
    of its own. Above the maximum, where anomalies lie, the distance from it grows by a constant factor.

    Returns:
        float64 (4097,), see :class:`PixelCounts`.

    """
    levels = np.unique(tune.sample)
    size = len(tune.sample)
    if len(levels) > EVEN + TAIL:
        ranks = np.concatenate([np.arange(EVEN) / EVEN, 1 - np.geomspace(0.5, LEAST_TAIL, TAIL)]) * (size - 1)
        levels = np.interp(ranks, np.arange(size), tune.sample).astype(np.float32)
    top = float(tune.highest.max())
    unit = (top - tune.lowest) or abs(top) or 1.0
    number = BINS - 2 - len(levels) - HIGHEST
    far = np.clip(top + unit * np.geomspace(*SPREAD, number), None, np.finfo(np.float32).max).astype(np.float32)
    # Far from zero float32 has no numbers that close to the maximum; an edge at the maximum itself would split it.
    far = np.maximum(far, np.nextafter(np.float32(top), np.float32(np.inf)))
    inner = np.concatenate([[np.float32(tune.lowest)], levels, _above(tune.highest), far]).astype(np.float64)
    return np.concatenate([[-np.inf], np.sort(inner), [np.inf]])


def top_bins(highest: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Bins of the highest pixels (m,) of images, uint16 (m,)."""
    return np.searchsorted(inner_edges(edges), highest, "right").astype(np.uint16)


def _stride(total: int, width: int) -> int:
    """Step that leaves about a million of ``total`` values and passes through all columns of a map in turn."""
    step = -(-total // SAMPLE)
    while math.gcd(step, width) > 1:
        step += 1
    return step


def _above(highest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges (511,) directly above tune images' highest pixels; where there are more, at even steps of rank.

    The one for a specificity of 95 % is always among them.
    """
    ordered = np.sort(highest)
    ranks = np.round(np.linspace(0, len(ordered) - 1, HIGHEST)).astype(np.int64)
    ranks[np.argmin(np.abs(ranks - threshold_rank(len(ordered))))] = threshold_rank(len(ordered))
    return np.nextafter(ordered[ranks], np.float32(np.inf))


def threshold_rank(images: int, specificity: float = 0.95) -> int:
    """Rank, from 0, of the smallest of ``images`` values that at least ``specificity`` of them do not exceed."""
    return math.ceil(specificity * images - 1e-9) - 1


def inner_edges(edges: NDArray[np.float64]) -> NDArray[np.float32]:
    """The edges between bins as float32, in which maps are compared: exact, see :class:`PixelCounts`."""
    return edges[1:-1].astype(np.float32)


def map_values(one: Map) -> NDArray[np.float32]:
    """Return a map's values in one row.

    Raises:
        ValueError: not a finite float32 (h, w).

    """
    values = one.ravel()
    if values.dtype != np.float32 or one.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"a map is {one.dtype} {one.shape}; expected finite float32 (h, w)")
    return values
