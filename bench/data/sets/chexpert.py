"""CheXpert: 224,316 chest X-rays of 65,240 patients; findings mined from reports, a validation set read by experts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bench.contracts import ImageFile, TaskSpec
from bench.data.sets.tables import Problems, find_root, read_table

FOLDERS = ("CheXpert-v1.0-small", "CheXpert-v1.0", "chexpert/CheXpert-v1.0-small", "chexpert/CheXpert-v1.0", "chexpert")
NORMAL = "No Finding"
DEVICES = "Support Devices"
DISEASES = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
)
ATTRIBUTES = ("Sex", "Age", "Frontal/Lateral", "AP/PA")
POSITIVE, NEGATIVE, UNCERTAIN, BLANK = "1.0", "0.0", "-1.0", ""
SEXES = {"Male": "M", "Female": "F"}


class Row(NamedTuple):
    """One row of train.csv or valid.csv: the image's path below the root, its patient, labels and attributes."""

    path: str
    patient: str
    normal: str
    devices: str
    diseases: tuple[str, ...]
    sex: str
    age: str
    frontal: str
    view: str


def chexpert_files(data: Path) -> Sequence[ImageFile]:
    """List the frontal images: train normals are ``fit``, train anomalies ``pool``, the validation set is ``test``.

    Normal: 'No Finding' is positive, and no finding is positive or uncertain, 'Support Devices' among them. Anomalous:
    'No Finding' is not positive, and a disease is. Left out: lateral images; images that are uncertain only, or show
    devices only; images about which nothing is said. The test set of the publication is not used: valid.csv holds 200
    studies of other patients, read by three radiologists.

    Raises:
        DataMissingError: no such folder, or images that are listed but not there.
        BadTaskError: tables that are damaged, or lead outside the folder; all bad rows are named.

    """
    root = find_root(CHEXPERT, data, FOLDERS, ("train.csv", "valid.csv", "train", "valid"))
    problems = Problems(CHEXPERT)
    splits = {split: list(_rows(problems, root, split)) for split in ("train", "valid")}
    train, valid = ({row.patient for row in rows} for rows in splits.values())
    for patient in sorted(train & valid):
        problems.add("patient(s) in both train.csv and valid.csv", patient)
    problems.check()
    images = (_image(root, row, split == "valid") for split, rows in splits.items() for row in rows)
    return [image for image in images if image is not None]


def _image(root: Path, row: Row, test: bool) -> ImageFile | None:
    """Make the image of a row, or None if the row is left out."""
    positive = [name for name, value in zip(DISEASES, row.diseases, strict=True) if value == POSITIVE]
    label: Literal[0, 1]
    if row.frontal != "Frontal":
        return None
    if row.normal == POSITIVE and {*row.diseases, row.devices} <= {NEGATIVE, BLANK}:
        label, category = 0, NORMAL
    elif row.normal != POSITIVE and positive:
        label, category = 1, positive[0] if len(positive) == 1 else "multiple"
    else:
        return None
    role: Literal["fit", "test", "pool"] = "test" if test else "pool" if label else "fit"
    found = {"sex": SEXES.get(row.sex, ""), "age": row.age, "view": row.view}
    attributes = {name: value for name, value in found.items() if value}
    return ImageFile(root / row.path, label, category, row.patient, role, attributes=attributes)


def _rows(problems: Problems, root: Path, split: str) -> Iterator[Row]:
    """Yield the usable rows of a table, having noted what is wrong with the others."""
    table = read_table(root / f"{split}.csv", ("Path", *ATTRIBUTES, NORMAL, *DISEASES, DEVICES))
    columns = [table.column(name) for name in (NORMAL, DEVICES, *ATTRIBUTES)]
    findings = zip(*(table.column(name) for name in DISEASES), strict=True)
    lines: dict[str, tuple[str, ...]] = {}
    for path, cells, diseases in zip(table.column("Path"), zip(*columns, strict=True), findings, strict=True):
        labels = (*cells[:2], *diseases)
        inside = _inside(path, split)
        if inside is None:
            problems.add(f"path(s) of {split}.csv that are not CheXpert's", path)
        elif lines.setdefault(inside, labels) is not labels:
            kind = "agree" if lines[inside] == labels else "disagree"
            problems.add(f"image(s) with two rows in {split}.csv that {kind}", path)
        elif not set(labels) <= {POSITIVE, NEGATIVE, UNCERTAIN, BLANK}:
            problems.add(f"row(s) of {split}.csv with labels other than 1.0, 0.0, -1.0 and blank", path)
        # A stat each: nearly every image has a folder to itself, so that a scan of each folder costs more.
        elif not os.path.isfile(f"{root}/{inside}"):  # noqa: PTH113  (Path.is_file takes three times as long)
            problems.absent.append(inside)
        else:
            yield Row(inside, inside.split("/")[1], cells[0], cells[1], diseases, *cells[2:])


def _inside(path: str, split: str) -> str | None:
    """Path below the root (``train/patient00001/study1/view1_frontal.jpg``), or None if it is no such path.

    The tables put the name of the download before it. Absolute paths and ``..`` fit no part of the pattern.
    """
    image = rf"{split}/patient\d+/study\d+/[\w-]+\.(?:jpg|png)"
    match = re.fullmatch(rf"(?:CheXpert-v1\.0[\w. -]*/)?({image})", path, re.ASCII)
    return match[1] if match else None


CHEXPERT = TaskSpec(
    name="chexpert",
    version="1",
    modality="chest X-ray",
    citation=(
        "Irvin J., Rajpurkar P. et al. (2019), CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and "
        "Expert Comparison, AAAI"
    ),
    licence="Stanford research use (non-commercial)",
    url="https://stanfordmlgroup.github.io/competitions/chexpert/",
    grouping="patient",
    layout=(
        "  CheXpert-v1.0-small/train.csv, CheXpert-v1.0-small/valid.csv (or CheXpert-v1.0)\n"
        "  CheXpert-v1.0-small/train/patient*/study*/*.jpg\n  CheXpert-v1.0-small/valid/patient*/study*/*.jpg"
    ),
    build=chexpert_files,
)
