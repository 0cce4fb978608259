"""Which files are meant by what was named on the command line: single files, and folders with all that is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.dicom import is_dicom
from bench.errors import UsageError

PICTURES = ("png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "bmp", "gif", "webp", "jp2", "j2k", "pgm", "ppm", "pnm")
SUFFIXES = frozenset(f".{suffix}" for suffix in (*PICTURES, "dcm", "dicom", "ima"))


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        images: each file once: in the order in which they were named, those of a folder in order of their names.
        others: files of folders that are no images by their name, nor DICOM by their first bytes.
        unread: folders that cannot be listed, as ``PATH: reason``.

    """

    images: tuple[Path, ...]
    others: tuple[Path, ...]
    unread: tuple[str, ...]


def find_images(named: Sequence[Path], leave_out: Path | None = None) -> Found:
    """Find images in files and folders; whoever names a file means it, whatever it is called.

    Hidden files and folders are left out. Links to folders are followed, each folder is entered once.

    Args:
        named: files and folders.
        leave_out: a folder that is not entered, since the pictures in it are our own.

    Raises:
        UsageError: something named does not exist, all of it listed; or there is no image at all.

    """
    if missing := [str(path) for path in named if not path.exists()]:
        raise UsageError(f"there is no {', no '.join(missing)}")
    images: dict[str, Path] = {}
    others: dict[str, Path] = {}
    unread: list[str] = []
    entered = set() if leave_out is None else {leave_out.resolve()}
    for path in named:
        for file in _walk(path, entered, unread) if path.is_dir() else [path]:
            wanted = not path.is_dir() or file.suffix.lower() in SUFFIXES or _says_dicom(file)
            (images if wanted else others).setdefault(os.path.abspath(file), file)  # noqa: PTH100  (links stay)
    if not images:
        text = "; ".join([f"no image in {', '.join(map(str, named))}", *unread])
        raise UsageError(text)
    return Found(tuple(images.values()), tuple(others.values()), tuple(unread))


def _walk(folder: Path, entered: set[Path], unread: list[str]) -> Iterator[Path]:
    """Yield the files below a folder, a folder's own before those of the folders in it."""
    if folder.resolve() in entered:
        return
    entered.add(folder.resolve())
    try:
        with os.scandir(folder) as listing:
            found = sorted((entry.name, entry.is_dir()) for entry in listing if not entry.name.startswith("."))
    except OSError as error:
        unread.append(f"{folder}: {error.strerror}")
        return
    yield from (folder / name for name, is_folder in found if not is_folder)
    for name, is_folder in found:
        if is_folder:
            yield from _walk(folder / name, entered, unread)


def _says_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes: many archives give such files no suffix, or a number for one."""
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False
