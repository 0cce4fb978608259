"""From a data folder to a manifest, hashing each file once in its life."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from bench.contracts import TaskSpec
from bench.data.manifest import Manifest, build_manifest
from bench.errors import BadImagesError, BadTaskError, DataChangedError
from bench.files import write_atomically


class Known(NamedTuple):
    """What the index remembers of a file: unchanged size and time stand for an unchanged hash."""

    size: int
    modified_ns: int
    sha256: str


def index_task(
    spec: TaskSpec,
    data: Path,
    cache: Path,
    *,
    accept_changes: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """List, hash and split a task's images.

    Args:
        spec: the task.
        data: the data folder; synthetic tasks draw into the cache instead.
        cache: the image cache, where hashes are remembered by path, size and time of change.
        accept_changes: take a changed folder as the new truth (a new edition).
        progress: told (done, total) while files are hashed.

    Raises:
        DataMissingError: the task's folders are not there.
        DataChangedError: files were added, removed or changed since the folder was first indexed.
        BadImagesError: empty or unreadable files, all of them named.
        BadTaskError: the images make no benchmark.

    """
    root = (cache / "phantoms" if spec.synthetic else data).resolve()
    files = spec.build(root)
    paths = sorted({path for file in files for path in (file.path, file.mask) if path is not None})
    if len({file.path for file in files}) != len(files):
        raise BadTaskError(f"task '{spec.name}' lists a file twice")
    memory = cache / "index" / f"{spec.name}-{spec.version}-{sha256(os.fsencode(root)).hexdigest()[:12]}.json"
    before = _load(memory)
    now = _hash_files(paths, root, before, progress)
    changes = _changes(before, now) if before and not spec.synthetic else []
    if changes and not accept_changes:
        raise DataChangedError(
            f"the images of task '{spec.name}' in {root} changed since they were first indexed:\n  "
            + _shorten(changes)
            + "\nRestore the files, or accept them as a new edition with --accept-data-changes "
            "(results before and after are never ranked together)."
        )
    if before != now:
        write_atomically(memory, json.dumps(now).encode())
    return build_manifest(spec, files, {path: now[_name(path, root)].sha256 for path in paths})


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _load(memory: Path) -> dict[str, Known]:
    try:
        stored = json.loads(memory.read_bytes())
        return {name: Known(*known) for name, known in stored.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):  # damaged: hashing again costs seconds, trusting it could cost more
        return {}


def _hash_files(
    paths: list[Path], root: Path, before: dict[str, Known], progress: Callable[[int, int], None]
) -> dict[str, Known]:
    bad: list[str] = []

    def look(path: Path) -> tuple[str, Known | None]:
        name = _name(path, root)
        try:
            status = path.stat()
            known = before.get(name)
            if status.st_size == 0:
                bad.append(f"{name}: empty file")
                return name, None
            if known and (known.size, known.modified_ns) == (status.st_size, status.st_mtime_ns):
                return name, known
            return name, Known(status.st_size, status.st_mtime_ns, sha256(path.read_bytes()).hexdigest())
        except OSError as error:
            bad.append(f"{name}: {error.strerror}")
            return name, None

    found: dict[str, Known] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done, (name, known) in enumerate(threads.map(look, paths), start=1):
            if known:
                found[name] = known
            if done % 500 == 0 or done == len(paths):
                progress(done, len(paths))
    if bad:
        raise BadImagesError(bad_images_text(sorted(bad), root))
    return found


def bad_images_text(bad: list[str], root: Path) -> str:
    """Name every image that cannot be read, and what to do about it."""
    lines = "\n  ".join(bad)
    return f"{len(bad)} image(s) below {root} cannot be read:\n  {lines}\nDownload them again, or remove them."


def _changes(before: dict[str, Known], now: dict[str, Known]) -> list[str]:
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
