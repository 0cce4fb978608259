"""From a data folder to a manifest, hashing each file once in its life."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from bench.contracts import ImageFile, TaskSpec
from bench.data.decode import undecodable
from bench.data.manifest import Manifest, build_manifest
from bench.errors import BadImagesError, BadTaskError, BenchError, DataChangedError, PluginProblem, StorageError
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
        BadImagesError: empty or unreadable files, all of them named, and with them those that cannot be decoded.
        BadTaskError: the images make no benchmark.
        PluginProblem: the task's own code failed.

    """
    root = (cache / "phantoms" if spec.synthetic else data).resolve()
    files = list_files(spec, root)
    paths = sorted({path for file in files for path in (file.path, file.mask) if path is not None})
    if len({file.path for file in files}) != len(files):
        raise BadTaskError(f"task '{spec.name}' lists a file twice")
    memory = cache / "index" / f"{spec.name}-{spec.version}-{sha256(os.fsencode(root)).hexdigest()[:12]}.json"
    before = _load(memory)
    now, bad = _hash_files(paths, root, before, progress)
    if bad:
        # The run ends here anyway, so take the time to find those that do not decode as well: one list, one repair.
        bad += undecodable(spec, [file.path for file in files if _name(file.path, root) in now], progress)
        raise BadImagesError(bad)
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


def list_files(spec: TaskSpec, root: Path) -> list[ImageFile]:
    """Have a task list its images below ``root``; what goes wrong in its code is told as its fault."""
    try:
        return list(spec.build(root))
    except BenchError:
        raise
    except Exception as error:
        raise PluginProblem(f"task '{spec.name}' failed to list its images: {type(error).__name__}: {error}") from error


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


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


def _hash_files(
    paths: list[Path], root: Path, before: dict[str, Known], progress: Callable[[int, int], None]
) -> tuple[dict[str, Known], list[str]]:
    """Hash every file that the index does not know already; returns those, and the bad ones with their reasons."""
    bad: list[str] = []

    def look(path: Path) -> tuple[str, Known | None]:
        name = _name(path, root)
        try:
            status = path.stat()
            known = before.get(name)
            if status.st_size == 0:
                bad.append(f"{path}: empty file")
                return name, None
            if known and (known.size, known.modified_ns) == (status.st_size, status.st_mtime_ns):
                return name, known
            return name, Known(status.st_size, status.st_mtime_ns, sha256(path.read_bytes()).hexdigest())
        except OSError as error:
            bad.append(f"{path}: {error.strerror}")
            return name, None

    found: dict[str, Known] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done, (name, known) in enumerate(threads.map(look, paths), start=1):
            if known:
                found[name] = known
            if done % 500 == 0 or done == len(paths):
                progress(done, len(paths))
    return found, bad


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
