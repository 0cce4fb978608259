"""From a data folder to a manifest, hashing each file once in its life."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import joblib

from bench.contracts import ImageFile, TaskSpec
from bench.data.decode import place, undecodable
from bench.data.manifest import Manifest, build_manifest
from bench.data.reading import Member, Reader
from bench.errors import BadImagesError, BadTaskError, BenchError, DataChangedError, PluginProblem, StorageError
from bench.files import write_atomically

BATCH = 500

Steps = Callable[[str, int, int], None]
"""Told what is being done, and how much of it: ("checking files", done, total)."""


class Known(NamedTuple):
    """What the index remembers of a file: unchanged size and time stand for an unchanged hash.

    ``fault`` is why it does not decode, "" if it does, and None if nobody has tried.
    """

    size: int
    modified_ns: int
    sha256: str
    fault: str | None = None


class Item(NamedTuple):
    """Something to hash: a file, or a row of one, and what the index calls it."""

    name: str
    path: Path
    member: Member


@dataclass(frozen=True)
class IndexOptions:
    """What to do about data that is not as it was.

    Attributes:
        accept_changes: take a changed folder as the new truth (a new edition).
        skip_bad: leave out files that do not decode, and say so in the manifest.

    """

    accept_changes: bool = False
    skip_bad: bool = False


def index_task(
    spec: TaskSpec,
    data: Path,
    cache: Path,
    options: IndexOptions = IndexOptions(),
    progress: Steps = lambda step, done, total: None,
) -> Manifest:
    """List, hash and split a task's images.

    Args:
        spec: the task.
        data: the data folder; synthetic tasks draw into the cache instead.
        cache: the image cache, where hashes are remembered by path, size and time of change.
        options: what to do about data that is not as it was.
        progress: told how far it is.

    Raises:
        DataMissingError: the task's folders are not there.
        DataChangedError: files were added, removed or changed since the folder was first indexed.
        BadImagesError: empty or unreadable files, all of them named, and with them those that cannot be decoded.
        BadTaskError: the images make no benchmark.
        PluginProblem: the task's own code failed.

    """
    if spec.base is not None:
        from bench.data.protocols import derive

        return derive(spec, index_task(spec.base, data, cache, options, progress), cache, progress)
    with _without_collector():
        return _index(spec, data, cache, options, progress)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Stop looking for garbage: of 100,000 small objects none is, and looking takes a third of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _index(spec: TaskSpec, data: Path, cache: Path, options: IndexOptions, progress: Steps) -> Manifest:
    root = (cache / "phantoms" if spec.synthetic else data).resolve()
    files = list_files(spec, root)
    items = [Item(_name(file.path, root, file.member), file.path, file.member) for file in files]
    masks = [Item(_name(file.mask, root), file.mask, None) for file in files if file.mask is not None]
    if len({item.name for item in items}) != len(items):
        raise BadTaskError(f"task '{spec.name}' lists a file twice")
    memory = _memory(spec, root, cache)
    before = _load(memory)
    now, bad = _hash_all([*items, *dict.fromkeys(masks)], Reader(spec, cache), before, progress)
    now, bad = _judge(spec, files, items, now, bad, cache, options.skip_bad, progress)
    bad += _masks_of_other_size([file for file in files if file.mask], root, before, now)
    if bad:
        raise BadImagesError(bad)
    changes = _changes(before, now) if before and not spec.synthetic else []
    if changes and not options.accept_changes:
        raise DataChangedError(
            f"the images of task '{spec.name}' in {root} changed since they were first indexed:\n  "
            + _shorten(changes)
            + "\nRestore the files, or accept them as a new edition with --accept-data-changes "
            "(results before and after are never ranked together)."
        )
    if before != now:
        write_atomically(memory, json.dumps(now).encode())
    skipped = {number for number, item in enumerate(items) if now[item.name].fault}
    digests = [now[item.name].sha256 for item in items]
    return build_manifest(spec, files, digests, {mask.path: now[mask.name].sha256 for mask in masks}, skipped)


def is_indexed(spec: TaskSpec, data: Path, cache: Path) -> bool:
    """Whether a task's files in this folder were hashed before."""
    return _memory(spec, data.resolve(), cache).exists()


def list_files(spec: TaskSpec, root: Path) -> Sequence[ImageFile]:
    """Have a task list its images below ``root``; what goes wrong in its code is told as its fault."""
    try:
        return list(spec.build(root))
    except BenchError:
        raise
    except Exception as error:
        raise PluginProblem(f"task '{spec.name}' failed to list its images: {type(error).__name__}: {error}") from error


def _memory(spec: TaskSpec, root: Path, cache: Path) -> Path:
    return cache / "index" / f"{spec.name}-{spec.version}-{sha256(os.fsencode(root)).hexdigest()[:12]}.json"


