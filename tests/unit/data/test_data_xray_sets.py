"""The chest X-ray sets that come with tables, on small imitations of their downloads."""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bench.contracts import ImageFile, TaskSpec
from bench.data.index import index_task
from bench.data.sets.chexpert import CHEXPERT, DISEASES
from bench.data.sets.nih import NIH
from bench.data.sets.rsna import RSNA, goes_to_test
from bench.data.sets.tables import SHOWN, list_names, read_table
from bench.data.sets.vindr import VINDR
from bench.errors import BadTaskError, DataMissingError
from tests.conftest import write_image


def write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def by_name(files: Sequence[ImageFile]) -> dict[str, ImageFile]:
    return {file.path.name: file for file in files}


def told(error: pytest.ExceptionInfo[Any], *parts: str) -> None:
    for part in parts:
        assert part in str(error.value), str(error.value)


# NIH ChestX-ray14

NIH_HEADER = [
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
    "OriginalImage[Width",
    "Height]",
    "OriginalImagePixelSpacing[x",
    "y]",
    "",
]
NIH_ROWS = {
    "00000001_000.png": ("No Finding", 0, 1, 58, "M", "PA"),
    "00000001_001.png": ("Cardiomegaly|Emphysema", 1, 1, 58, "M", "PA"),
    "00000002_000.png": ("No Finding", 0, 2, "081Y", "F", "AP"),
    "00000003_000.png": ("Hernia", 0, 3, 414, "F", "PA"),
    "00000004_000.png": ("No Finding", 0, 4, 33, "M", "PA"),
    "00000004_001.png": ("Mass", 1, 4, 33, "M", "AP"),
    "00000005_000.png": ("Mass|Nodule", 0, 5, 33, "M", "AP"),
}
NIH_TEST = ("00000004_000.png", "00000004_001.png", "00000005_000.png")


def write_nih(
    root: Path, rows: dict[str, Any] = NIH_ROWS, test: Sequence[str] = NIH_TEST, train: Sequence[str] | None = None
) -> Path:
    lines = [[name, *cells, 2682, 2749, 0.143, 0.143, ""] for name, cells in rows.items()]
    write_table(root / "Data_Entry_2017.csv", [NIH_HEADER, *lines])
    (root / "test_list.txt").write_text("\n".join(test) + "\n")
    chosen = [name for name in rows if name not in test] if train is None else train
    (root / "train_val_list.txt").write_text("\n".join(chosen))  # the official one ends without a line break
    for place, name in enumerate(rows):
        touch(root / f"images_{place % 2 + 1:03}" / "images" / name)
    return root


@pytest.mark.parametrize("folder", ["nih-cxr14", "CXR8", "."])
def test_nih_roles_categories_patients_and_attributes(tmp_path: Path, folder: str) -> None:
    root = write_nih(tmp_path / folder)
    files = by_name(NIH.build(tmp_path))
    found = {name: (file.role, file.label, file.category, file.patient) for name, file in files.items()}
    assert found == {
        "00000001_000.png": ("fit", 0, "No Finding", "1"),
        "00000001_001.png": ("pool", 1, "multiple", "1"),
        "00000002_000.png": ("fit", 0, "No Finding", "2"),
        "00000003_000.png": ("pool", 1, "Hernia", "3"),
        "00000004_000.png": ("test", 0, "No Finding", "4"),
        "00000004_001.png": ("test", 1, "Mass", "4"),
        "00000005_000.png": ("test", 1, "multiple", "5"),
    }
    assert files["00000002_000.png"].path == root / "images_001/images/00000002_000.png"
    assert files["00000002_000.png"].attributes == {"sex": "F", "age": "81", "view": "AP"}
    assert files["00000003_000.png"].attributes == {"sex": "F", "view": "PA"}  # nobody is 414
    assert NIH.grouping == "patient"


def test_nih_flat_folder_and_the_table_of_2020(tmp_path: Path) -> None:
    root = write_nih(tmp_path)
    (root / "images").mkdir()
    for path in [*root.glob("images_*/images/*.png")]:
        path.rename(root / "images" / path.name)
    (root / "Data_Entry_2017.csv").unlink()
    header = ["Patient Sex" if name == "Patient Gender" else name for name in NIH_HEADER[:-1]]
    lines = [[name, *cells, 2682, 2749, 0.143, 0.143] for name, cells in NIH_ROWS.items()]
    write_table(root / "Data_Entry_2017_v2020.csv", [header, *lines])
    files = by_name(NIH.build(tmp_path))
    assert len(files) == 7
    assert files["00000002_000.png"].attributes["sex"] == "F"


