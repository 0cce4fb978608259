"""Kermany's two public sets: paediatric chest X-rays and retinal OCT, as their downloads unpack.

Kermany D., Zhang K., Goldbaum M. (2018), "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for
Classification", Mendeley Data, CC BY 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from bench.contracts import ImageFile, TaskSpec
from bench.errors import BadTaskError, DataMissingError

IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png", ".tif", ".tiff", ".bmp", ".pgm"}
CITATION = (
    "Kermany D., Zhang K., Goldbaum M. (2018), Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images "
    "for Classification, Mendeley Data"
)
URL = "https://data.mendeley.com/datasets/rscbjbr9sj"

# Mendeley's versions 2 and 3 and the Kaggle copies nest the same folders differently (one with a trailing space).
CHEST_FOLDERS = ("chest_xray/chest_xray", "chest_xray", "CellData/chest_xray", "ZhangLabData/CellData/chest_xray")
OCT_FOLDERS = ("OCT2017/OCT2017 ", "OCT2017 ", "OCT2017", "CellData/OCT", "ZhangLabData/CellData/OCT")


def chest_xray_files(data: Path) -> Sequence[ImageFile]:
    """List the chest X-rays: train and val normals are ``fit``, train and val pneumonia ``pool``, test as published."""
    root = _find_root(data, CHEST_FOLDERS, "PNEUMONIA", CHEST_XRAY)
    files = []
    for split in ("train", "val", "test"):
        for category in ("NORMAL", "PNEUMONIA"):
            # Mendeley's own archive has no val folder: Kaggle's was cut from its train folder.
            folder = root / split / category
            for path in _images(folder, required=split != "val" or folder.is_dir()):
                patient = chest_patient(split, path.name)
                files.append(_image(path, split, category, patient))
    return files


def oct2017_files(data: Path) -> Sequence[ImageFile]:
    """List the OCT scans: train/NORMAL is ``fit``, other train classes ``pool``, test as in the folder.

    The val folder of the Kaggle copy (eight scans a class) is left out, as published protocols do.
    """
    root = _find_root(data, OCT_FOLDERS, "CNV", OCT2017)
    if not (root / "train" / "NORMAL").is_dir():
        raise BadTaskError(f"no folder {root / 'train' / 'NORMAL'}: there is nothing to learn from")
    return [
        _image(path, split, folder.name, oct_patient(path.name))
        for split in ("train", "test")
        for folder in sorted((root / split).iterdir())
        if folder.is_dir() and not folder.name.startswith((".", "_"))
        for path in _images(folder, required=True)
    ]


def chest_patient(split: str, name: str) -> str | None:
    """Patient of a chest X-ray file name.

    ``IM-0115`` and ``NORMAL2-IM-0115`` are different patients; the ``person`` numbers of train and test are separate
    series, so they carry their folder.
    """
    if normal := re.match(r"(?:NORMAL\d*-)?IM-\d+", name):
        return normal.group()
    if person := re.match(r"person\d+", name):
        return f"{split}/{person.group()}"
    return None


def oct_patient(name: str) -> str | None:
    """Patient of ``CNV-933576-16.jpeg``: the number alone, since one patient occurs under several classes."""
    match = re.match(r"[A-Za-z]+-(\d+)-\d+\.", name)
    return match.group(1) if match else None


def _image(path: Path, split: str, category: str, patient: str | None) -> ImageFile:
    label: Literal[0, 1] = 0 if category == "NORMAL" else 1
    role: Literal["fit", "test", "pool"] = "test" if split == "test" else "pool" if label else "fit"
    return ImageFile(path, label, category, patient, role)


def _images(folder: Path, *, required: bool) -> Iterator[Path]:
    """Yield the images of one class folder; other files (``.DS_Store``, ``._copy.jpeg``) are no images."""
    found = (
        [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
        if folder.is_dir()
        else []
    )
    if required and not found:
        raise BadTaskError(f"no images in {folder}: the class is empty or the download is incomplete")
    yield from found


def _find_root(data: Path, folders: Sequence[str], telltale: str, spec: TaskSpec) -> Path:
    """Find the folder with ``train`` and ``test``, or say where it was looked for and how to get it."""
    for folder in folders:
        if (data / folder / "train").is_dir() and (data / folder / "test").is_dir():
            return data / folder
    if (data / "train").is_dir() and (data / "test" / telltale).is_dir():  # --data names the set's own folder
        return data
    raise DataMissingError(
        f"task '{spec.name}': no images found in {data}\n"
        f"Looked for: {', '.join(f'{folder}/' for folder in folders)}\nExpected layout:\n{spec.layout}\n"
        f"Official download: {spec.url}\nThen name the folder it lies in with --data DIR or BENCH_DATA."
    )


CHEST_XRAY = TaskSpec(
    name="chest-xray",
    version="1",
    modality="chest X-ray",
    citation=CITATION,
    licence="CC BY 4.0",
    url=URL,
    grouping="patient",
    layout=(
        "  chest_xray/train/{NORMAL,PNEUMONIA}/*.jpeg\n  chest_xray/val/{NORMAL,PNEUMONIA}/*.jpeg (optional)\n"
        "  chest_xray/test/{NORMAL,PNEUMONIA}/*.jpeg"
    ),
    build=chest_xray_files,
    # Every image of the published split, resized to 224 × 224 and encoded again.
    editions={"15f51b767ee17e300d59af48aebb7f12624f68a20845a3e4f25065838b55a367": "full-224px"},
)

OCT2017 = TaskSpec(
    name="oct2017",
    version="1",
    modality="OCT",
    citation=CITATION,
    licence="CC BY 4.0",
    url=URL,
    # The published split shares patients between train and test, so no grouping level holds across roles.
    grouping="unknown",
    layout="  OCT2017/train/{NORMAL,CNV,DME,DRUSEN}/*.jpeg\n  OCT2017/test/{NORMAL,CNV,DME,DRUSEN}/*.jpeg",
    build=oct2017_files,
    # 2,300 training normals and 1,000 test scans at a height of 224 px: not comparable with published OCT2017 figures.
    editions={"c30b042a6b1473a4371341a9be3e62359c98707c7ac23e2f578b5ce31dae4e7c": "subset-1000"},
)
