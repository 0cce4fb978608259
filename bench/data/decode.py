"""Decoding images once, in parallel, into read-only memory maps that every detector and seed shares."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import ImageFile, Images, TaskSpec
from bench.data.manifest import Entry, Manifest
from bench.data.reading import Reader
from bench.errors import BadImagesError, DataChangedError
from bench.files import check_writable, storage_error

DECODER = "2"
"""Part of every cache key and cell id; bumped when the same file would decode to other pixels."""

BATCH = 512
CORRUPTED_AT = 224

Progress = Callable[[int, int], None]
Parts = Mapping[str, Sequence[Entry]]


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
    spec: TaskSpec, manifest: Manifest, size: int, cache: Path, progress: Progress = lambda done, total: None
) -> ImageMaps:
    """Decode a task's fit, tune and test images to ``size`` × ``size`` grey, unless the cache has them.

    The whole image is squashed to a square with an antialiased bilinear filter; nothing is cropped or normalised.
    Whoever is interrupted goes on next time where it stopped. A protocol variant copies what its base has decoded.

    Raises:
        BadImagesError: images that cannot be decoded, all of them named.
        DataChangedError: a file changed between hashing and decoding.
        StorageError: the cache folder cannot be written, or the disk is full.

    """
    folder = _folder(manifest, size, cache)
    _decode_once(spec, _parts(manifest), size, cache, folder, progress, _of_base(spec, manifest, size, cache))
    return ImageMaps(folder / "fit.npy", folder / "evaluate.npy")


def prepare_thumbnails(
    spec: TaskSpec, manifest: Manifest, size: int, cache: Path, progress: Progress = lambda done, total: None
) -> Path:
    """Decode all images of a task, whatever their role, to one .npy file, uint8 (n, size, size, 1), in order of id.

    Raises:
        BadImagesError: images that cannot be decoded, all of them named.
        DataChangedError: a file changed between hashing and decoding.
        StorageError: the cache folder cannot be written, or the disk is full.

    """
    folder = cache / "thumbnails" / _key(manifest, size)
    _decode_once(spec, {"all": manifest.images()}, size, cache, folder, progress, {})
    return folder / "all.npy"


def is_prepared(manifest: Manifest, size: int, cache: Path) -> bool:
    """Whether the cache holds a task's images at a size."""
    counts = {name: len(entries) for name, entries in _parts(manifest).items()}
    return _is_complete(_folder(manifest, size, cache), counts, size)


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


def undecodable(
    spec: TaskSpec, files: Sequence[ImageFile | Entry], cache: Path, progress: Progress = lambda done, total: None
) -> list[str]:
    """Try to decode files; returns for each why it fails, or ""."""
    reader = Reader(spec, cache)

    def attempt(file: ImageFile | Entry) -> str:
        try:
            reader.picture(file.path, file.member, reader.content(file.path, file.member))
        except Exception as error:  # a decoder may raise anything on a damaged file
            return str(error) or type(error).__name__
        return ""

    reasons = []
    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        for done, reason in enumerate(threads.map(attempt, files), start=1):
            reasons.append(reason)
            if done % BATCH == 0 or done == len(files):
                progress(done, len(files))
    return reasons


def _key(manifest: Manifest, size: int) -> str:
    return sha256(f"{manifest.sha256}/{size}/{DECODER}".encode()).hexdigest()[:20]


def _folder(manifest: Manifest, size: int, cache: Path) -> Path:
    return cache / "images" / _key(manifest, size)


def _parts(manifest: Manifest) -> Parts:
    return {"fit": manifest.of_role("fit"), "evaluate": manifest.of_role("tune", "test")}


def _of_base(spec: TaskSpec, manifest: Manifest, size: int, cache: Path) -> dict[str, NDArray[np.uint8]]:
    """Return what the task's base has decoded at this size, by image id."""
    base = manifest.base
    if base is None or not is_prepared(base, size, cache):
        return {}
    return {
        entry.id: row
        for name, entries in _parts(base).items()
        for entry, row in zip(entries, np.load(_folder(base, size, cache) / f"{name}.npy", mmap_mode="r"), strict=True)
        if not (spec.protocol.corruption and entry.role == "test")
    }