def test_nih_images_that_are_not_there_are_all_named_up_to_a_limit(tmp_path: Path) -> None:
    rows = {f"{number:08}_000.png": ("No Finding", 0, number, 50, "M", "PA") for number in range(40)}
    root = write_nih(tmp_path, rows, test=[])
    for number in range(SHOWN + 5):
        (root / f"images_{number % 2 + 1:03}/images/{number:08}_000.png").unlink()
    with pytest.raises(DataMissingError) as error:
        NIH.build(tmp_path)
    told(error, "25 image(s) are listed but not there", "00000000_000.png", "00000019_000.png", "… and 5 more")
    told(error, "images_012/images/*.png", NIH.url)
    assert "00000020_000.png" not in str(error.value)


def test_nih_all_contradictions_in_one_error(tmp_path: Path) -> None:
    rows = dict(NIH_ROWS)
    rows["00000006_000.png"] = ("No Finding|Mass", 0, 6, 50, "M", "PA")
    rows["00000007_000.png"] = ("", 0, "", 50, "M", "PA")
    rows["00000008_000.png"] = ("Mass", 0, 4, 50, "M", "PA")
    train = [name for name in rows if name not in NIH_TEST and name != "00000003_000.png"]
    root = write_nih(tmp_path, rows, train=[*train, "00000004_000.png", "00009999_000.png"])
    table = (root / "Data_Entry_2017.csv").read_text().splitlines()
    (root / "Data_Entry_2017.csv").write_text("\n".join([*table, table[1]]))
    (root / "images_001/images/00000001_000.png").unlink()
    with pytest.raises(BadTaskError) as error:
        NIH.build(tmp_path)
    told(
        error,
        "00000006_000.png: 'No Finding|Mass'",
        "00000007_000.png: ''",
        "without a Patient ID:\n  00000007_000.png",
    )
    told(error, "in neither train_val_list.txt nor test_list.txt:\n  00000003_000.png")
    told(error, "1 image(s) in both train_val_list.txt and test_list.txt:\n  00000004_000.png")
    told(error, "without a row in Data_Entry_2017.csv:\n  00009999_000.png")
    told(error, "1 patient(s) with images in both train_val_list.txt and test_list.txt:\n  4")
    told(error, "two rows in Data_Entry_2017.csv:\n  00000001_000.png", "not there:\n  00000001_000.png")


def test_nih_incomplete_downloads(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError) as error:
        NIH.build(tmp_path)
    told(error, "no images found in", "nih-cxr14/", NIH.url, NIH.layout, "--data DIR")
    root = write_nih(tmp_path / "nih-cxr14")
    (root / "test_list.txt").unlink()
    with pytest.raises(DataMissingError, match=r"nih-cxr14 lacks test_list\.txt"):
        NIH.build(tmp_path)
    write_nih(root)
    for path in root.glob("images_*/images/*.png"):
        path.unlink()
    with pytest.raises(DataMissingError, match="no images in"):
        NIH.build(tmp_path)


def test_images_of_many_folders_are_listed(tmp_path: Path) -> None:
    names = [f"{patient:08}_{number:03}.png" for patient in range(2_000) for number in range(5)]
    lines = [f"{name},No Finding,0,{int(name[:8])},50,M,PA,2682,2749,0.143,0.143," for name in names]
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join([",".join(NIH_HEADER), *lines]))
    (tmp_path / "train_val_list.txt").write_text("\n".join(names[:7_500]))
    (tmp_path / "test_list.txt").write_text("\n".join(names[7_500:]))
    for folder in range(1, 11):
        (tmp_path / f"images_{folder:03}" / "images").mkdir(parents=True)
    for place, name in enumerate(names):
        open(f"{tmp_path}/images_{place // 1_000 + 1:03}/images/{name}", "w").close()  # noqa: PTH123  (fast)
    files = NIH.build(tmp_path)
    assert Counter(file.role for file in files) == {"fit": 7_500, "test": 2_500}
    assert all(file.path.exists() for file in files)


# RSNA


