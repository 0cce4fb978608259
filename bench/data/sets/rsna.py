"""RSNA Pneumonia Detection Challenge 2018, stage 2 on Kaggle: 26,684 labelled chest X-rays in DICOM.

The images are a part of NIH ChestX-ray14, read again by radiologists. Kaggle's ``patientId`` is one for each image and
says nothing of the patient (the header's PatientID repeats it): images of one patient may lie in fit and in test.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from bench.contracts import ImageFile, TaskSpec
from bench.data.sets.tables import Problems, find_root, list_names, read_table

FOLDERS = ("rsna", "rsna-pneumonia-detection-challenge", "rsna-pneumonia")
IMAGES = "stage_2_train_images"
LABELS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
NORMAL, NOT_NORMAL, OPACITY = "Normal", "No Lung Opacity / Not Normal", "Lung Opacity"

TEST_SHARE = 0.2
"""Share of 'Normal' and of 'Lung Opacity' images that are tested on, so that test keeps their proportion."""


def rsna_files(data: Path) -> Sequence[ImageFile]:
    """List the labelled images; the challenge's own test images have no public labels, so these are split here.

    A hash of the image's name sends a fifth of 'Normal' and of 'Lung Opacity' to ``test``. The other normals are
    ``fit``, the other opacities ``pool``. 'No Lung Opacity / Not Normal' is ``pool`` as well: not normal, so nothing
    to learn from; and not what the challenge asks for, a mixture from devices to masses that some radiologists would
    let pass, so published protocols do not test on it either.

    Raises:
        DataMissingError: no such folder, or images that are listed but not there.
        BadTaskError: tables that are damaged or contradict one another; all bad rows are named.

    """
    root = find_root(RSNA, data, FOLDERS, (IMAGES, LABELS, CLASSES))
    problems = Problems(RSNA)
    classes = _classes(problems, root)
    folder = root / IMAGES
    there = list_names(folder)
    problems.absent.extend(f"{IMAGES}/{name}.dcm" for name in classes if f"{name}.dcm" not in there)
    problems.check()
    return [_image(folder, name, category) for name, category in classes.items()]


def goes_to_test(name: str) -> bool:
    """Whether a 'Normal' or 'Lung Opacity' image is tested on: decided by its name alone."""
    return int(sha256(f"rsna-test/{name}".encode()).hexdigest()[:8], 16) / 2**32 < TEST_SHARE


def _image(folder: Path, name: str, category: str) -> ImageFile:
    label: Literal[0, 1] = 0 if category == NORMAL else 1
    role: Literal["fit", "test", "pool"] = "pool" if label else "fit"
    if category != NOT_NORMAL and goes_to_test(name):
        role = "test"
    # Sex, age and view are in the headers, which a listing does not read: the audit does.
    return ImageFile(folder / f"{name}.dcm", label, category, None, role)


def _classes(problems: Problems, root: Path) -> dict[str, str]:
    """Class of each image; both tables have a row for each box, and must agree."""
    table = read_table(root / CLASSES, ("patientId", "class"))
    classes: dict[str, str] = {}
    for name, category in zip(table.column("patientId"), table.column("class"), strict=True):
        if category not in (NORMAL, NOT_NORMAL, OPACITY):
            problems.add(f"image(s) of an unknown class in {CLASSES}", f"{name}: '{category}'")
        if classes.setdefault(name, category) != category:
            problems.add(f"image(s) whose rows in {CLASSES} disagree", f"{name}: '{classes[name]}', '{category}'")
    labels = read_table(root / LABELS, ("patientId", "Target"))
    targets: dict[str, str] = {}
    for name, target in zip(labels.column("patientId"), labels.column("Target"), strict=True):
        if targets.setdefault(name, target) != target:
            problems.add(f"image(s) whose rows in {LABELS} disagree", name)
    for name, category in classes.items():
        if name in targets and (targets[name] == "1") != (category == OPACITY):
            found = f"{name}: '{category}', Target {targets[name]}"
            problems.add(f"image(s) on which {CLASSES} and {LABELS} disagree", found)
    for name in sorted(classes.keys() ^ targets.keys()):
        problems.add(f"image(s) in one of {CLASSES} and {LABELS} only", name)
    return classes


RSNA = TaskSpec(
    name="rsna",
    version="1",
    modality="chest X-ray",
    citation=(
        "Shih G. et al. (2019), Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert "
        "Annotations of Possible Pneumonia, Radiology: Artificial Intelligence 1(1):e180041"
    ),
    licence="RSNA challenge terms (non-commercial)",
    url="https://www.kaggle.com/competitions/rsna-pneumonia-detection-challenge/data",
    grouping="unknown",
    layout=f"  rsna/{IMAGES}/*.dcm\n  rsna/{LABELS}\n  rsna/{CLASSES}",
    build=rsna_files,
)
