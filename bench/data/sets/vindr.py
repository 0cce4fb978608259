"""VinDr-CXR: 18,000 chest X-rays in DICOM, 15,000 read by three radiologists each, 3,000 by five in consensus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bench.contracts import ImageFile, TaskSpec
from bench.data.sets.tables import Problems, find_root, list_names, read_table

# wget of PhysioNet keeps the site's folders; 1.0.0 is the version that this module knows.
FOLDERS = ("vindr-cxr", "vindr-cxr/1.0.0", "physionet.org/files/vindr-cxr/1.0.0")
TRAIN_LABELS, TEST_LABELS = "annotations/image_labels_train.csv", "annotations/image_labels_test.csv"
NORMAL = "No finding"
READERS = 3
VALUES = {"0": False, "1": True, "0.0": False, "1.0": True}


class Reading(NamedTuple):
    """What one radiologist, or the consensus, says of an image."""

    normal: bool
    findings: frozenset[str]


def vindr_files(data: Path) -> Sequence[ImageFile]:
    """List the images: train normals are ``fit``, train anomalies ``pool``, test as published.

    A train image is normal if all who read it say 'No finding', anomalous if none does. Where they disagree, it is left
    out, as is any image (train or test) with a reading that marks 'No finding' and a finding, or neither. The files
    name no patient; sex and age are in their headers, which a listing does not read.

    Raises:
        DataMissingError: no such folder, or images that are listed but not there.
        BadTaskError: tables that are damaged or contradict one another; all bad rows are named.

    """
    root = find_root(VINDR, data, FOLDERS, ("train", "test", TRAIN_LABELS, TEST_LABELS))
    problems = Problems(VINDR)
    readings = {
        split: _readings(problems, root / table, root / split)
        for split, table in (("train", TRAIN_LABELS), ("test", TEST_LABELS))
    }
    for name in sorted(readings["train"].keys() & readings["test"].keys()):
        problems.add("image(s) in both train and test", name)
    problems.check()
    return [
        _image(root / split / f"{name}.dicom", split, label, findings)
        for split, images in readings.items()
        for name, votes in images.items()
        for label, findings in _agreed(votes)
    ]


def _image(path: Path, split: str, label: Literal[0, 1], findings: frozenset[str]) -> ImageFile:
    role: Literal["fit", "test", "pool"] = "test" if split == "test" else "pool" if label else "fit"
    category = NORMAL if not label else next(iter(findings)) if len(findings) == 1 else "multiple"
    return ImageFile(path, label, category, None, role)


def _agreed(readings: Sequence[Reading]) -> list[tuple[Literal[0, 1], frozenset[str]]]:
    """Label and all findings of an image whose readings agree; nothing if they do not."""
    if any(reading.normal == bool(reading.findings) for reading in readings):
        return []
    findings = frozenset[str]().union(*(reading.findings for reading in readings))
    if all(reading.normal for reading in readings):
        return [(0, findings)]
    return [] if any(reading.normal for reading in readings) else [(1, findings)]


def _readings(problems: Problems, path: Path, folder: Path) -> Mapping[str, list[Reading]]:
    """Read a table of labels by image: in train a row for each radiologist, in test one row; all is checked."""
    readers = ("rad_id",) if folder.name == "train" else ()
    table = read_table(path, ("image_id", NORMAL, *readers))
    # The two tables spell one finding differently ("Other diseases", "Other disease"), so none is named here.
    names = [name for name in table.header if name and name not in ("image_id", "rad_id")]
    labels = zip(*(table.column(name) for name in names), strict=True)
    who = table.column("rad_id") if readers else [""] * len(table.rows)
    found: dict[str, list[Reading]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for name, reader, cells in zip(table.column("image_id"), who, labels, strict=True):
        wrong = [f"{column} '{cell}'" for column, cell in zip(names, cells, strict=True) if cell not in VALUES]
        if wrong:
            problems.add(f"row(s) of {path.name} with labels other than 0 and 1", f"{name}: {', '.join(wrong)}")
            continue
        if (name, reader) in seen:
            problems.add(f"image(s) with two rows in {path.name}", f"{name} {reader}".strip())
        seen.add((name, reader))
        marked = frozenset(column for column, cell in zip(names, cells, strict=True) if VALUES[cell])
        found[name].append(Reading(NORMAL in marked, marked - {NORMAL}))
    if readers and not problems.others:
        for name, votes in found.items():
            if len(votes) != READERS:
                problems.add(f"image(s) not read by {READERS} radiologists in {path.name}", f"{name}: {len(votes)}")
    there = list_names(folder)
    problems.absent.extend(f"{folder.name}/{name}.dicom" for name in found if f"{name}.dicom" not in there)
    return found


VINDR = TaskSpec(
    name="vindr-cxr",
    version="1",
    modality="chest X-ray",
    citation=(
        "Nguyen H.Q. et al. (2022), VinDr-CXR: An open dataset of chest X-rays with radiologist's annotations, "
        "Scientific Data 9:429; PhysioNet 1.0.0, doi:10.13026/3akn-b287"
    ),
    licence="PhysioNet Credentialed Health Data 1.5.0",
    url="https://physionet.org/content/vindr-cxr/1.0.0/",
    grouping="unknown",
    layout=(f"  vindr-cxr/train/*.dicom, vindr-cxr/{TRAIN_LABELS}\n  vindr-cxr/test/*.dicom, vindr-cxr/{TEST_LABELS}"),
    build=vindr_files,
)