def _decode_once(
    spec: TaskSpec,
    parts: Parts,
    size: int,
    cache: Path,
    folder: Path,
    progress: Progress,
    known: Mapping[str, NDArray[np.uint8]],
) -> None:
    """Decode into ``folder``, unless it is there; ``known`` are images that need no decoding, by id."""
    counts = {name: len(entries) for name, entries in parts.items()}
    if _is_complete(folder, counts, size):
        return
    check_writable(cache, sum(counts.values()) * size * size + (1 << 20))
    # Not a name of its own for each process: one that was killed is taken up where it ended, and two at the same time
    # write the same bytes into the same files.
    building = folder.with_name(f".{folder.name}")
    try:
        building.mkdir(parents=True, exist_ok=True)
        _decode_all(Reader(spec, cache), parts, size, building, progress, known)
        _replace_folder(building, folder, counts, size)
    except FileNotFoundError:
        if not _is_complete(folder, counts, size):  # another process has renamed it under our hands
            raise
    except OSError as error:
        raise storage_error(folder, error) from error


def _is_complete(folder: Path, counts: Mapping[str, int], size: int) -> bool:
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


def _replace_folder(building: Path, folder: Path, counts: Mapping[str, int], size: int) -> None:
    sizes = {name: (building / f"{name}.npy").stat().st_size for name in counts}
    (building / "complete.json").write_text(json.dumps(sizes))
    if folder.exists() and not _is_complete(folder, counts, size):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        building.rename(folder)
    except OSError:
        if not _is_complete(folder, counts, size):  # else another process was faster: both wrote the same bytes
            raise
    for name in counts:
        (folder / f"{name}.done").unlink(missing_ok=True)


def _decode_all(
    reader: Reader, parts: Parts, size: int, folder: Path, progress: Progress, known: Mapping[str, NDArray[np.uint8]]
) -> None:
    total, done = sum(len(entries) for entries in parts.values()), 0
    bad: list[str] = []
    changed: list[str] = []
    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        for name, entries in parts.items():
            images = _open_map(folder / f"{name}.npy", np.uint8, (len(entries), size, size, 1))
            finished = _open_map(folder / f"{name}.done", np.bool_, (len(entries),))

            def decode(row: int, entries: Sequence[Entry] = entries, images: NDArray[np.uint8] = images) -> bool:
                entry = entries[row]
                try:
                    images[row] = known[entry.id] if entry.id in known else _decode(reader, entry, size)[:, :, None]
                except DataChangedError:
                    changed.append(str(entry.path))
                except Exception as error:  # a decoder may raise anything on a damaged file
                    bad.append(f"{place(entry)}: {error or type(error).__name__}")
                else:
                    return True
                return False

            for start in range(0, len(entries), BATCH):
                rows = start + np.flatnonzero(~finished[start : start + BATCH])
                if len(rows):
                    whole = np.fromiter(threads.map(decode, rows.tolist()), np.bool_, len(rows))
                    images.flush()  # before the note that says so
                    finished[rows] = whole
                done += len(entries[start : start + BATCH])
                progress(done, total)
    if bad:
        raise BadImagesError(sorted(bad))
    if changed:
        raise DataChangedError("files changed while they were read:\n  " + "\n  ".join(sorted(changed)))


def place(file: ImageFile | Entry) -> str:
    """Where an image lies: ``scan.jpeg``, or ``octmnist.npz[train_images/17]``."""
    return str(file.path) if file.member is None else f"{file.path}[{file.member[0]}/{file.member[1]}]"


def _open_map(path: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Open a memory map for writing, with what it holds already if that has the right form."""
    for _ in range(2):
        with suppress(OSError, ValueError):
            found = np.load(path, mmap_mode="r+")
            if found.shape == shape and found.dtype == dtype:
                return found
        # Made aside and linked into place: another process must neither find half of it, nor lose its own.
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".new")
        os.close(handle)
        np.lib.format.open_memmap(name, mode="w+", dtype=dtype, shape=shape)
        with suppress(FileExistsError):
            os.link(name, path)
        Path(name).unlink()
    path.unlink(missing_ok=True)  # damaged
    return _open_map(path, dtype, shape)


def _decode(reader: Reader, entry: Entry, size: int) -> NDArray[np.uint8]:
    """Decode one image to uint8 (size, size), making sure that it is the one that was hashed."""
    content = reader.content(entry.path, entry.member)
    if sha256(content).hexdigest()[:16] != entry.id[:16]:
        raise DataChangedError(str(entry.path))
    picture = reader.picture(entry.path, entry.member, content)
    protocol = reader.spec.protocol
    if protocol.corruption and entry.role == "test":
        from bench.data.corruptions import corrupt

        square = squash(picture, CORRUPTED_AT)
        seed = int(entry.id[:16], 16)
        modality = reader.spec.modality
        picture = Image.fromarray(corrupt(square, protocol.corruption, protocol.severity, modality, seed))
    return squash(picture, size)


def squash(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    """Squash a whole grey picture to uint8 (size, size), antialiased: all that a detector is given of an image."""
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), np.uint8)


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
