"""Decoding images once, in parallel, into read-only memory maps that every detector and seed shares."""

from __future__ import annotations

import io
import json
import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import Images, TaskSpec
from bench.data.manifest import Entry, Manifest
from bench.errors import BadImagesError, DataChangedError
from bench.files import check_writable, storage_error

DECODER = "2"
"""Part of every cache key and cell id; bumped when the same file would decode to other pixels."""


@dataclass(frozen=True)
class ImageMaps:
    """Where the decoded images of one task at one size lie.

    Attributes:
        fit: .npy file, uint8 (n, size, size, 1), in order of image id.
        evaluate: the same for tune and test images together.

    """

    fit: Path
    evaluate: Path


def prepare_images(
    spec: TaskSpec,
    manifest: Manifest,
    size: int,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImageMaps:
    """Decode a task's fit, tune and test images to ``size`` × ``size`` grey, unless the cache has them.

    The whole image is squashed to a square with an antialiased bilinear filter; nothing is cropped or normalised.

    Raises:
        BadImagesError: images that cannot be decoded, all of them named.
        DataChangedError: a file changed between hashing and decoding.
        StorageError: the cache folder cannot be written, or the disk is full.

    """
    key = sha256(f"{manifest.sha256}/{size}/{DECODER}".encode()).hexdigest()[:20]
    folder = cache / "images" / key
    maps = ImageMaps(folder / "fit.npy", folder / "evaluate.npy")
    parts = {"fit": manifest.of_role("fit"), "evaluate": manifest.of_role("tune", "test")}
    if _is_complete(folder, {name: len(entries) for name, entries in parts.items()}, size):
        return maps
    check_writable(cache, sum(len(entries) for entries in parts.values()) * size * size + (1 << 20))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{key}-"))
    except OSError as error:
        raise storage_error(folder, error) from error
    try:
        _decode_all(spec, parts, size, building, progress)
        _replace_folder(building, folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return maps


def open_images(path: Path, channels: int) -> Images:
    """Open a decoded set as uint8 (n, h, w, channels), read-only; grey is repeated as a view, not in memory.

    Neither the array nor what it is based on names the file, and no descriptor of it stays open: detectors are given
    this array, and ``np.load(mmap_mode="r")`` would hand them ``filename`` with it.
    """
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        images = np.frombuffer(_map_without_descriptor(file.fileno()), dtype, offset=file.tell()).reshape(shape)
    return np.broadcast_to(images, (*shape[:3], channels))


def _map_without_descriptor(file: int) -> mmap.mmap:
    """Map a whole file read-only, without the copy of its descriptor that Python before 3.13 insists on."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(file, 0, access=mmap.ACCESS_READ, trackfd=False)
    before = _descriptors_of(file)
    mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    null = os.open(os.devnull, os.O_RDONLY)
    for copy in _descriptors_of(file) - before:
        os.dup2(null, copy, inheritable=False)  # not closed: its number still belongs to the map
    os.close(null)
    return mapped


def _descriptors_of(file: int) -> set[int]:
    """All descriptors of this process that are open on the same file."""
    found = set()
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  (their names alone are wanted)
        with suppress(OSError):  # the listing's own descriptor is closed by now
            if os.path.sameopenfile(int(name), file):
                found.add(int(name))
    return found


def _is_complete(folder: Path, counts: dict[str, int], size: int) -> bool:
    """Whether the cache holds these maps; anything odd about them means decoding again."""
    try:
        sizes = json.loads((folder / "complete.json").read_text())
        for name, count in counts.items():
            path = folder / f"{name}.npy"
            if path.stat().st_size != sizes[name] or np.load(path, mmap_mode="r").shape != (count, size, size, 1):
                return False
    except (OSError, ValueError, KeyError, EOFError):
        return False
    return True


def _replace_folder(building: Path, folder: Path) -> None:
    (building / "complete.json").write_text(json.dumps({p.stem: p.stat().st_size for p in building.glob("*.npy")}))
    if folder.exists():  # damaged, or another process was faster: both wrote the same bytes
        shutil.rmtree(folder, ignore_errors=True)
    try:
        building.rename(folder)
    except OSError:
        if not (folder / "complete.json").exists():
            raise


def _decode_all(
    spec: TaskSpec,
    parts: dict[str, tuple[Entry, ...]],
    size: int,
    folder: Path,
    progress: Callable[[int, int], None],
) -> None:
    total, done = sum(len(entries) for entries in parts.values()), 0
    bad: list[str] = []
    changed: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for name, entries in parts.items():
            images = np.lib.format.open_memmap(
                folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=(len(entries), size, size, 1)
            )

            def decode(numbered: tuple[int, Entry], images: NDArray[np.uint8] = images) -> None:
                row, entry = numbered
                try:
                    images[row, :, :, 0] = _decode(spec, entry, size)
                except DataChangedError:
                    changed.append(str(entry.path))
                except Exception as error:  # a decoder may raise anything on a damaged file
                    bad.append(f"{entry.path}: {error or type(error).__name__}")

            for _ in threads.map(decode, enumerate(entries)):
                done += 1
                if done % 100 == 0 or done == total:
                    progress(done, total)
            images.flush()
    if bad:
        raise BadImagesError(bad)
    if changed:
        raise DataChangedError("files changed while they were read:\n  " + "\n  ".join(sorted(changed)))


def undecodable(
    spec: TaskSpec, paths: Sequence[Path], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """Try to decode files and return those that fail: ``PATH: reason``."""

    def attempt(path: Path) -> str:
        try:
            _decode_file(spec, path, path.read_bytes())
        except Exception as error:  # a decoder may raise anything on a damaged file
            return f"{path}: {error or type(error).__name__}"
        return ""

    bad = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done, reason in enumerate(threads.map(attempt, paths), start=1):
            bad += [reason] * bool(reason)
            if done % 100 == 0 or done == len(paths):
                progress(done, len(paths))
    return bad


def _decode(spec: TaskSpec, entry: Entry, size: int) -> NDArray[np.uint8]:
    """Decode one image to uint8 (size, size), making sure that it is the file that was hashed."""
    content = entry.path.read_bytes()
    if sha256(content).hexdigest()[:16] != entry.id[:16]:
        raise DataChangedError(str(entry.path))
    shrunk = _decode_file(spec, entry.path, content).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(shrunk, np.uint8)


def _decode_file(spec: TaskSpec, path: Path, content: bytes) -> Image.Image:
    """Decode one file to an 8-bit grey picture.

    Raises:
        ValueError: pixels whose range nothing states: 32-bit integers and floating point.

    """
    if spec.decode is not None:
        return Image.fromarray(to_grey(spec.decode(path)))
    with Image.open(io.BytesIO(content)) as image:
        # Pillow opens 16-bit PGM (and, in older versions, PNG) as 32-bit integers, and clips both when it converts.
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG")):
            return Image.fromarray(to_grey(np.asarray(image).astype(np.uint16)))
        if image.mode in ("I", "F"):
            raise ValueError("32-bit pixels, whose range is unknown: convert them to 8 or 16 bits")
        return image.convert("L")


def to_grey(array: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 or uint16 (h, w) or (h, w, c) to uint8 (h, w); 16 bits are scaled by 1/257, colours averaged.

    Raises:
        ValueError: any other type or shape.

    """
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3):
        raise ValueError(f"decoded to {array.dtype} {array.shape}; expected uint8 or uint16 (h, w) or (h, w, c)")
    values = array.astype(np.float64) / (257 if array.dtype == np.uint16 else 1)
    return np.rint(values.mean(axis=2) if values.ndim == 3 else values).astype(np.uint8)