def write_rsna(root: Path, classes: dict[str, str], boxes: int = 2) -> Path:
    repeated = [(n, c) for n, c in classes.items() for _ in range(boxes if c == "Lung Opacity" else 1)]
    write_table(root / "stage_2_detailed_class_info.csv", [("patientId", "class"), *repeated])
    lines = [(n, 264, 152, 213, 379, 1) if c == "Lung Opacity" else (n, "", "", "", "", 0) for n, c in repeated]
    write_table(root / "stage_2_train_labels.csv", [("patientId", "x", "y", "width", "height", "Target"), *lines])
    for name in classes:
        touch(root / "stage_2_train_images" / f"{name}.dcm")
    touch(root / "stage_2_test_images" / "unlabelled.dcm")
    return root


RSNA_CLASSES = {
    f"{number:08x}-0000": ("Normal", "Lung Opacity", "No Lung Opacity / Not Normal")[number % 3]
    for number in range(600)
}


def test_rsna_split_is_by_name_and_names_no_patient(tmp_path: Path) -> None:
    write_rsna(tmp_path / "rsna", RSNA_CLASSES)
    files = by_name(RSNA.build(tmp_path))
    assert len(files) == 600
    assert {file.patient for file in files.values()} == {None}
    assert RSNA.grouping == "unknown"
    for name, category in RSNA_CLASSES.items():
        file = files[f"{name}.dcm"]
        chosen = int(sha256(f"rsna-test/{name}".encode()).hexdigest()[:8], 16) / 2**32 < 0.2
        assert goes_to_test(name) == chosen
        assert (file.category, file.label) == (category, int(category != "Normal"))
        expected = {
            "Normal": "test" if chosen else "fit",
            "Lung Opacity": "test" if chosen else "pool",
            "No Lung Opacity / Not Normal": "pool",
        }
        assert file.role == expected[category]
    tests = Counter(file.category for file in files.values() if file.role == "test")
    assert set(tests) == {"Normal", "Lung Opacity"}
    assert all(25 <= number <= 55 for number in tests.values())


def test_rsna_leaves_normals_to_tune_on(tmp_path: Path) -> None:
    root = write_rsna(tmp_path / "rsna", RSNA_CLASSES)
    for place, name in enumerate(RSNA_CLASSES):
        (root / "stage_2_train_images" / f"{name}.dcm").write_text(str(place))
    counts = index_task(RSNA, tmp_path, tmp_path / "cache").counts()
    assert counts["tune"]["normal"] >= 5
    assert counts["fit"]["normal"] >= 100


def test_rsna_tables_that_disagree(tmp_path: Path) -> None:
    root = write_rsna(tmp_path, {"a": "Normal", "b": "Lung Opacity", "c": "Normal", "d": "Normal", "e": "Normal"})
    classes, labels = root / "stage_2_detailed_class_info.csv", root / "stage_2_train_labels.csv"
    classes.write_text(classes.read_text().replace("e,Normal", "e,Fine") + "a,Lung Opacity\r\n")
    rest = labels.read_text().replace("c,,,,,0", "c,,,,,1").replace("d,,,,,0\n", "")
    labels.write_text(rest + "b,,,,,0\r\nz,,,,,0\r\n")
    with pytest.raises(BadTaskError) as error:
        RSNA.build(tmp_path)
    told(error, "unknown class in stage_2_detailed_class_info.csv:\n  e: 'Fine'", "a: 'Normal', 'Lung Opacity'")
    told(error, "rows in stage_2_train_labels.csv disagree:\n  b", "c: 'Normal', Target 1", "only:\n  d\n  z\nDownload")


def test_rsna_missing_images_and_files(tmp_path: Path) -> None:
    root = write_rsna(tmp_path / "rsna", {"a": "Normal", "b": "Lung Opacity"})
    (root / "stage_2_train_images" / "b.dcm").unlink()
    with pytest.raises(
        DataMissingError, match=r"1 image\(s\) are listed but not there:\n  stage_2_train_images/b\.dcm"
    ):
        RSNA.build(tmp_path)
    (root / "stage_2_train_labels.csv").unlink()
    with pytest.raises(DataMissingError, match=r"rsna lacks stage_2_train_labels\.csv"):
        RSNA.build(tmp_path)


# VinDr-CXR

