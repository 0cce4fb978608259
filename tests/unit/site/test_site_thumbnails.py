"""Sheets of drawn images, and of no others."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import ImageFile, TaskSpec
from bench.data.index import index_task
from bench.data.manifest import Manifest
from bench.results.record import TaskPart
from bench.site.thumbnails import COLUMNS, SIDE, sheet

TESTED = COLUMNS + 2


def draw(folder: Path) -> Sequence[ImageFile]:
    """Flat images, each of another brightness."""
    files = []
    folder.mkdir(exist_ok=True)
    for number in range(TESTED + 4):
        path = folder / f"{number:02d}.png"
        Image.new("L", (SIDE, SIDE), 5 * number).save(path)
        role = "test" if number < TESTED else "fit"
        label = number % 2 if role == "test" else 0
        files.append(ImageFile(path, label, "DRAWN" if label else "NORMAL", None, role))  # type: ignore[arg-type]
    return files


SPEC = TaskSpec("toy", "1", "toy", "none", "none", "none", "image", "none", build=draw, synthetic=True)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return index_task(SPEC, tmp_path, tmp_path)


def part(manifest: Manifest) -> TaskPart:
    return TaskPart(
        name="toy",
        version="1",
        edition=manifest.edition,
        manifest_sha256=manifest.sha256,
        grouping="image",
        synthetic=True,
        counts=manifest.counts(),
    )


def test_each_image_lies_at_its_place(tmp_path: Path, manifest: Manifest) -> None:
    tested = manifest.of_role("test")
    jpeg = b64decode(sheet(SPEC, tmp_path, part(manifest), [entry.id for entry in tested]))
    pixels = np.asarray(Image.open(BytesIO(jpeg)))
    assert pixels.shape == (2 * SIDE, COLUMNS * SIDE)
    for place, entry in enumerate(tested):
        down, right = SIDE * (place // COLUMNS), SIDE * (place % COLUMNS)
        shown = pixels[down : down + SIDE, right : right + SIDE]
        assert abs(shown.mean() - 5 * int(entry.path.stem)) < 1
    assert pixels[SIDE:, 2 * SIDE :].max() < 3  # the rest is empty


@pytest.mark.parametrize(
    "spec",
    [replace(SPEC, synthetic=False), replace(SPEC, private=True), replace(SPEC, version="2")],
    ids=["not drawn", "private", "another version"],
)
def test_no_other_image_is_shown(tmp_path: Path, manifest: Manifest, spec: TaskSpec) -> None:
    assert sheet(spec, tmp_path, part(manifest), [entry.id for entry in manifest.of_role("test")]) == ""


def test_nothing_is_shown_if_the_images_are_not_those_of_the_records(tmp_path: Path, manifest: Manifest) -> None:
    task = part(manifest).model_copy(update={"manifest_sha256": "0" * 64})
    assert sheet(SPEC, tmp_path, task, ["0" * 16]) == ""
