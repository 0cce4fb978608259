"""pixels.npz: the histograms of a cell's anomaly maps, from which every pixel metric is derived.

Besides ``edges``, ``side``, ``tune_tops``, ``image_ids`` and ``labels`` it holds the arrays of each block of up to 256
images, ``outside_00000`` and so on, so that a reader needs the memory of one block at a time.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import RecordError
from bench.metrics.pixel_bins import BINS
from bench.metrics.pixel_counts import BLOCK, Block, PixelCounts

PIXELS = "pixels.npz"
PARTS = {field.name: "<u2" if field.name == "bins" else "<u4" for field in fields(Block)}
LONGEST_ID = 32
LARGEST_SIDE = 1 << 14
NO_TIME = (1980, 1, 1, 0, 0, 0)

Source = Path | bytes


def to_npz(counts: PixelCounts) -> bytes:
    """Serialise counts, a block at a time; the same counts in the same blocks give the same bytes.

    Raises:
        ValueError: blocks of more than 256 images, or not of as many as there are ids.

    """
    buffer = io.BytesIO()
    sizes = []
    with zipfile.ZipFile(buffer, "w") as archive:
        _write(archive, "edges", counts.edges.astype("<f8"))
        _write(archive, "side", np.array(counts.side, "<i8"))
        _write(archive, "tune_tops", counts.tune_tops.astype("<u2"))
        _write(archive, "image_ids", np.array(counts.ids, f"<U{LONGEST_ID}"))
        _write(archive, "labels", counts.labels.astype("|i1"))
        for number, block in enumerate(counts.blocks):
            for part, dtype in PARTS.items():
                _write(archive, f"{part}_{number:05d}", getattr(block, part).astype(dtype))
            sizes.append(len(block.lesions))
    if sum(sizes) != len(counts.ids) or max(sizes, default=0) > BLOCK:
        raise ValueError(f"blocks of {sizes} images cannot be those of {len(counts.ids)} ids, at most {BLOCK} in each")
    return buffer.getvalue()


def _write(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.lib.format.write_array(content, array, (1, 0), allow_pickle=False)
    member = zipfile.ZipInfo(f"{name}.npy", NO_TIME)  # the time of writing would change the bytes
    member.create_system, member.external_attr = 3, 0o644 << 16
    archive.writestr(member, content.getbuffer(), zipfile.ZIP_DEFLATED, 6)


def open_pixels(
    source: Source, ids: Sequence[str], labels: NDArray[np.int8], tune_images: int, name: str = PIXELS
) -> PixelCounts:
    """Open pixels.npz for the images of its scores; blocks are read, and checked, when they are iterated over.

    Args:
        source: the file, or its bytes.
        ids: of the test images in order, as ``scores.parquet`` has them.
        labels: int8 (n,), of the same images.
        tune_images: how many tune images were scored.
        name: how messages call the file.

    Raises:
        RecordError: missing, damaged, or of other images; from iterating over blocks too.

    """
    with _archive(source, name) as archive:
        side = int(_read(archive, "side", "<i8", ()))
        edges = _read(archive, "edges", "<f8", (BINS + 1,))
        tops = _read(archive, "tune_tops", "<u2", (tune_images,))
        there = _read(archive, "image_ids", f"<U{LONGEST_ID}", (None,))
        _check_ids([str(one) for one in there], ids)
        stated = _read(archive, "labels", "|i1", (len(ids),))
        blocks, rest = divmod(len(archive.namelist()) - 5, len(PARTS))
        wanted = [f"{part}_{number:05d}.npy" for number in range(blocks) for part in PARTS]
        if rest or set(archive.namelist()[5:]) != set(wanted):
            raise ValueError("its members are not those of pixel counts")
    with np.errstate(over="ignore"):
        exact = np.array_equal(edges, edges.astype(np.float32))
    if not (exact and edges[0] == -np.inf and edges[-1] == np.inf and (edges[1:] >= edges[:-1]).all()):
        raise RecordError(f"{name} is damaged: its edges do not rise from −inf to inf in float32")
    if not 0 < side <= LARGEST_SIDE or (tops >= BINS).any():
        raise RecordError(f"{name} is damaged: a side of {side} pixels, or a bin beyond the last")
    if not np.array_equal(stated, labels):
        raise RecordError(f"{name} does not have the labels of its scores")
    return PixelCounts(edges, side, tops, tuple(ids), stated, _Blocks(source, name, blocks, side, stated))


def with_lesions(counts: PixelCounts) -> list[str]:
    """Ids of the images that have lesions.

    Raises:
        RecordError: a block is damaged.

    """
    found, start = [], 0
    for block in counts.blocks:
        found += [counts.ids[start + int(place)] for place in np.flatnonzero(block.lesions)]
        start += len(block.lesions)
    return found


@dataclass(frozen=True)
class _Blocks:
    """The blocks of a file, read anew whenever they are iterated over."""

    source: Source
    name: str
    number: int
    side: int
    labels: NDArray[np.int8]

    def __iter__(self) -> Iterator[Block]:
        start = 0
        for number in range(self.number):
            with _archive(self.source, self.name) as archive:
                block = _read_block(archive, f"{number:05d}")
                labels = self.labels[start : start + len(block.lesions)]
                _check_block(block, self.side, labels)
            start += len(block.lesions)
            yield block
        if start != len(self.labels):
            raise RecordError(f"{self.name} is damaged: its blocks hold {start} of {len(self.labels)} images")


def _read_block(archive: zipfile.ZipFile, number: str) -> Block:
    lesions = _read(archive, f"lesions_{number}", "<u4", (None,))
    if not 0 < len(lesions) <= BLOCK:
        raise ValueError(f"a block of {len(lesions)} images")
    outside = _read(archive, f"outside_{number}", "<u4", (len(lesions), BINS))
    lengths = _read(archive, f"lengths_{number}", "<u4", (int(lesions.sum(dtype=np.int64)),))
    occupied = int(lengths.sum(dtype=np.int64))
    bins, pixels = (_read(archive, f"{part}_{number}", PARTS[part], (occupied,)) for part in ("bins", "pixels"))
    return Block(outside, lesions, lengths, bins, pixels)


def _check_block(block: Block, side: int, labels: NDArray[np.int8]) -> None:
    if len(labels) != len(block.lesions):
        raise ValueError("more images than ids")
    if not (block.lengths.all() and block.pixels.all()) or (block.bins >= BINS).any():
        raise ValueError("an empty lesion, or a bin beyond the last")
    if (block.lesions[labels == 0] > 0).any():
        raise ValueError("a normal image with lesions")
    lesion = np.repeat(np.arange(len(block.lengths)), block.lengths)
    if (np.diff(lesion * BINS + block.bins) <= 0).any():
        raise ValueError("a lesion's bins do not rise")
    inside = np.bincount(block.lesion_images(), block.areas(), minlength=len(labels))
    area = inside + block.outside.sum(axis=1, dtype=np.int64)
    if not ((area == side**2) | ((area == 0) & (labels == 1))).all():
        raise ValueError(f"an image's pixels do not add up to {side} × {side}")


def _check_ids(there: Sequence[str], wanted: Sequence[str]) -> None:
    if list(there) == list(wanted):
        return
    repeated = [one for one, times in Counter(there).items() if times > 1]
    found = {"repeated": repeated, "missing": set(wanted) - set(there), "unknown": set(there) - set(wanted)}
    listed = [f"{len(some)} {how} ({min(some)})" for how, some in found.items() if some]
    raise ValueError(f"its images are not those of its scores: {', '.join(listed) or 'in another order'}")


@contextmanager
def _archive(source: Source, name: str) -> Iterator[zipfile.ZipFile]:
    """Open a file, and say of whatever goes wrong with it that it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            yield archive
    except FileNotFoundError as error:
        raise RecordError(f"cannot read {name}: {error.strerror}") from error
    # RuntimeError: encrypted; NotImplementedError: compressed by another method.
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f"{name} is damaged: {str(error) or type(error).__name__}") from error


def _read(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Read one array after its header has shown that it is the one expected; None stands for any length."""
    with archive.open(f"{name}.npy") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"'{name}' is no array of version 1.0")
        there, fortran, kind = np.lib.format.read_array_header_1_0(file)
        fits = len(there) == len(shape) and all(b in (None, a) for a, b in zip(there, shape, strict=True))
        if kind != np.dtype(dtype) or fortran or not fits:
            raise ValueError(f"'{name}' is {kind} {there}; expected {np.dtype(dtype)} {shape}")
        size = kind.itemsize * int(np.prod(there, dtype=np.int64))
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"'{name}' has not as many values as it states")
    return np.frombuffer(content, kind).reshape(there)
