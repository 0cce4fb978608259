"""NIH ChestX-ray14: 112,120 frontal chest X-rays of 30,805 patients, with findings mined from their reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bench.contracts import ImageFile, TaskSpec
from bench.data.sets.tables import Problems, Table, find_root, list_names, missing_data, read_list, read_table

FOLDERS = ("nih-cxr14", "CXR8", "ChestX-ray14", "NIH-ChestX-ray14")
TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
LISTS = ("train_val_list.txt", "test_list.txt")
# NIH's archives all unpack into images/; Kaggle's copy keeps a folder for each.
IMAGE_FOLDERS = ("images", *(f"images_{number:03}/images" for number in range(1, 13)))
COLUMNS = (
    "Image Index",
    "Finding Labels",
    "Patient ID",
    "Patient Age",
    ("Patient Gender", "Patient Sex"),
    "View Position",
)
NORMAL = "No Finding"
OLDEST = 120


def nih_files(data: Path) -> Sequence[ImageFile]:
    """List the images by the official lists, which share no patient.

    Those without findings in ``train_val_list.txt`` are ``fit``, its others ``pool``; ``test_list.txt`` is ``test``.
    The labels of both come from reports by text mining, and some images without findings are not normal.

    Raises:
        DataMissingError: no such folder, or images that are listed but not there.
        BadTaskError: tables that are damaged or contradict one another; all bad rows are named.

    """
    root = find_root(NIH, data, FOLDERS, (TABLES, *LISTS))
    table = read_table(next(root / name for name in TABLES if (root / name).exists()), COLUMNS)
    # A path for each folder, not for each name in it: making paths is what takes time here.
    folders = {name: folder for folder in map(root.joinpath, IMAGE_FOLDERS) for name in list_names(folder)}
    if not folders:
        raise missing_data(NIH, f"task '{NIH.name}': no images in {root}/images or {root}/images_001/images")
    problems = Problems(NIH)
    lists = {name: set(read_list(root / name)) for name in LISTS}
    _check_rows(problems, table, lists, folders)
    problems.check()
    test = lists["test_list.txt"]
    rows = zip(*(table.column(*names) for names in _COLUMN_NAMES), strict=True)
    return [
        _image(folders[name] / name, name in test, finding, patient, _attributes(sex, age, view))
        for name, finding, patient, age, sex, view in rows
    ]


_COLUMN_NAMES = tuple((names,) if isinstance(names, str) else names for names in COLUMNS)


def _image(path: Path, test: bool, findings: str, patient: str, attributes: dict[str, str]) -> ImageFile:
    label: Literal[0, 1] = 0 if findings == NORMAL else 1
    role: Literal["fit", "test", "pool"] = "test" if test else "pool" if label else "fit"
    category = "multiple" if "|" in findings else findings
    return ImageFile(path, label, category, patient, role, attributes=attributes)


def _attributes(sex: str, age: str, view: str) -> dict[str, str]:
    """Sex, age and view; the first edition of the table has ages of over 400 years, which are left out."""
    years = age.rstrip("Y").lstrip("0") or "0"  # ``058Y`` in the first edition
    known = age != "" and years.isdecimal() and int(years) <= OLDEST
    found = {"sex": sex, "age": years if known else "", "view": view}
    return {name: value for name, value in found.items() if value}


def _check_rows(problems: Problems, table: Table, lists: dict[str, set[str]], folders: dict[str, Path]) -> None:
    """Note rows without an image, a list, a finding or a patient, and what both lists share."""
    train, test = (lists[name] for name in LISTS)
    names, findings = table.column("Image Index"), table.column("Finding Labels")
    seen: set[str] = set()
    roles: dict[str, set[bool]] = defaultdict(set)
    for name, finding, patient in zip(names, findings, table.column("Patient ID"), strict=True):
        if name in seen:
            problems.add(f"image(s) with two rows in {table.path.name}", name)
        seen.add(name)
        parts = finding.split("|")
        if not all(parts) or (len(parts) > 1 and NORMAL in parts):
            problems.add("image(s) whose Finding Labels are empty or contradict themselves", f"{name}: '{finding}'")
        if not patient:
            problems.add("image(s) without a Patient ID", name)
        if name not in train and name not in test:
            problems.add(f"image(s) in neither {' nor '.join(LISTS)}", name)
        if name not in folders:
            problems.absent.append(name)
        roles[patient].add(name in test)
    for name in sorted(train & test):
        problems.add(f"image(s) in both {' and '.join(LISTS)}", name)
    for name in sorted((train | test) - seen):
        problems.add(f"image(s) of the lists without a row in {table.path.name}", name)
    for patient in sorted(patient for patient, parts in roles.items() if patient and len(parts) > 1):
        problems.add(f"patient(s) with images in both {' and '.join(LISTS)}", patient)


NIH = TaskSpec(
    name="nih-cxr14",
    version="1",
    modality="chest X-ray",
    citation=(
        "Wang X., Peng Y., Lu L., Lu Z., Bagheri M., Summers R.M. (2017), ChestX-ray8: Hospital-scale Chest X-ray "
        "Database and Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax Diseases, CVPR"
    ),
    licence="unrestricted, with attribution to NIH",
    url="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    grouping="patient",
    layout=(
        "  nih-cxr14/images/*.png, or images_001/images/*.png to images_012/images/*.png\n"
        "  nih-cxr14/Data_Entry_2017.csv or Data_Entry_2017_v2020.csv\n"
        "  nih-cxr14/train_val_list.txt, nih-cxr14/test_list.txt"
    ),
    build=nih_files,
)
