"""Checkpoints of cells that have no record yet: they lie in the results folder, so that they outlive a kill.

A worker is never told that place. It writes one file into its own folder, and the parent copies that: from
``.unfinished/`` before the worker starts, and back whenever it is a new one. Nothing here looks into the file.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from bench.files import storage_error, writing_atomically

UNFINISHED = ".unfinished"
CHECKPOINT = "checkpoint"
SIZE_LIMIT = 16 << 30
_LOCK = "lock"


def unfinished_folder(root: Path, cell: str, key: str) -> Path:
    """Folder for what a cell leaves unfinished; ``key`` stands for all that decides its course beside its identity."""
    return root / UNFINISHED / f"{cell}-{key}"


def discard_others(root: Path, cell: str, wanted: Path | None = None) -> None:
    """Remove what tries of a cell left behind, but for one folder, and what another process is working with."""
    for folder in (root / UNFINISHED).glob(f"{cell}-*"):
        if folder != wanted and (keeper := Keeper.claim(folder)):
            keeper.close(discard=True)


class Keeper:
    """The checkpoint that is kept of one cell, claimed by this process: a lock that ends with it, however it ends."""

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self._folder, self._lock = folder, lock
        self._seen: tuple[int, ...] = ()
        self._failed = False

    @classmethod
    def claim(cls, folder: Path) -> Keeper | None:
        """Make a folder ours; None if another process has it, or if it cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / _LOCK).open("ab")
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been removed, lock and all, between opening and locking.
            if (folder / _LOCK).stat().st_ino != os.fstat(lock.fileno()).st_ino:
                raise FileNotFoundError
            for path in folder.iterdir():  # half a file of a process that was killed
                if path.name not in (_LOCK, CHECKPOINT):
                    path.unlink()
        except OSError:
            lock.close()
            return None
        return cls(folder, lock)

    def lay_out(self, target: Path) -> None:
        """Copy what is kept to a file that is not there yet; where that fails, the job starts anew."""
        try:
            shutil.copyfile(self._folder / CHECKPOINT, target)
            self._seen = _mark(target.stat())
        except OSError:
            target.unlink(missing_ok=True)

    def take(self, source: Path) -> str:
        """Keep a file that a worker has written, if it is a new one.

        Returns:
            why that failed, if it did for the first time; what was kept before is still kept then.

        """
        try:  # a pipe must not block, and a link must not lead elsewhere
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return ""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or _mark(status) == self._seen:
            os.close(descriptor)
            return ""
        self._seen = _mark(status)
        with os.fdopen(descriptor, "rb") as file:
            try:
                if status.st_size > SIZE_LIMIT:
                    raise OSError(f"a checkpoint of {status.st_size / 1e9:.0f} GB is too large")
                with writing_atomically(self._folder / CHECKPOINT) as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)
            except OSError as error:
                told, self._failed = self._failed, True
                return "" if told else str(storage_error(self._folder / CHECKPOINT, error))
        return ""

    def close(self, discard: bool) -> None:
        """Give it back, for later or for good."""
        if discard or not (self._folder / CHECKPOINT).exists():
            shutil.rmtree(self._folder, ignore_errors=True)
            with suppress(OSError):  # unless something else lies there
                self._folder.parent.rmdir()
        self._lock.close()


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_mtime_ns, status.st_size
