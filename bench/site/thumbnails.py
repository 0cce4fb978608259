"""All test images of a task on one sheet, where anybody may show them: where they are drawn, and nobody is in them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bench.contracts import TaskSpec
from bench.data.decode import prepare_thumbnails
from bench.data.index import index_task
from bench.results.record import TaskPart

SIDE, COLUMNS = 64, 20


def sheet(spec: TaskSpec, cache: Path, task: TaskPart, ids: Sequence[str]) -> str:
    """Draw the images of a task and put them on a sheet, ``COLUMNS`` in a row.

    Args:
        spec: the installed task of this name.
        cache: where its images are drawn.
        task: the task as recorded.
        ids: of the images, in the order that the sheet has.

    Returns:
        a JPEG in base64; empty where the images are not drawn, not for everybody, or not those of the record.

    Raises:
        BenchError: they cannot be drawn, or not be kept in the cache.

    """
    if not spec.synthetic or spec.private or spec.version != task.version:
        return ""
    manifest = index_task(spec, cache, cache)
    if manifest.sha256 != task.manifest_sha256:
        return ""
    places = {entry.id: place for place, entry in enumerate(manifest.images())}
    drawn = np.load(prepare_thumbnails(spec, manifest, SIDE, cache), mmap_mode="r")
    rows = -(-len(ids) // COLUMNS)
    cells = np.zeros((rows * COLUMNS, SIDE, SIDE), np.uint8)
    cells[: len(ids)] = drawn[[places[one] for one in ids], ..., 0]
    whole = cells.reshape(rows, COLUMNS, SIDE, SIDE).swapaxes(1, 2).reshape(rows * SIDE, COLUMNS * SIDE)
    buffer = BytesIO()
    Image.fromarray(whole).save(buffer, "JPEG", quality=80)
    return b64encode(buffer.getvalue()).decode()
