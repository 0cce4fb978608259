"""MedMNIST+: OCTMNIST, PneumoniaMNIST and ChestMNIST at four sizes, each one .npz file.

Yang J., Shi R., Wei D. et al. (2023), "MedMNIST v2", Scientific Data 10:41; the sizes above 28 are MedMNIST+ (2024).
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import ImageFile, TaskSpec
from bench.data.fetch import Download
from bench.data.sets.tables import missing_data, shorten
from bench.errors import BadTaskError

SIZES = (28, 64, 128, 224)
SPLITS = ("train", "val", "test")
# What zipfile and numpy raise on damaged files: RuntimeError where the flags seem to say that one is encrypted.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError, tokenize.TokenError)
RECORD = "https://zenodo.org/records/10519652"
CITATION = (
    "Yang J. et al. (2023), MedMNIST v2: A large-scale lightweight benchmark, Scientific Data 10:41; from {source}"
)


@dataclass(frozen=True)
class MedSet:
    """One of the sets.

    Attributes:
        name: of the task at 28 pixels, and of its file.
        modality: as a task says it.
        source: where its images come from.
        names: of the labels; where images have several, all zeros are normal.
        normal: the label of normal images, or None where images have several labels.

    """

    name: str
    modality: str
    source: str
    names: tuple[str, ...]
    normal: int | None


OCT = MedSet("octmnist", "OCT", "Kermany et al. 2018", ("CNV", "DME", "DRUSEN", "NORMAL"), 3)
PNEUMONIA = MedSet("pneumoniamnist", "chest X-ray", "Kermany et al. 2018", ("NORMAL", "PNEUMONIA"), 0)
CHEST = MedSet(
    "chestmnist",
    "chest X-ray",
    "NIH ChestX-ray14",
    (
        "atelectasis",
        "cardiomegaly",
        "effusion",
        "infiltration",
        "mass",
        "nodule",
        "pneumonia",
        "pneumothorax",
        "consolidation",
        "edema",
        "emphysema",
        "fibrosis",
        "pleural",
        "hernia",
    ),
    None,
)

# Of the archives, as the medmnist package (3.0.2) lists them for Zenodo record 10519652.
MD5: Mapping[str, str] = MappingProxyType(
    {
        "octmnist": "c68d92d5b585d8d81f7112f81e2d0842",
        "octmnist-64": "e229e9440236b774d9f0dfef9d07bdaf",
        "octmnist-128": "0a97e76651ace45c5d943ee3f65b63ae",
        "octmnist-224": "abc493b6d529d5de7569faaef2773ba3",
        "pneumoniamnist": "28209eda62fecd6e6a2d98b1501bb15f",
        "pneumoniamnist-64": "8f4eceb4ccffa70c672198ea285246c6",
        "pneumoniamnist-128": "05b46931834c231683c68f40c47b2971",
        "pneumoniamnist-224": "d6a3c71de1b945ea11211b03746c1fe1",
        "chestmnist": "02c8a6516a18b556561a56cbdd36c4a8",
        "chestmnist-64": "9de6cd0b934ebb5b7426cfba5efbae16",
        "chestmnist-128": "db107e5590b27930b62dbaf558aebee3",
        "chestmnist-224": "45bd33e6f06c3e8cdb481c74a89152aa",
    }
)


def file_name(task: str) -> str:
    """``octmnist-64`` to ``octmnist_64.npz``."""
    return f"{task.replace('-', '_')}.npz"


def medmnist_files(task: str, known: MedSet, size: int, data: Path) -> Sequence[ImageFile]:
    """List the rows of one file: normals of train and val are ``fit``, their others ``pool``, test as published.

    ``val`` is joined to train, since nothing here is chosen by validation. The files carry no patients.

    Raises:
        DataMissingError: the file is not in the data folder.
        BadTaskError: it is damaged, lacks an array, or has labels that do not fit.

    """
    spec = next(spec for spec in TASKS if spec.name == task)
    path = next((p for p in (data / file_name(task), data / "medmnist" / file_name(task)) if p.is_file()), None)
    if path is None:
        raise missing_data(spec, f"task '{task}': no file {file_name(task)} in {data} or {data / 'medmnist'}")
    files = []
    for split in SPLITS:
        labels = _read(path, f"{split}_labels")
        shape, dtype = _header(path, f"{split}_images")
        if shape != (len(labels), size, size) or dtype != np.uint8:
            raise BadTaskError(
                f"{path}: {split}_images is {dtype} {shape} beside {len(labels)} labels; "
                f"expected uint8 {(len(labels), size, size)}. Download it again."
            )
        for row, (label, category) in enumerate(_classes(path, split, labels, known)):
            role: Literal["fit", "test", "pool"] = "test" if split == "test" else "pool" if label else "fit"
            files.append(ImageFile(path, label, category, None, role, member=(f"{split}_images", row)))
    return files


def _classes(path: Path, split: str, labels: NDArray[Any], known: MedSet) -> list[tuple[Literal[0, 1], str]]:
    """Label and category of each image."""
    width = 1 if known.normal is not None else len(known.names)
    top = len(known.names) if known.normal is not None else 2
    if labels.ndim != 2 or labels.shape[1] != width or labels.dtype.kind not in "iu":
        raise BadTaskError(f"{path}: {split}_labels is {labels.dtype} {labels.shape}; expected integers (n, {width})")
    bad = np.flatnonzero(((labels < 0) | (labels >= top)).any(axis=1))
    if len(bad):
        rows = shorten(f"row {row}: {labels[row].tolist()}" for row in bad.tolist())
        raise BadTaskError(f"{path}: {split}_labels has labels that the set does not know:\n  {rows}")
    if known.normal is not None:
        return [(0 if label == known.normal else 1, known.names[label]) for label in labels[:, 0].tolist()]
    return [_several(row, known.names) for row in labels.tolist()]


def _several(row: Sequence[int], names: Sequence[str]) -> tuple[Literal[0, 1], str]:
    found = [name for name, there in zip(names, row, strict=True) if there]
    return (1 if found else 0), (found[0] if len(found) == 1 else "multiple" if found else "NORMAL")


def _read(path: Path, array: str) -> NDArray[Any]:
    """Read one array of the file; the images are never among them here."""
    return _member(path, array, partial(np.lib.format.read_array, allow_pickle=False))  # type: ignore[no-any-return]


def _header(path: Path, array: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read an array's shape and type, without unpacking it."""

    def header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        return shape, dtype

    return _member(path, array, header)  # type: ignore[no-any-return]


def _member(path: Path, array: str, read: Callable[[Any], Any]) -> Any:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{array}.npy") as file:
            return read(file)
    except KeyError:
        raise BadTaskError(f"{path} has no array '{array}'. Download it again.") from None
    except DAMAGE as error:
        raise BadTaskError(f"{path} is damaged ({error}). Download it again.") from error


def _task(known: MedSet, size: int) -> TaskSpec:
    name = known.name if size == SIZES[0] else f"{known.name}-{size}"
    return TaskSpec(
        name=name,
        version="1",
        modality=known.modality,
        citation=CITATION.format(source=known.source),
        licence="CC BY 4.0",
        url=f"{RECORD}/files/{file_name(name)}?download=1",
        grouping="unknown",
        layout=f"  {file_name(name)} (bench data fetch {name})",
        build=partial(medmnist_files, name, known, size),
    )


DOWNLOADS: Mapping[str, Download] = MappingProxyType(
    {name: Download(f"{RECORD}/files/{file_name(name)}?download=1", file_name(name), md5) for name, md5 in MD5.items()}
)
TASKS = tuple(_task(known, size) for known in (OCT, PNEUMONIA, CHEST) for size in SIZES)