VINDR_TRAIN = ["image_id", "rad_id", "Cardiomegaly", "Nodule/Mass", "Pneumonia", "Other diseases", "No finding"]
VINDR_TEST = ["image_id", "Cardiomegaly", "Nodule/Mass", "Pneumonia", "Other disease", "No finding"]
HEALTHY, HEART, BOTH, OTHER = (0, 0, 0, 0, 1), (1, 0, 0, 0, 0), (1, 0, 1, 0, 0), (0, 0, 0, 1, 0)
VINDR_VOTES = {
    "normal": (HEALTHY, HEALTHY, HEALTHY),
    "heart": (HEART, HEART, HEART),
    "several": (HEART, BOTH, OTHER),
    "disagreed": (HEALTHY, HEART, HEALTHY),
    "contradictory": (HEALTHY, HEALTHY, (1, 0, 0, 0, 1)),
    "silent": (HEART, HEART, (0, 0, 0, 0, 0)),
}


def write_vindr(root: Path, votes: dict[str, Any] = VINDR_VOTES, test: dict[str, Any] | None = None) -> Path:
    test = {"t-normal": HEALTHY, "t-heart": HEART, "t-other": OTHER, "t-both": BOTH} if test is None else test
    rows = [(name, f"R{7 + n}", *vote) for name, cast in votes.items() for n, vote in enumerate(cast)]
    # Kept by radiologist, as published: the rows of one image do not lie together.
    rows.sort(key=lambda row: row[1])
    write_table(root / "annotations/image_labels_train.csv", [VINDR_TRAIN, *rows])
    write_table(root / "annotations/image_labels_test.csv", [VINDR_TEST, *((n, *v) for n, v in test.items())])
    for split, names in (("train", votes), ("test", test)):
        for name in names:
            touch(root / split / f"{name}.dicom")
    return root


@pytest.mark.parametrize("folder", ["vindr-cxr", "vindr-cxr/1.0.0", "physionet.org/files/vindr-cxr/1.0.0", "."])
def test_vindr_images_on_which_all_radiologists_agree(tmp_path: Path, folder: str) -> None:
    root = write_vindr(tmp_path / folder)
    files = VINDR.build(tmp_path)
    found = {file.path.stem: (file.role, file.label, file.category) for file in files}
    assert found == {
        "normal": ("fit", 0, "No finding"),
        "heart": ("pool", 1, "Cardiomegaly"),
        "several": ("pool", 1, "multiple"),
        "t-normal": ("test", 0, "No finding"),
        "t-heart": ("test", 1, "Cardiomegaly"),
        "t-other": ("test", 1, "Other disease"),
        "t-both": ("test", 1, "multiple"),
    }
    assert by_name(files)["heart.dicom"].path == root / "train" / "heart.dicom"
    assert {file.patient for file in files} == {None}
    assert VINDR.grouping == "unknown"


def test_vindr_bad_tables(tmp_path: Path) -> None:
    root = write_vindr(tmp_path, {"normal": (HEALTHY,) * 3, "odd": ((0, 0, 2, "", 0), HEART, HEART)})
    path = root / "annotations/image_labels_train.csv"
    path.write_text(path.read_text() + "normal,R7,0,0,0,0,1\r\n")
    with pytest.raises(BadTaskError) as error:
        VINDR.build(tmp_path)
    told(error, "odd: Pneumonia '2', Other diseases ''", "two rows in image_labels_train.csv:\n  normal R7")
    write_vindr(tmp_path, {"normal": (HEALTHY,) * 3, "few": (HEART, HEART)})
    with pytest.raises(BadTaskError, match=r"1 image\(s\) not read by 3 radiologists.*\n  few: 2"):
        VINDR.build(tmp_path)
    write_vindr(tmp_path, {"twice": (HEALTHY,) * 3}, {"twice": HEALTHY, "t": HEART})
    with pytest.raises(BadTaskError, match="in both train and test:\n  twice"):
        VINDR.build(tmp_path)


def test_vindr_missing_images(tmp_path: Path) -> None:
    root = write_vindr(tmp_path / "vindr-cxr")
    (root / "train" / "disagreed.dicom").unlink()
    (root / "test" / "t-both.dicom").unlink()
    with pytest.raises(DataMissingError) as error:
        VINDR.build(tmp_path)
    told(error, "2 image(s)", "train/disagreed.dicom", "test/t-both.dicom", VINDR.url)


# CheXpert

CHEXPERT_HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", *DISEASES, "Support Devices"]


def chexpert_row(path: str, normal: str = "", side: str = "Frontal", view: str = "AP", **findings: str) -> list[str]:
    values = {name.replace("_", " "): value for name, value in findings.items()}
    assert set(values) <= {*DISEASES, "Support Devices"}
    cells = [values.get(name, "") for name in (*DISEASES, "Support Devices")]
    return [f"CheXpert-v1.0-small/{path}", "Female", "68", side, view, normal, *cells]