def _name(path: Path, root: Path, member: Member = None) -> str:
    """Name a file by its path from the root; as text, since a task may have 100,000 of them."""
    text = str(path).removeprefix(f"{root}{os.sep}")
    return text if member is None else f"{text}[{member[0]}/{member[1]}]"


def _load(memory: Path) -> dict[str, Known]:
    try:
        stored = json.loads(memory.read_bytes())
        return {name: Known(*known) for name, known in stored.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"cannot read {memory}: {error.strerror}: remove it, or name another BENCH_CACHE") from error
    except (ValueError, TypeError, AttributeError):  # damaged: hashing again costs seconds, trusting it could cost more
        return {}


def _hash_all(
    items: Sequence[Item], reader: Reader, before: Mapping[str, Known], progress: Steps
) -> tuple[dict[str, Known], list[str]]:
    """Hash everything that the index does not know already; returns those, and the bad ones with their reasons."""
    found: dict[str, Known] = {}
    bad: list[str] = []
    new: list[tuple[Item, int, int]] = []
    for item in items:
        try:
            status = os.stat(item.path)  # noqa: PTH116  (half the time of Path.stat)
        except OSError as error:
            bad.append(f"{item.path}: {error.strerror}")
            continue
        known = before.get(item.name)
        if known and known.size == status.st_size and known.modified_ns == status.st_mtime_ns:
            found[item.name] = known
        else:
            new.append((item, status.st_size, status.st_mtime_ns))

    def look(place: int) -> Known | None:
        item, size, modified = new[place]
        try:
            return Known(size, modified, reader.digest(item.path, item.member), None if size else "empty file")
        except OSError as error:
            bad.append(f"{item.path}: {error.strerror}")
        except BadImagesError as error:
            bad.extend(error.bad)
        except IndexError:
            bad.append(f"{item.path}: there is no row {item.member}")
        return None

    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        for start in range(0, len(new), BATCH):
            batch = range(start, min(start + BATCH, len(new)))
            for place, known in zip(batch, threads.map(look, batch), strict=True):
                if known:
                    found[new[place][0].name] = known
            progress("checking files", batch.stop, len(new))
    return found, list(dict.fromkeys(bad))


def _judge(
    spec: TaskSpec,
    files: Sequence[ImageFile],
    items: Sequence[Item],
    now: dict[str, Known],
    bad: list[str],
    cache: Path,
    skip_bad: bool,
    progress: Steps,
) -> tuple[dict[str, Known], list[str]]:
    """Find out which files do not decode, if anybody asked or something is wrong already, and add them to ``bad``.

    A run that ends anyway takes the time to name them all: one list, one repair.
    """
    empty = [item for item in items if (known := now.get(item.name)) and known.fault]
    if skip_bad or bad or empty:
        untried = [n for n, item in enumerate(items) if (known := now.get(item.name)) and known.fault is None]
        faults = undecodable(
            spec, [files[n] for n in untried], cache, lambda done, total: progress("trying files", done, total)
        )
        tried = {items[n].name: fault for n, fault in zip(untried, faults, strict=True)}
        now = {name: known._replace(fault=tried.get(name, known.fault)) for name, known in now.items()}
    if skip_bad:
        return now, bad
    faulty = [
        f"{place(file)}: {known.fault}"
        for file, item in zip(files, items, strict=True)
        if (known := now.get(item.name)) and known.fault
    ]
    return now, bad + faulty


def _masks_of_other_size(
    files: Sequence[ImageFile], root: Path, before: Mapping[str, Known], now: Mapping[str, Known]
) -> list[str]:
    """Compare each new mask with its image, reading no more than the headers."""
    from PIL import Image

    bad = []
    for file in files:
        names = [_name(path, root) for path in (file.path, file.mask) if path is not None]
        if file.mask is None or all(name in before and before[name] == now.get(name) for name in names):
            continue
        try:
            with Image.open(file.path) as image, Image.open(file.mask) as mask:
                if image.size != mask.size:
                    bad.append(f"{file.mask}: the mask has {_size(mask.size)} pixels, its image {_size(image.size)}")
        except OSError:  # another decoder's format; or damaged, which decoding will say
            continue
    return bad


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _changes(before: Mapping[str, Known], now: Mapping[str, Known]) -> list[str]:
    changed = [name for name in now if name in before and now[name].sha256 != before[name].sha256]
    return (
        [f"changed: {name}" for name in sorted(changed)]
        + [f"added: {name}" for name in sorted(now.keys() - before.keys())]
        + [f"missing: {name}" for name in sorted(before.keys() - now.keys())]
    )


def _shorten(lines: Iterable[str], limit: int = 20) -> str:
    lines = list(lines)
    more = [f"… and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n  ".join(lines[:limit] + more)
