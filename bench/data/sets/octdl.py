"""OCTDL: 2,064 retinal OCT scans of 821 patients in seven classes, with a table of patients.

Kulyabin M., Zhdanov A., Nikiforova A. et al. (2024), "OCTDL: Optical Coherence Tomography Dataset for Image-Based Deep
Learning Methods", Scientific Data 11:365.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from bench.contracts import ImageFile, TaskSpec
from bench.data.sets.tables import Problems, find_root, list_names, read_table

FOLDERS = ("OCTDL", "octdl")
TABLE = "OCTDL_labels.csv"
NORMAL = "NO"
CLASSES = ("AMD", "DME", "ERM", NORMAL, "RAO", "RVO", "VID")
COLUMNS = ("file_name", "disease", "patient_id")
FIT_SHARE = 0.6


def octdl_files(data: Path) -> Sequence[ImageFile]:
    """List the scans; patients are drawn by a hash, since the set comes without a split for anomaly detection.

    Of 60 % of all patients the normal scans are ``fit`` and the others ``pool``; all scans of the rest are ``test``.

    Raises:
        DataMissingError: no such folder, or scans that are listed but not there.
        BadTaskError: a table that is damaged or has other classes; all bad rows are named.

    """
    root = find_root(OCTDL, data, FOLDERS, ((TABLE, f"../{TABLE}"), NORMAL))
    # Mendeley has the table beside the archive of scans.
    place = root / TABLE if (root / TABLE).exists() else root / ".." / TABLE
    table = read_table(place, COLUMNS)
    there = {name: {Path(file).stem: file for file in list_names(root / name)} for name in CLASSES}
    problems, files, seen = Problems(OCTDL), [], set()
    attributes: dict[str, list[str]] = {name: table.column(name) for name in ("sex", "eye") if name in table.header}
    rows = zip(*(table.column(name) for name in COLUMNS), strict=True)
    for number, (name, disease, patient) in enumerate(rows):
        if disease not in CLASSES:
            problems.add(f"scan(s) of a class other than {', '.join(CLASSES)}", f"{name}: '{disease}'")
            continue
        file = there[disease].get(Path(name).stem)
        if file is None:
            problems.absent.append(f"{disease}/{name}")
            continue
        if not patient:
            problems.add("scan(s) without a patient", name)
        if name in seen:
            problems.add("scan(s) with two rows", name)
        seen.add(name)
        label: Literal[0, 1] = 0 if disease == NORMAL else 1
        known = {key: values[number] for key, values in attributes.items() if values[number]}
        path, role = root / disease / file, _role(patient, label)
        files.append(ImageFile(path, label, disease, patient, role, attributes=known))
    problems.check()
    return files


def _role(patient: str, label: int) -> Literal["fit", "test", "pool"]:
    drawn = int(sha256(f"octdl/{patient}".encode()).hexdigest()[:8], 16) / 2**32
    return "test" if drawn >= FIT_SHARE else "pool" if label else "fit"


OCTDL = TaskSpec(
    name="octdl",
    version="1",
    modality="OCT",
    citation=(
        "Kulyabin M., Zhdanov A., Nikiforova A. et al. (2024), OCTDL: Optical Coherence Tomography Dataset for "
        "Image-Based Deep Learning Methods, Scientific Data 11:365"
    ),
    licence="CC BY 4.0",
    url="https://data.mendeley.com/datasets/sncdhf53xc",
    grouping="patient",
    layout="  OCTDL/{AMD,DME,ERM,NO,RAO,RVO,VID}/*.jpg\n  OCTDL/OCTDL_labels.csv (or beside the folder)",
    build=octdl_files,
)