def chexpert_path(split: str, patient: int, study: int = 1, name: str = "view1_frontal") -> str:
    return f"{split}/patient{patient:05}/study{study}/{name}.jpg"


CHEXPERT_TRAIN = [
    chexpert_row(chexpert_path("train", 1), "1.0"),
    chexpert_row(chexpert_path("train", 1, 2), Edema="1.0", Pneumonia="-1.0", Fracture="0.0"),
    chexpert_row(chexpert_path("train", 1, 2, "view2_lateral"), side="Lateral", view="", Edema="1.0"),
    chexpert_row(chexpert_path("train", 2), "1.0", view="PA", Pneumothorax="0.0"),
    chexpert_row(chexpert_path("train", 2, 2), Edema="1.0", Lung_Opacity="1.0"),
    chexpert_row(chexpert_path("train", 3), Consolidation="-1.0"),
    chexpert_row(chexpert_path("train", 4), "1.0", Support_Devices="1.0"),
    chexpert_row(chexpert_path("train", 5), "1.0", Atelectasis="-1.0"),
    chexpert_row(chexpert_path("train", 6), Support_Devices="1.0"),
    chexpert_row(chexpert_path("train", 7), Cardiomegaly="0.0"),
    chexpert_row(chexpert_path("train", 8), "1.0", Cardiomegaly="1.0"),
]
CHEXPERT_VALID = [
    chexpert_row(chexpert_path("valid", 64541), "1.0", view="PA"),
    chexpert_row(chexpert_path("valid", 64542), "0.0", Cardiomegaly="1.0", Support_Devices="1.0"),
    chexpert_row(chexpert_path("valid", 64542, 1, "view2_lateral"), "0.0", side="Lateral", Cardiomegaly="1.0"),
]


def write_chexpert(
    root: Path, train: list[list[str]] = CHEXPERT_TRAIN, valid: list[list[str]] = CHEXPERT_VALID
) -> Path:
    for split, rows in (("train", train), ("valid", valid)):
        write_table(root / f"{split}.csv", [CHEXPERT_HEADER, *rows])
        (root / split).mkdir(exist_ok=True)
        for row in rows:
            touch(root / row[0].removeprefix("CheXpert-v1.0-small/"))
    return root


@pytest.mark.parametrize("folder", ["CheXpert-v1.0-small", "CheXpert-v1.0", "chexpert", "."])
def test_chexpert_uncertain_devices_and_lateral_images_are_left_out(tmp_path: Path, folder: str) -> None:
    root = write_chexpert(tmp_path / folder)
    files = CHEXPERT.build(tmp_path)
    found = [(str(f.path.relative_to(root)), f.role, f.label, f.category, f.patient) for f in files]
    assert found == [
        (chexpert_path("train", 1), "fit", 0, "No Finding", "patient00001"),
        (chexpert_path("train", 1, 2), "pool", 1, "Edema", "patient00001"),
        (chexpert_path("train", 2), "fit", 0, "No Finding", "patient00002"),
        (chexpert_path("train", 2, 2), "pool", 1, "multiple", "patient00002"),
        (chexpert_path("valid", 64541), "test", 0, "No Finding", "patient64541"),
        (chexpert_path("valid", 64542), "test", 1, "Cardiomegaly", "patient64542"),
    ]
    assert files[2].attributes == {"sex": "F", "age": "68", "view": "PA"}
    assert CHEXPERT.grouping == "patient"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../train/patient00009/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/../../patient00009/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/../train/patient00009/study1/view1_frontal.jpg",
        "/CheXpert-v1.0-small/train/patient00009/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/valid/patient00009/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00009/study1/view1_frontal.jpg\n",
        "",
    ],
)
def test_chexpert_paths_stay_inside(tmp_path: Path, path: str) -> None:
    root = write_chexpert(tmp_path / "CheXpert-v1.0-small")
    row = chexpert_row("x", "1.0")
    table = root / "train.csv"
    kept = table.read_text()
    write_table(table, [CHEXPERT_HEADER, *CHEXPERT_TRAIN, [path, *row[1:]]])
    if path.endswith("\n"):  # cells are stripped, so this is an ordinary path whose image is missing
        with pytest.raises(DataMissingError, match="train/patient00009"):
            CHEXPERT.build(tmp_path)
    else:
        with pytest.raises(BadTaskError, match=r"1 path.* that are not CheXpert's"):
            CHEXPERT.build(tmp_path)
    table.write_text(kept)
    assert CHEXPERT.build(tmp_path)


