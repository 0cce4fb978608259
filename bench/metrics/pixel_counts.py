"""Anomaly maps and lesion masks as histograms, from which every pixel metric is computed.

Images come in blocks, so that memory does not grow with their number. Of the bins: :mod:`bench.metrics.pixel_bins`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bench.metrics.pixel_bins import BINS, Map, inner_edges, map_values

BLOCK = 256
"""Images in a block."""

EIGHT = np.ones((3, 3), np.int64)
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """Histograms of a few test images. Inside the mask an image has the sum of its lesions.

    Attributes:
        outside: uint32 (n, 4096), pixels outside the mask; all pixels of a normal image; all 0 where an anomalous
            image has no mask, since nobody knows which of its pixels are anomalous.
        lesions: uint32 (n,), lesions of each image: 8-connected components of its mask.
        lengths: uint32 (l,), how many bins each lesion occupies, lesions in order of image.
        bins: uint16 (k,), the occupied bins of all lesions, ascending within a lesion.
        pixels: uint32 (k,), how many pixels lie in each.

    """

    outside: NDArray[np.uint32]
    lesions: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    bins: NDArray[np.uint16]
    pixels: NDArray[np.uint32]

    def lesion_images(self) -> NDArray[np.int64]:
        """Row of the image that each lesion belongs to, (l,)."""
        return np.repeat(np.arange(len(self.lesions)), self.lesions)

    def areas(self) -> NDArray[np.int64]:
        """Pixels of each lesion, (l,)."""
        return self._reduced(np.add, self.pixels)

    def tops(self) -> NDArray[np.int64]:
        """Bin of the highest pixel of each lesion, (l,)."""
        return self._reduced(np.maximum, self.bins)

    def _reduced(self, ufunc: np.ufunc, values: NDArray[np.uint16] | NDArray[np.uint32]) -> NDArray[np.int64]:
        starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        reduced: NDArray[np.int64] = ufunc.reduceat(values.astype(np.int64), starts) if len(starts) else starts
        return reduced


@dataclass(frozen=True)
class PixelCounts:
    """All that pixel metrics need to know of one cell.

    Attributes:
        edges: float64 (4097,), from −inf to inf, never falling, each exact in float32; equal edges make empty bins.
        side: height and width of the maps, in pixels.
        tune_tops: uint16 (m,), bin of the highest pixel of each tune image.
        ids: ids of the test images, in order.
        labels: int8 (n,), 0 normal, 1 anomalous.
        blocks: histograms of the same images, a few at a time; iterated over more than once.

    """

    edges: NDArray[np.float64]
    side: int
    tune_tops: NDArray[np.uint16]
    ids: tuple[str, ...]
    labels: NDArray[np.int8]
    blocks: Iterable[Block]


def count_blocks(
    images: Iterable[tuple[Map, Mask | None]], edges: NDArray[np.float64], size: int = BLOCK
) -> Iterator[Block]:
    """Count the pixels of test images, ``size`` images at a time.

    Args:
        images: map, float32 (h, w), and mask, bool (h, w), True on a lesion: all False for a normal image, None where
            nobody knows.
        edges: see :class:`PixelCounts`.
        size: images in a block; it changes no metric.

    Raises:
        ValueError: a map with a value that is not finite, or a mask of another shape.

    """
    inner = inner_edges(edges)
    rows: list[_Row] = []
    for one, mask in images:
        rows.append(_count(one, mask, inner))
        if len(rows) == size:
            yield _block(rows)
            rows = []
    if rows:
        yield _block(rows)


@dataclass(frozen=True)
class _Row:
    """One image's part of a block."""

    outside: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    bins: NDArray[np.int64]
    pixels: NDArray[np.int64]


def _count(one: Map, mask: Mask | None, inner: NDArray[np.float32]) -> _Row:
    values = map_values(one)
    none = np.zeros(0, np.int64)
    if mask is None:
        return _Row(np.zeros(BINS, np.uint32), none, none, none)
    if mask.shape != one.shape:
        raise ValueError(f"a mask is {mask.shape}, its map {one.shape}")
    chosen = mask.ravel()
    outside = _histogram(values[~chosen], inner)
    if not chosen.any():
        return _Row(outside, none, none, none)
    names, number = ndimage.label(mask, EIGHT)
    places = (names.ravel()[chosen] - 1).astype(np.int64) * BINS + np.searchsorted(inner, values[chosen], "right")
    occupied, pixels = np.unique(places, return_counts=True)
    return _Row(outside, np.bincount(occupied // BINS, minlength=number), occupied % BINS, pixels)


def _histogram(values: NDArray[np.float32], inner: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Count values per bin. Sorting them is several times faster than finding the bin of each."""
    below = np.searchsorted(np.sort(values), inner, "left")
    return np.diff(below, prepend=0, append=len(values)).astype(np.uint32)


def _block(rows: list[_Row]) -> Block:
    return Block(
        np.stack([row.outside for row in rows]),
        np.array([len(row.lengths) for row in rows], np.uint32),
        np.concatenate([row.lengths for row in rows]).astype(np.uint32),
        np.concatenate([row.bins for row in rows]).astype(np.uint16),
        np.concatenate([row.pixels for row in rows]).astype(np.uint32),
    )
