"""Images that a task has twice: byte for byte, or as copies that were resized, re-encoded, shifted or flipped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import joblib
import numpy as np
from numpy.typing import NDArray

from bench.data.audit import similarity as look
from bench.data.manifest import Entry

VERSION = "1"
"""Bumped whenever other pairs may be found: part of what a ``-clean`` task's cached list is called."""

NEIGHBOURS = 12
COARSE_THRESHOLD = 0.7
GRAIN_THRESHOLD = 0.86
THRESHOLD = 0.95
BATCH = 256
BLOCK_VALUES = 1 << 25
ROLES = ("fit", "tune", "pool", "test")


@dataclass(frozen=True)
class Pair:
    """Two entries of one task that show the same exposure. ``a`` is in the role that learns, if one of them is."""

    kind: Literal["exact", "near"]
    a: Entry
    b: Entry
    similarity: float
    flip: str = ""


def find_duplicates(
    entries: Sequence[Entry],
    thumbnails: NDArray[np.uint8],
    near: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Pair]:
    """Find all pairs, across roles and within.

    Args:
        entries: n images.
        thumbnails: uint8 (n, SIDE, SIDE), in the same order; may be a memory map. Memory stays bounded.
        near: False looks for identical files only.
        progress: told (done, total) of the search.

    Returns:
        pairs, the most alike first.

    """
    same = defaultdict(list)
    for row, entry in enumerate(entries):
        same[entry.id[:16]].append(row)
    groups = list(same.values())
    pairs = [
        _pair("exact", entries[a], entries[b], 1.0, "") for group in groups for a, b in combinations(sorted(group), 2)
    ]
    first = np.array([group[0] for group in groups] if near else [], np.int64)
    for a, b, alike, flip in near_pairs(thumbnails, first, progress):
        pairs += [_pair("near", entries[x], entries[y], alike, flip) for x, y in product(groups[a], groups[b])]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.a.path, pair.b.path))


def near_pairs(
    thumbnails: NDArray[np.uint8],
    rows: NDArray[np.int64],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[int, int, float, str]]:
    """Yield near-duplicates among some rows of the thumbnails: places in ``rows``, similarity, and the flip."""
    if len(rows) < 2:
        return
    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        vectors, spectra = _describe_all(thumbnails, rows, threads)
        candidates = _neighbours(vectors)

        def verify(step: int) -> list[tuple[int, int, float, str]]:
            return list(_verify(thumbnails, rows, spectra, candidates[step : step + BATCH]))

        for done, found in enumerate(threads.map(verify, range(0, len(candidates), BATCH)), start=1):
            yield from found
            progress(min(done * BATCH, len(candidates)), len(candidates))


def _verify(
    thumbnails: NDArray[np.uint8],
    rows: NDArray[np.int64],
    spectra: NDArray[np.complex64],
    pairs: NDArray[np.int64],
) -> Iterator[tuple[int, int, float, str]]:
    """Look closer and closer at pairs of places in ``rows``."""
    coarse, flips = look.match(spectra[pairs[:, 0]], spectra[pairs[:, 1]])
    likely = coarse >= COARSE_THRESHOLD
    pairs, flips = pairs[likely], flips[likely]
    if len(pairs) == 0:
        return
    one = thumbnails[rows[pairs[:, 0]]]
    other = np.empty_like(one)
    for place, (row, which) in enumerate(zip(rows[pairs[:, 1]], flips, strict=True)):
        other[place] = look.flip(thumbnails[row][None], look.FLIPS[which])[0]
    for n in np.flatnonzero(look.grain_likeness(one, other) >= GRAIN_THRESHOLD).tolist():
        alike = look.similarity(one[n], other[n])
        if alike >= THRESHOLD:
            yield int(pairs[n, 0]), int(pairs[n, 1]), alike, look.FLIPS[flips[n]]


def _describe_all(
    thumbnails: NDArray[np.uint8], rows: NDArray[np.int64], threads: ThreadPoolExecutor
) -> tuple[look.Stack, NDArray[np.complex64]]:
    def describe(start: int) -> tuple[look.Stack, NDArray[np.complex64]]:
        flat = look.equalise(thumbnails[rows[start : start + BATCH]])
        return look.describe(flat), look.coarse_spectrum(flat)

    vectors, spectra = zip(*threads.map(describe, range(0, len(rows), BATCH)), strict=True)
    return look.standardise(np.concatenate(vectors)), np.concatenate(spectra)


def _neighbours(vectors: look.Stack) -> NDArray[np.int64]:
    """Pairs (m, 2) of which at least one is among the nearest of the other, each once, by first and second."""
    n = len(vectors)
    count = min(NEIGHBOURS, n - 1)
    block = max(BLOCK_VALUES // n, 1)
    codes = []
    for start in range(0, n, block):
        cosines = vectors[start : start + block] @ vectors.T
        here = np.arange(start, start + len(cosines))
        cosines[np.arange(len(cosines)), here] = -2
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        a, b = np.repeat(here, count), nearest.ravel()
        codes.append(np.minimum(a, b) * n + np.maximum(a, b))
    return np.stack(np.divmod(np.unique(np.concatenate(codes)), n), axis=1)


def _pair(kind: Literal["exact", "near"], one: Entry, other: Entry, alike: float, flip: str) -> Pair:
    a, b = sorted((one, other), key=lambda entry: (ROLES.index(entry.role), entry.path))
    return Pair(kind, a, b, alike, flip)