def test_chexpert_all_that_is_wrong_in_one_error(tmp_path: Path) -> None:
    first, edema = CHEXPERT_TRAIN[0], CHEXPERT_TRAIN[1]
    relabelled = [first[0], *edema[1:]]
    odd = chexpert_row(chexpert_path("train", 9), Edema="2.0")
    shared = chexpert_row(chexpert_path("valid", 1), "1.0")
    root = write_chexpert(tmp_path, [*CHEXPERT_TRAIN, relabelled, edema, odd], [*CHEXPERT_VALID, shared])
    (root / chexpert_path("train", 2)).unlink()
    with pytest.raises(BadTaskError) as error:
        CHEXPERT.build(tmp_path)
    told(
        error, f"two rows in train.csv that disagree:\n  {first[0]}", f"two rows in train.csv that agree:\n  {edema[0]}"
    )
    told(
        error, f"labels other than 1.0, 0.0, -1.0 and blank:\n  {odd[0]}", f"not there:\n  {chexpert_path('train', 2)}"
    )
    told(error, "1 patient(s) in both train.csv and valid.csv:\n  patient00001")


def test_chexpert_missing_images_and_columns(tmp_path: Path) -> None:
    root = write_chexpert(tmp_path / "CheXpert-v1.0-small")
    (root / chexpert_path("valid", 64541)).unlink()
    with pytest.raises(DataMissingError, match=r"1 image\(s\) are listed but not there:\n  valid/patient64541"):
        CHEXPERT.build(tmp_path)
    write_table(root / "valid.csv", [["Path", "Sex", "Age", "No Finding"]])
    with pytest.raises(BadTaskError, match=r"valid\.csv has no column 'Frontal/Lateral', 'AP/PA', 'Enlarged Cardio"):
        CHEXPERT.build(tmp_path)


# What they share


@pytest.mark.parametrize("spec", [NIH, RSNA, VINDR, CHEXPERT])
def test_missing_data_shows_layout_and_download(spec: TaskSpec, tmp_path: Path) -> None:
    with pytest.raises(DataMissingError) as error:
        spec.build(tmp_path)
    told(error, f"task '{spec.name}': no images found in {tmp_path}", spec.layout, spec.url, "BENCH_DATA")


def distinct(write: Callable[[Path], Path], root: Path) -> Path:
    """An imitation whose images can be told apart, so that they are indexed and decoded."""
    write(root)
    for place, path in enumerate(sorted([*root.rglob("*.png"), *root.rglob("*.jpg")])):
        write_image(path, place)
    return root


@pytest.mark.parametrize(("spec", "write"), [(NIH, write_nih), (CHEXPERT, write_chexpert)])
def test_tables_become_tasks(spec: TaskSpec, write: Callable[[Path], Path], tmp_path: Path) -> None:
    counts = index_task(spec, distinct(write, tmp_path / "data"), tmp_path / "cache").counts()
    assert counts["test"]["normal"] == 1
    assert counts["test"]["anomalous"] >= 1
    assert sum(counts[role]["normal"] for role in ("fit", "tune") if role in counts) == 2
    assert counts["pool"] == {"normal": 0, "anomalous": 2}


def test_damaged_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(DataMissingError, match=r"no file .*t\.csv"):
        read_table(path, ("a",))
    path.write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(BadTaskError, match="is no CSV"):
        read_table(path, ("a",))
    path.write_text("a,b\n1,2\n3\n\n4\n")
    with pytest.raises(BadTaskError, match="line 3: 1 cells, expected 2\n  line 5: 1 cells"):
        read_table(path, ("a",))
    path.write_text("")
    with pytest.raises(BadTaskError, match="no column 'a', 'b' or 'c': its columns are none"):
        read_table(path, ("a", ("b", "c")))


def test_tables_with_a_byte_order_mark_blanks_and_a_last_comma(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa, b,\n1, 2 ,\n\n3,4\n", encoding="utf-8")
    table = read_table(path, (("x", "a"), "b"))
    assert table.column("x", "a") == ["1", "3"]
    assert table.column("b") == ["2", "4"]
    with pytest.raises(KeyError):
        table.column("x")


def test_hidden_files_and_folders_are_no_images(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".DS_Store"):
        touch(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    assert list_names(tmp_path) == {"a.png"}
    assert list_names(tmp_path / "nowhere") == set()
