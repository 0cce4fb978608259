"""Writing files so that a reader never sees half of one, and finding the cache folder."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from pathlib import Path
from typing import IO

from bench.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to disk, then rename it into place.

    Raises:
        StorageError: the disk is full, read-only or forbidden; nothing is left behind.

    """
    try:
        with writing_atomically(path) as file:
            file.write(content)
    except OSError as error:
        raise storage_error(path, error) from error


@contextmanager
def writing_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a file under a temporary name; when the block ends, flush it to disk and rename it into place.

    Whatever is raised inside leaves nothing behind, and an older file of that name as it was.

    Raises:
        OSError: the disk is full, read-only or forbidden.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def making_folder_atomically(path: Path) -> Iterator[Path]:
    """Make a folder under a temporary name; when the block ends, rename it into place.

    Whatever is raised inside leaves nothing behind. Its files are not flushed to disk one by one.

    Raises:
        OSError: the disk is full, read-only or forbidden, or there is a folder of that name that is not empty.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def copy_atomically(source: Path, path: Path) -> None:
    """Copy a file of any size as :func:`write_atomically` writes one.

    Raises:
        StorageError: the disk is full, read-only or forbidden; nothing is left behind.

    """
    try:
        with source.open("rb") as file, writing_atomically(path) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    except OSError as error:
        raise storage_error(path, error) from error


def file_sha256(path: Path) -> str:
    """sha256 of a file of any size, as 64 hex digits.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def storage_error(path: Path, error: OSError) -> StorageError:
    """Say in words what the operating system refused."""
    hint = {
        errno.ENOSPC: "the disk is full: free some space",
        errno.EDQUOT: "the disk quota is used up: free some space",
        errno.EROFS: "it is on a read-only file system: choose another folder",
        errno.EACCES: "permission denied: choose a folder that you may write to",
        errno.EPERM: "permission denied: choose a folder that you may write to",
        errno.ENOTDIR: "a part of this path is a file, not a folder",
        errno.EEXIST: "a part of this path is a file, not a folder",
    }.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"cannot write {path}: {hint}")


def check_writable(folder: Path, needed_bytes: int = 1 << 20) -> None:
    """Make sure, before hours of work, that ``folder`` exists, can be written to and has room.

    Raises:
        StorageError: it cannot, with the reason and the fix.

    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        write_atomically(probe, b"\0" * min(needed_bytes, 1 << 20))
        status = os.statvfs(folder)
        free = status.f_bavail * status.f_frsize
        if free < needed_bytes:
            raise StorageError(
                f"cannot write {folder}: {free / 1e6:.0f} MB are free, {needed_bytes / 1e6:.0f} MB are needed"
            )
    finally:
        with suppress(OSError):
            probe.unlink()


def cache_folder() -> Path:
    """``$BENCH_CACHE``, else the user's cache folder; images and hashes only, safe to delete."""
    chosen = os.environ.get("BENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    from platformdirs import user_cache_path  # 10 ms that --help need not pay

    return user_cache_path("salad-bench")
