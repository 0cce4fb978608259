"""A task read from a folder of your own images: everything is told by folders and file names.

Copy the package, change ``NAME`` and, if your files are named otherwise, ``FILE_NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import bench

NAME = "my-clinic"
LAYOUT = f"""\
  {NAME}/fit/PATIENT_CATEGORY_NUMBER.png              normal images to learn from
  {NAME}/test/normal/PATIENT_CATEGORY_NUMBER.png
  {NAME}/test/anomalous/PATIENT_CATEGORY_NUMBER.png
  {NAME}/masks/PATIENT_CATEGORY_NUMBER.png            optional: non-zero on the lesion of the image of that name"""
FILE_NAME = re.compile(r"(?P<patient>[A-Za-z0-9-]+)_(?P<category>[A-Za-z0-9-]+)_(?P<number>\d+)")
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


class Part(NamedTuple):
    """A folder of images that have a role and a label in common."""

    folder: str
    role: Literal["fit", "test"]
    label: Literal[0, 1]


PARTS = (Part("fit", "fit", 0), Part("test/normal", "test", 0), Part("test/anomalous", "test", 1))


def list_files(data: Path) -> Sequence[bench.ImageFile]:
    """List the images below ``data / NAME``, with patient and category from their names.

    Raises:
        DataMissingError: a folder is missing or has no image; the text shows the layout.
        BadTaskError: the folders are there, but not as the layout says: file names without a patient, patients
            that are both learned from and tested on, masks that belong to no anomalous image.

    """
    root = data / NAME
    masks = _masks(root / "masks")
    files = [
        bench.ImageFile(path, part.label, category, patient, part.role, masks.get(path.stem) if part.label else None)
        for part in PARTS
        for path in _images(root / part.folder)
        for patient, category in [_read_name(path)]
    ]
    _check_patients(files)
    _check_masks(masks, files)
    return files


def _images(folder: Path) -> list[Path]:
    """Images of one folder; anything else in it (``.DS_Store``, a list of names) is no image."""
    found = (
        [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
        if folder.is_dir()
        else []
    )
    if not found:
        raise bench.DataMissingError(f"task '{NAME}': no images in {folder}\nExpected layout:\n{LAYOUT}")
    return sorted(found)


def _masks(folder: Path) -> dict[str, Path]:
    """Masks by the stem of the image that they belong to; none where there is no such folder."""
    masks: dict[str, Path] = {}
    for path in _images(folder) if folder.is_dir() else []:
        if path.stem in masks:
            raise _wrong(f"two masks for one image: {masks[path.stem].name} and {path.name}")
        masks[path.stem] = path
    return masks


def _read_name(path: Path) -> tuple[str, str]:
    """Patient and category: ``P012`` and ``left`` for ``P012_left_3.png``."""
    match = FILE_NAME.fullmatch(path.stem)
    if match is None:
        raise _wrong(f"{path.parent.name}/{path.name} is not named PATIENT_CATEGORY_NUMBER, as in P012_left_3.png")
    return match["patient"], match["category"]


def _check_patients(files: Sequence[bench.ImageFile]) -> None:
    """Two images of one patient look alike: one in fit and one in test would make every detector look better."""
    roles = {role: {file.patient or "" for file in files if file.role == role} for role in ("fit", "test")}
    if both := sorted(roles["fit"] & roles["test"]):
        raise _wrong(f"patients in both fit and test: {', '.join(both)}")


def _check_masks(masks: dict[str, Path], files: Sequence[bench.ImageFile]) -> None:
    used = {file.mask for file in files}
    if stray := [path.name for path in masks.values() if path not in used]:
        raise _wrong(f"masks that belong to no image of test/anomalous: {', '.join(stray)}")


def _wrong(text: str) -> bench.BadTaskError:
    return bench.BadTaskError(f"task '{NAME}': {text}\nExpected layout:\n{LAYOUT}")


@bench.hookimpl
def bench_tasks() -> Sequence[bench.TaskSpec]:
    """Offer the task."""
    return [
        bench.TaskSpec(
            name=NAME,
            version="1",
            modality="your modality",
            citation="your own images",
            licence="not published",
            url="none, these are your own images",
            grouping="patient",  # true, because _check_patients refuses anything else
            layout=LAYOUT,
            build=list_files,
        )
    ]
