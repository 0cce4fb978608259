"""The duplicates of a task, found once for each edition and then remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from bench.contracts import TaskSpec
from bench.data.audit.duplicates import VERSION, Pair, find_duplicates
from bench.data.audit.similarity import SIDE
from bench.data.decode import prepare_thumbnails
from bench.data.manifest import Manifest
from bench.data.reading import Reader
from bench.files import write_atomically

Steps = Callable[[str, int, int], None]

SMALLEST = 96
"""Side in pixels below which grain is lost, so that copies cannot be told from neighbours."""

SAMPLE = 25


def find_task_duplicates(
    spec: TaskSpec, manifest: Manifest, cache: Path, progress: Steps = lambda step, done, total: None
) -> list[Pair]:
    """Find exact and near-duplicates among all images of a task, the most alike first.

    Images smaller than ``SMALLEST`` pixels are searched for exact duplicates only: see :func:`has_grain`.

    Raises:
        BadImagesError: images that cannot be decoded, all of them named.
        StorageError: the cache cannot be written.

    """
    memory = cache / "audit" / f"{manifest.sha256[:20]}-{VERSION}.json"
    entries = manifest.images()
    by_id = {entry.id: entry for entry in entries}
    with suppress(OSError, ValueError, KeyError, TypeError):  # damaged or missing: look again
        stored = json.loads(memory.read_bytes())
        return [Pair(kind, by_id[a], by_id[b], alike, flip) for kind, a, b, alike, flip in stored]
    path = prepare_thumbnails(
        spec, manifest, SIDE, cache, lambda done, total: progress("decoding thumbnails", done, total)
    )
    thumbnails = np.load(path, mmap_mode="r")[..., 0]
    near = has_grain(spec, manifest, cache)
    pairs = find_duplicates(entries, thumbnails, near, lambda done, total: progress("looking for copies", done, total))
    rows = [[pair.kind, pair.a.id, pair.b.id, pair.similarity, pair.flip] for pair in pairs]
    write_atomically(memory, json.dumps(rows).encode())
    return pairs


def has_grain(spec: TaskSpec, manifest: Manifest, cache: Path) -> bool:
    """Whether a task's images are large enough to search for near-duplicates, judged by a few of them."""
    reader, entries = Reader(spec, cache), manifest.images()
    sample = entries[:: max(len(entries) // SAMPLE, 1)]
    pictures = (reader.picture(e.path, e.member, reader.content(e.path, e.member)) for e in sample)
    return bool(np.median([min(picture.size) for picture in pictures]) >= SMALLEST)
