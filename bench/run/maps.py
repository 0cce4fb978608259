"""What a worker never sees: the masks, and how its maps compare with them. Runs in the parent."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.contracts import TaskSpec
from bench.data.manifest import Entry, Manifest
from bench.data.masks import Mask, read_masks
from bench.run.mapfile import MapFile, open_maps

GROUP = 256
"""Masks decoded at a time."""


@dataclass(frozen=True)
class Truth:
    """Which pixels of a task's images are lesions, at one size.

    Attributes:
        entries: tune and test images in order of id, as a worker is given them.
        side: height and width, in pixels.
        packed: compressed masks by image id, a few hundred bytes each.

    """

    entries: tuple[Entry, ...]
    side: int
    packed: Mapping[str, bytes]

    def mask(self, entry: Entry) -> Mask | None:
        """Mask of a test image, bool (side, side): all False if it is normal, None if nobody knows."""
        if entry.label == 0:
            return np.zeros((self.side, self.side), np.bool_)
        if entry.id not in self.packed:
            return None
        bits = np.frombuffer(zlib.decompress(self.packed[entry.id]), np.uint8)
        return np.unpackbits(bits, count=self.side**2).reshape(self.side, self.side).astype(np.bool_)


def read_truth(spec: TaskSpec, manifest: Manifest, side: int) -> Truth | None:
    """Read a task's masks; None where maps would be of no use: no mask, or no tune image to fix bins by.

    Raises:
        BadImagesError: masks that cannot be decoded.
        DataChangedError: a mask is no longer the one that was indexed.

    """
    entries = manifest.of_role("tune", "test")
    masked = [e for e in entries if e.role == "test" and e.label == 1 and e.mask_path is not None]
    if not masked or all(entry.role == "test" for entry in entries):
        return None
    packed: dict[str, bytes] = {}
    for start in range(0, len(masked), GROUP):
        some = masked[start : start + GROUP]
        for entry, mask in zip(some, read_masks(spec, some, side), strict=True):
            packed[entry.id] = zlib.compress(np.packbits(mask).tobytes())
    return Truth(entries, side, packed) if any(map(_has_lesion, packed.values())) else None


def _has_lesion(packed: bytes) -> bool:
    return any(zlib.decompress(packed))


def count_maps(path: Path, truth: Truth) -> bytes:
    """Turn a worker's file of maps into the bytes of pixels.npz, a map at a time.

    Raises:
        OSError: no such file.
        BadMapsError: it is not the file of as many finite maps.

    """
    from bench.metrics.pixel_bins import bin_edges, top_bins, tune_values  # scipy takes its time, and few need it
    from bench.metrics.pixel_counts import PixelCounts, count_blocks
    from bench.results.pixels import to_npz

    entries = truth.entries
    tune = [row for row, entry in enumerate(entries) if entry.role == "tune"]
    test = [row for row, entry in enumerate(entries) if entry.role == "test"]
    with open_maps(path, len(entries), truth.side) as maps:
        values = tune_values((maps.read(row) for row in tune), len(tune))
        edges = bin_edges(values)
        return to_npz(
            PixelCounts(
                edges,
                truth.side,
                top_bins(values.highest, edges),
                tuple(entries[row].id for row in test),
                np.array([entries[row].label for row in test], np.int8),
                count_blocks(_with_masks(maps, truth, test), edges),
            )
        )


def normal_range(path: Path, images: int, side: int, tune: Sequence[int]) -> tuple[float, float] | None:
    """Find what heat maps are coloured by in a worker's file of maps: from a typical to a hardly reached value.

    Args:
        path: the file.
        images: how many maps it holds.
        side: height and width of the maps, in pixels.
        tune: rows of the held-out normals' maps.

    Returns:
        the median pixel of these maps, and the value that 95 % of them nowhere exceed; None where there is no such
        map, or nothing between both.

    Raises:
        OSError: no such file.
        BadMapsError: it is not the file of as many finite maps.

    """
    from bench.metrics.pixel_bins import threshold_rank, tune_values

    with open_maps(path, images, side) as maps:
        if not tune:
            return None
        values = tune_values((maps.read(row) for row in tune), len(tune))
    low = float(np.median(values.sample))
    high = float(np.sort(values.highest)[threshold_rank(len(tune))])
    return (low, high) if low < high else None


def _with_masks(maps: MapFile, truth: Truth, rows: list[int]) -> Iterator[tuple[NDArray[np.float32], Mask | None]]:
    for row in rows:
        yield maps.read(row), truth.mask(truth.entries[row])
