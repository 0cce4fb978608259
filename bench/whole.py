"""Changing a folder as a whole: others see it as it was or as it is afterwards, and a kill leaves one of the two."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import StorageError
from bench.files import storage_error

_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


@contextmanager
def changing_whole(root: Path) -> Iterator[Path]:
    """Lend a copy of a folder; when the block ends without an exception, the copy takes the folder's place at once.

    Files of the copy are hard links where that is possible, so they must be replaced, never written into
    (:func:`bench.files.write_atomically` does). What a killed process left beside the folder, the next one removes.

    Raises:
        StorageError: the folder is being changed by another process, cannot be written, or lies on a file system that
            cannot exchange two folders at once. Nothing was changed then.

    """
    root = root.resolve()
    prefix = f".{root.name}.changing-"
    try:
        with _locked(root.parent):
            for left in root.parent.glob(f"{prefix}*"):
                shutil.rmtree(left)
            copy = Path(tempfile.mkdtemp(dir=root.parent, prefix=prefix))
            try:
                shutil.copytree(root, copy, symlinks=True, copy_function=_link, dirs_exist_ok=True)
                yield copy
                _exchange(copy, root)
            finally:
                shutil.rmtree(copy, ignore_errors=True)
    except OSError as error:
        raise storage_error(root, error) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"{folder} is being changed by another process: wait until it has ended") from error
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without hard links, or too many of them
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(first: Path, second: Path) -> None:
    """Let two folders change places in one step, for which Python has no function.

    Raises:
        OSError: the file system or the C library cannot.

    """
    library = ctypes.CDLL(None, use_errno=True)
    one, other = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(one, other, _EXCHANGE)
        else:
            failed = library.renameat2(_HERE, one, _HERE, other, _EXCHANGE)
    except AttributeError as error:
        raise StorageError(f"cannot change {second} as a whole: this system's C library is too old") from error
    if failed:
        text = f"cannot change {second} as a whole: {os.strerror(ctypes.get_errno())}: copy it to a local disk first"
        raise StorageError(text)
