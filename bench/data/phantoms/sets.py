"""Which images a phantom task has, and drawing them once into a cache folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from bench.contracts import ImageFile
from bench.data.phantoms import SIDE
from bench.data.phantoms.pgm import header, write_pgm
from bench.files import storage_error

Pixels = NDArray[np.uint8]
Draw = Callable[[Generator, Generator, str | None], tuple[Pixels, Pixels]]

PER_PATIENT = 2
"""Two images of each patient, of one class, in one split."""


@dataclass(frozen=True)
class PhantomSet:
    """A task's images before they are drawn.

    Attributes:
        folder: name of the folder they lie in, with the version.
        seed: of the whole set.
        draw: returns the drawing function; called only if images must be drawn, since that imports scipy.
        lesions: number of test images by anomalous category; even, like the numbers below.
        fit: number of normal images to learn from.
        normal: number of normal test images.

    """

    folder: str
    seed: int
    draw: Callable[[], Draw]
    lesions: tuple[tuple[str, int], ...]
    fit: int = 400
    normal: int = 100


def _oct() -> Draw:
    from bench.data.phantoms.oct import draw

    return draw


def _cxr() -> Draw:
    from bench.data.phantoms.cxr import draw

    return draw


OCT_SET = PhantomSet("oct-phantom-v1", 2021, _oct, (("DRUSEN", 34), ("FLUID", 34), ("NEOVASCULAR", 32)))
CXR_SET = PhantomSet(
    "cxr-phantom-v1", 2022, _cxr, (("CONSOLIDATION", 26), ("EFFUSION", 24), ("INTERSTITIAL", 24), ("NODULE", 26))
)


def build_set(phantoms: PhantomSet, folder: Path) -> Sequence[ImageFile]:
    """List the set below ``folder``, drawing it first if it is missing or damaged.

    It is drawn into a folder beside the final one and renamed when whole, so that a reader never finds half of it and
    two processes may draw at once.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.

    """
    root = folder / phantoms.folder
    files = plan_files(phantoms, root)
    if _is_whole(root, files):
        return files
    try:
        folder.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder, prefix=f".{phantoms.folder}-"))
        try:
            _draw_all(phantoms, building)
            _move_into_place(building, root, files)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise storage_error(root, error) from error
    return files


def plan_files(phantoms: PhantomSet, root: Path) -> list[ImageFile]:
    """Name every image of the set below ``root``, in the order in which they are numbered; reads no disk."""
    fit = [_file(root, "fit", index, index // PER_PATIENT, "NORMAL") for index in range(phantoms.fit)]
    first = phantoms.fit // PER_PATIENT  # the patients of test are numbered on from those of fit
    categories = ["NORMAL"] * phantoms.normal + [name for name, count in phantoms.lesions for _ in range(count)]
    return fit + [
        _file(root, "test", index, first + index // PER_PATIENT, category) for index, category in enumerate(categories)
    ]


def draw_one(phantoms: PhantomSet, role: str, index: int, lesion: str | None) -> tuple[Pixels, Pixels]:
    """Draw image ``index`` of a role: uint8 (128, 128) image and mask (255 on the lesion, else 0).

    Patient and image have seeds of their own, so an image depends on no other.
    """
    split = 0 if role == "fit" else 1
    patient = Generator(PCG64(SeedSequence([phantoms.seed, split, 0, index // PER_PATIENT])))
    image = Generator(PCG64(SeedSequence([phantoms.seed, split, 1, index])))
    return phantoms.draw()(patient, image, lesion)


def _file(root: Path, role: Literal["fit", "test"], index: int, number: int, category: str) -> ImageFile:
    label: Literal[0, 1] = 0 if category == "NORMAL" else 1
    patient = f"P{number + 1:04d}"
    folder = root / ("train" if role == "fit" else "test") / category
    name = f"{patient}-{index % PER_PATIENT + 1}.pgm"
    mask = folder / "masks" / name if label else None
    return ImageFile(folder / name, label, category, patient, role, mask)


def _draw_all(phantoms: PhantomSet, root: Path) -> None:
    indices = {"fit": 0, "test": 0}
    for file in plan_files(phantoms, root):
        image, mask = draw_one(phantoms, file.role, indices[file.role], file.category if file.label else None)
        indices[file.role] += 1
        (file.mask or file.path).parent.mkdir(parents=True, exist_ok=True)
        write_pgm(file.path, image)
        if file.mask is not None:
            write_pgm(file.mask, mask)
    root.chmod(0o755)  # mkdtemp makes it private; a cache may be shared
    (root / "complete").touch()


def _is_whole(root: Path, files: Sequence[ImageFile]) -> bool:
    """Whether the set was drawn to its end and nothing (a cleaner of old cache files) has taken a part of it away."""
    if not (root / "complete").exists():
        return False
    size = len(header(SIDE, SIDE)) + SIDE * SIDE
    try:
        return all(path.stat().st_size == size for file in files for path in (file.path, file.mask) if path)
    except OSError:
        return False


def _move_into_place(building: Path, root: Path, files: Sequence[ImageFile]) -> None:
    """Rename the drawn set to its final name; if another process was faster, its set is the same to the byte."""
    if root.exists() and not _is_whole(root, files):
        shutil.rmtree(root, ignore_errors=True)  # what cannot be removed makes the renaming fail
    try:
        building.rename(root)
    except OSError:
        if not _is_whole(root, files):
            raise
