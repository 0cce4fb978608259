"""Many images in one .npz file: each array is unpacked once into the cache, then read row by row."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadImagesError
from bench.files import check_writable, storage_error


def open_array(path: Path, array: str, cache: Path) -> NDArray[Any]:
    """Map one array of an .npz file read-only, unpacking it into the cache first; memory does not grow with its size.

    Raises:
        BadImagesError: no such array, or a damaged file.
        StorageError: the cache cannot be written, or the disk is full.

    """
    status = path.stat()
    key = sha256(f"{path.resolve()}\0{array}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:20]
    unpacked = cache / "unpacked" / f"{key}.npy"
    if not unpacked.exists():
        _unpack(path, array, unpacked)
    opened: NDArray[Any] = np.load(unpacked, mmap_mode="r", allow_pickle=False)
    return opened


def _unpack(path: Path, array: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{array}.npy") as member:
            check_writable(target.parent, archive.getinfo(f"{array}.npy").file_size)
            _copy(member, target)
    except KeyError:
        raise BadImagesError([f"{path}: it has no array '{array}'"]) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last: encrypted, or another method
        raise BadImagesError([f"{path}: damaged, array '{array}' cannot be unpacked ({error})"]) from error


def _copy(member: Any, target: Path) -> None:
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(member, file, 1 << 20)
        temporary.replace(target)
    except OSError as error:
        raise storage_error(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
