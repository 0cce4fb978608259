"""Two tasks drawn by this project, so that a benchmark runs without a download: retinal OCT and chest X-rays.

They show what a detector does, not how good it is on patients: no figure from a phantom says anything about disease.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.contracts import ImageFile, TaskSpec

SIDE = 128
"""Height and width of every phantom image, in pixels."""

CITATION = "drawn by bench itself (bench.data.phantoms)"
LICENCE = "CC0-1.0 (drawn by this project)"
URL = "none: drawn on this machine"
LAYOUT = "  nothing to download: the images are drawn into the cache folder on first use"


def oct_phantom_files(folder: Path) -> Sequence[ImageFile]:
    """Draw the retinas below ``folder`` unless they are there already, and list them.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.

    """
    from bench.data.phantoms.sets import OCT_SET, build_set

    return build_set(OCT_SET, folder)


def cxr_phantom_files(folder: Path) -> Sequence[ImageFile]:
    """Draw the chest X-rays below ``folder`` unless they are there already, and list them.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.

    """
    from bench.data.phantoms.sets import CXR_SET, build_set

    return build_set(CXR_SET, folder)


OCT_PHANTOM = TaskSpec(
    name="oct-phantom",
    version="1",
    modality="OCT",
    citation=CITATION,
    licence=LICENCE,
    url=URL,
    grouping="patient",
    layout=LAYOUT,
    build=oct_phantom_files,
    synthetic=True,
    editions={"2d31c5c0dd78c3a44d64c0041e9ad1ffd0bbaa3fd5776cddcdecb8573cbc02e8": "drawn-1"},
)

CXR_PHANTOM = TaskSpec(
    name="cxr-phantom",
    version="1",
    modality="chest X-ray",
    citation=CITATION,
    licence=LICENCE,
    url=URL,
    grouping="patient",
    layout=LAYOUT,
    build=cxr_phantom_files,
    synthetic=True,
    editions={"17ca3a34e4c463d7bc5de293f524a72d7527875e2929454fb56ce74151f5a298": "drawn-1"},
)
