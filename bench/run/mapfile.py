"""Anomaly maps on their way from a worker to its parent: one file of raw float32, written and read map by map."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadMapsError, StorageError
from bench.files import storage_error

MAPS_FILE = "maps.f32"
Map = NDArray[np.float32]


def map_bytes(images: int, side: int) -> int:
    """Size of the file in bytes."""
    return images * side * side * np.dtype(np.float32).itemsize


def check_room(folder: Path, images: int, side: int) -> None:
    """Make sure, before a detector learns for hours, that its maps will fit.

    Raises:
        StorageError: the disk has too little room, with the fix.

    """
    needed, status = map_bytes(images, side), os.statvfs(folder)
    if (free := status.f_bavail * status.f_frsize) < needed:
        raise StorageError(
            f"the maps need {needed / 1e6:.0f} MB in the folder for temporary files, and {free / 1e6:.0f} MB are free: "
            "free some space, or set TMPDIR to another folder"
        )


def write_maps(path: Path, drawn: Iterable[tuple[Any, int]], side: int, tell: Callable[[int], None]) -> None:
    """Write maps to a file as they are drawn.

    Args:
        path: the file.
        drawn: for each chunk of images, what ``anomaly_maps`` returned, and how many images there were.
        side: of the images, in pixels.
        tell: called with the number of maps written.

    Raises:
        BadMapsError: not one finite float32 (side, side) for each image.
        StorageError: the disk is full.

    """
    written = 0
    with FileIO(path, "w") as file:  # unbuffered: a full disk shows at the map that no longer fits
        for maps, images in drawn:
            for one in checked_maps(maps, images, side, written):
                _append(file, one)
                tell(written := written + 1)


def checked_maps(maps: Any, images: int, side: int, before: int = 0) -> Iterator[Map]:
    """Yield what ``anomaly_maps`` returned, map by map.

    Args:
        maps: what it returned.
        images: how many it was given.
        side: of the images, in pixels.
        before: how many maps came before these, so that messages number them all.

    Raises:
        BadMapsError: not one finite float32 (side, side) for each image.

    """
    for number, one in enumerate(_one_each(maps, images), start=before):
        yield check_map(one, side, number)


def check_map(one: Any, side: int, number: int) -> Map:
    """Return a map.

    Raises:
        BadMapsError: not a finite float32 (side, side); ``number`` says which one it is.

    """
    if not isinstance(one, np.ndarray):
        raise BadMapsError(f"anomaly_maps gave {type(one).__name__} as map {number}, not a numpy array")
    if one.dtype != np.float32 or one.shape != (side, side):
        raise BadMapsError(f"map {number} is {one.dtype} {one.shape}; expected float32 ({side}, {side})")
    if bad := int(np.count_nonzero(~np.isfinite(one))):
        raise BadMapsError(f"{bad} of {one.size} values of map {number} are not finite (NaN or infinite)")
    return one


def _one_each(maps: Any, images: int) -> Iterator[Any]:
    if not isinstance(maps, Iterable):
        raise BadMapsError(f"anomaly_maps returned {type(maps).__name__}, not an iterator over maps")
    number = 0
    for number, one in enumerate(maps, start=1):
        if number > images:
            raise BadMapsError(f"anomaly_maps gave more than {images} maps for {images} images")
        yield one
    if number < images:
        raise BadMapsError(f"anomaly_maps gave {number} maps for {images} images")


def _append(file: FileIO, one: Map) -> None:
    left = memoryview(one.astype("<f4").tobytes())
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise storage_error(Path(MAPS_FILE), error) from error


@dataclass(frozen=True)
class MapFile:
    """A file of maps, open for reading. Each map is checked again: the detector may have written to the file."""

    descriptor: int
    side: int

    def read(self, number: int) -> Map:
        """Read one map, float32 (side, side).

        Raises:
            BadMapsError: the file has become shorter, or a value is not finite.

        """
        size = map_bytes(1, self.side)
        content = os.pread(self.descriptor, size, number * size)  # mapped memory would crash us if the file shrank
        if len(content) != size:
            raise BadMapsError(f"{MAPS_FILE} was cut short")
        return check_map(np.frombuffer(content, "<f4").reshape(self.side, self.side), self.side, number)


@contextmanager
def open_maps(path: Path, images: int, side: int) -> Iterator[MapFile]:
    """Open a file of maps, which must have exactly the bytes of ``images`` of them.

    Raises:
        OSError: no such file, or a symbolic link.
        BadMapsError: no regular file, or of another size.

    """
    # A pipe must not block, and a link must not lead elsewhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != map_bytes(images, side):
            raise BadMapsError(f"{path.name} is not a file of {images} maps of {side} × {side} pixels")
        yield MapFile(descriptor, side)
    finally:
        os.close(descriptor)
