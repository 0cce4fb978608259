"""OCTDL, BMAD and MedMNIST+ from small imitations of what their downloads unpack to."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.decode import open_images, prepare_images
from bench.data.index import index_task
from bench.data.sets import bmad, medmnist
from bench.data.sets.octdl import CLASSES, OCTDL
from bench.errors import BadTaskError, DataMissingError
from tests.conftest import write_image


@pytest.fixture
def octdl(tmp_path: Path) -> Path:
    lines = ["file_name,disease,subcategory,condition,patient_id,eye,sex,year,image_width,image_hight"]
    number = 0
    for disease in CLASSES:
        for _ in range(20 if disease == "NO" else 6):
            name = f"{disease.lower()}_{1000 + number}_1"
            write_image(tmp_path / "OCTDL" / disease / f"{name}.jpg", number)
            lines.append(f"{name},{disease},,,{number // 2},OD,{'MF'[number % 2]},1950,48,40")
            number += 1
    (tmp_path / "OCTDL" / "OCTDL_labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_octdl_draws_patients_and_keeps_them_apart(octdl: Path) -> None:
    files = OCTDL.build(octdl)
    assert len(files) == 56
    roles = {role: {file.patient for file in files if file.role == role} for role in ("fit", "pool", "test")}
    assert not roles["test"] & (roles["fit"] | roles["pool"])
    assert {file.label for file in files if file.role == "fit"} == {0}
    assert {file.label for file in files if file.role == "pool"} == {1}
    assert {file.label for file in files if file.role == "test"} == {0, 1}
    assert {file.attributes["sex"] for file in files} == {"M", "F"}
    assert index_task(OCTDL, octdl, octdl / "cache").grouping == "patient"


def test_octdl_table_beside_its_folder_and_names_with_suffix(octdl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = OCTDL.build(octdl)
    table = octdl / "OCTDL" / "OCTDL_labels.csv"
    (octdl / table.name).write_text(table.read_text().replace("_1,", "_1.jpg,"))
    table.unlink()
    for data in (octdl, octdl / "OCTDL"):
        assert OCTDL.build(data) == inside
    monkeypatch.chdir(octdl / "OCTDL")
    assert len(OCTDL.build(Path())) == len(inside)
    (octdl / table.name).unlink()
    with pytest.raises(DataMissingError, match=r"lacks OCTDL_labels\.csv"):
        OCTDL.build(octdl)


def test_octdl_scans_without_a_patient_or_twice_are_named(octdl: Path) -> None:
    table = octdl / "OCTDL" / "OCTDL_labels.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace(",0,OD", ",,OD")
    table.write_text("\n".join([*lines, lines[2]]))
    with pytest.raises(BadTaskError) as caught:
        OCTDL.build(octdl)
    assert "1 scan(s) without a patient:\n  amd_1000_1\n" in str(caught.value)
    assert "1 scan(s) with two rows:\n  amd_1001_1\n" in str(caught.value)


def test_octdl_names_all_that_is_wrong(octdl: Path) -> None:
    table = octdl / "OCTDL" / "OCTDL_labels.csv"
    text = table.read_text()
    (octdl / "OCTDL" / "AMD" / "amd_1000_1.jpg").unlink()
    with pytest.raises(DataMissingError, match="AMD/amd_1000_1"):
        OCTDL.build(octdl)
    table.write_text(text.replace("amd_1001_1,AMD", "amd_1001_1,XYZ").replace("no_1018_1,NO,,,9,", "no_1018_1,NO,,,,"))
    with pytest.raises(BadTaskError) as caught:
        OCTDL.build(octdl)
    for word in ("amd_1001_1: 'XYZ'", "no_1018_1", "AMD/amd_1000_1"):
        assert word in str(caught.value)


def bmad_set(root: Path, nested: bool = True, masks: str | None = None) -> None:
    inside = "img" if nested else "."
    for number in range(12):
        write_image(root / "train" / "good" / f"NORMAL-{number}-1.png", number)
    for number in range(4):
        write_image(root / "valid" / "Ungood" / "img" / f"CNV-{number}-1.png", 50 + number)
        write_image(root / "test" / "good" / inside / f"NORMAL-{100 + number}-1.png", 100 + number)
        write_image(root / "test" / "Ungood" / inside / f"CNV-{200 + number}-2.png", 200 + number)
        if masks:
            path = root / "test" / "Ungood" / masks / f"CNV-{200 + number}-2.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (48, 40), 255).save(path)


BMAD = {spec.name: spec for spec in bmad.TASKS}


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("name", ["bmad-oct2017", "bmad-rsna"])
def test_bmad_without_masks(tmp_path: Path, name: str, nested: bool) -> None:
    bmad_set(tmp_path / bmad.FOLDERS[name][0], nested, masks="label")
    files = BMAD[name].build(tmp_path)
    assert Counter((file.role, file.label) for file in files) == {("fit", 0): 12, ("test", 0): 4, ("test", 1): 4}
    assert {file.mask for file in files} == {None}
    patients = {file.patient for file in files}
    assert ("200" in patients) == (name == "bmad-oct2017")
    assert (patients == {None}) == (name == "bmad-rsna")


@pytest.mark.parametrize("masks", ["label", "anomaly_mask"])
def test_bmad_resc_has_masks(tmp_path: Path, masks: str) -> None:
    root = tmp_path / "Retina_RESC"
    bmad_set(root, masks=masks)
    manifest = index_task(BMAD["bmad-resc"], tmp_path, tmp_path / "cache")
    assert all((entry.mask is not None) == bool(entry.label) for entry in manifest.entries)
    assert not any("valid" in entry.path.parts for entry in manifest.entries)
    (root / "test" / "Ungood" / masks / "CNV-201-2.png").rename(root / "test" / "Ungood" / masks / "other.png")
    with pytest.raises(BadTaskError) as caught:
        BMAD["bmad-resc"].build(tmp_path)
    assert "CNV-201-2.png" in str(caught.value)
    assert "other.png" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "folder"), [(name, folder) for name, folders in bmad.FOLDERS.items() for folder in folders]
)
@pytest.mark.parametrize("outer", [".", "BMAD"])
def test_bmad_is_found_wherever_it_unpacks(tmp_path: Path, name: str, folder: str, outer: str) -> None:
    bmad_set(tmp_path / outer / folder, masks="label")
    expected = {
        path for path in (tmp_path / outer / folder).rglob("*.png") if {"valid", "label"}.isdisjoint(path.parts)
    }
    for data in (tmp_path, tmp_path / outer / folder):
        assert {file.path for file in BMAD[name].build(data)} == expected


def test_bmad_current_archives_write_ungood_small_and_val_short(tmp_path: Path) -> None:
    root = tmp_path / "Retina_RESC_AD" / "RESC"
    bmad_set(root, masks="label")
    (root / "test" / "Ungood").rename(root / "test" / "ungood")
    (root / "valid").rename(root / "val")
    (root / "test" / "ungood" / "label" / "Thumbs.db").write_text("no mask")
    files = [file for file in BMAD["bmad-resc"].build(tmp_path) if file.role == "test"]
    assert Counter(file.label for file in files) == {0: 4, 1: 4}
    masks = {file.path.name: file.mask for file in files if file.label}
    assert masks == {name: root / "test" / "ungood" / "label" / name for name in masks}


@pytest.mark.parametrize("ungood", ["Ungood", "ungood"])
def test_bmad_first_resc_kept_its_masks_apart(tmp_path: Path, ungood: str) -> None:
    root = tmp_path / "RESC"
    for number in range(3):
        write_image(root / "Train" / "train" / "good" / f"a{number}.png", number)
        write_image(root / "Test" / "test" / "good" / f"b{number}.png", 10 + number)
        write_image(root / "Test" / "test" / ungood / f"c{number}.png", 20 + number)
        write_image(root / "Test" / "test_label" / ungood / f"c{number}.png", 30 + number)
        write_image(root / "Val" / "val" / ungood / f"d{number}.png", 40 + number)
    files = BMAD["bmad-resc"].build(tmp_path)
    assert Counter((file.role, file.label) for file in files) == {("fit", 0): 3, ("test", 0): 3, ("test", 1): 3}
    masks = {file.path.name: file.mask for file in files if file.label}
    assert masks == {f"c{n}.png": root / "Test" / "test_label" / ungood / f"c{n}.png" for n in range(3)}


@pytest.mark.parametrize("name", ["bmad-oct2017", "bmad-rsna"])
def test_bmad_refuses_the_folder_of_another_of_its_sets(tmp_path: Path, name: str) -> None:
    bmad_set(tmp_path / "RESC", masks="label")
    with pytest.raises(DataMissingError, match="RESC is another set of BMAD"):
        BMAD[name].build(tmp_path / "RESC")


def test_bmad_is_not_mistaken_for_kermany_nor_kermany_for_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for kind in ("NORMAL", "CNV"):
            write_image(tmp_path / "OCT2017" / split / kind / f"{kind}-1-1.jpeg", 0)
    with pytest.raises(DataMissingError, match="no images found"):
        BMAD["bmad-oct2017"].build(tmp_path)


def test_bmad_empty_class_and_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match=r"Retina_RESC_AD/RESC/train/good.*\n.*\n.*label"):
        BMAD["bmad-resc"].build(tmp_path)
    bmad_set(tmp_path / "BMAD" / "RSNA")
    for path in (tmp_path / "BMAD" / "RSNA" / "train" / "good").iterdir():
        path.unlink()
    with pytest.raises(BadTaskError, match=r"no images in .*good"):
        BMAD["bmad-rsna"].build(tmp_path)


MED = {spec.name: spec for spec in medmnist.TASKS}


def arrays(name: str, size: int) -> dict[str, np.ndarray]:
    rng, made = np.random.default_rng(0), {}
    for split, count in (("train", 40), ("val", 8), ("test", 16)):
        made[f"{split}_images"] = rng.integers(0, 255, (count, size, size), dtype=np.uint8)
        if name == "chestmnist":
            labels = np.zeros((count, 14), np.int64)
            labels[::2, 3] = 1
            labels[::4, 7] = 1
        else:
            labels = rng.permutation(np.arange(count) % (4 if name == "octmnist" else 2))[:, None].astype(np.uint8)
        made[f"{split}_labels"] = labels
    return made


@pytest.mark.parametrize(
    ("task", "name", "size"),
    [("octmnist", "octmnist", 28), ("pneumoniamnist-64", "pneumoniamnist", 64), ("chestmnist-128", "chestmnist", 128)],
)
def test_medmnist_rows_have_roles_labels_and_pixels(tmp_path: Path, task: str, name: str, size: int) -> None:
    made = arrays(name, size)
    np.savez_compressed(tmp_path / medmnist.file_name(task), **made)
    files = MED[task].build(tmp_path)
    assert len(files) == 64
    normal = {"octmnist": 3, "pneumoniamnist": 0}
    for file in files:
        assert file.member is not None
        split = file.member[0].removesuffix("_images")
        label = made[f"{split}_labels"][file.member[1]]
        expected = int(label.any()) if name == "chestmnist" else int(label[0] != normal[name])
        assert file.label == expected
        assert file.role == ("test" if split == "test" else "pool" if expected else "fit")
    assert "NORMAL" in {file.category for file in files}
    if name == "chestmnist":
        assert {file.category for file in files} == {"NORMAL", "infiltration", "multiple"}
    manifest = index_task(MED[task], tmp_path, tmp_path / "cache")
    maps = prepare_images(MED[task], manifest, size, tmp_path / "cache")
    for row, entry in enumerate(manifest.of_role("fit")):
        assert entry.member is not None
        assert np.array_equal(open_images(maps.fit, 1)[row, :, :, 0], made[entry.member[0]][entry.member[1]])


def test_medmnist_tells_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "octmnist.npz"
    with pytest.raises(DataMissingError, match="bench data fetch octmnist"):
        MED["octmnist"].build(tmp_path)
    made = arrays("octmnist", 28)

    def fails(message: str, **changes: np.ndarray) -> None:
        np.savez_compressed(path, **{**made, **changes})
        with pytest.raises(BadTaskError, match=message):
            MED["octmnist"].build(tmp_path)

    fails(r"val_labels has labels that the set does not know:\n  row 2: \[4\]", val_labels=np.arange(8)[:, None] * 2)
    fails(
        r"test_images is uint8 \(16, 64, 64\).*expected uint8 \(16, 28, 28\)", test_images=np.zeros((16, 64, 64), "u1")
    )
    fails(r"test_images is float32 \(16, 28, 28\)", test_images=made["test_images"].astype(np.float32))
    fails(r"train_images is uint8 \(40, 28, 28\) beside 39 labels", train_labels=made["train_labels"][:39])
    fails(r"expected integers \(n, 1\)", test_labels=np.zeros((16, 14), np.int64))
    np.savez_compressed(path, **{name: array for name, array in made.items() if name != "val_labels"})
    with pytest.raises(BadTaskError, match="has no array 'val_labels'"):
        MED["octmnist"].build(tmp_path)
    np.savez(path, **{**made, "train_labels": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(BadTaskError, match="damaged"):
        MED["octmnist"].build(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadTaskError, match="damaged"):
        MED["octmnist"].build(tmp_path)


def test_medmnist_damage_of_any_kind_is_told(tmp_path: Path) -> None:
    """Bytes changed in the zip's tables and the arrays' headers give all that zipfile and numpy can raise."""
    path = tmp_path / "octmnist.npz"
    np.savez_compressed(path, **{name: array[:2] for name, array in arrays("octmnist", 28).items()})
    good, rng, told = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(400):
        damaged = bytearray(good)
        for place in rng.integers(len(good) - 600, len(good), 2):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            MED["octmnist"].build(tmp_path)
        except BadTaskError as error:
            assert str(path) in str(error)
            told += 1
    assert told > 200


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [(8, 1, "encrypted"), (10, 99, "compression method"), (42, 250, r"magic number|Invalid argument|Bad")],
)
def test_medmnist_zip_entries_that_cannot_be_read(tmp_path: Path, offset: int, value: int, reason: str) -> None:
    path = tmp_path / "octmnist.npz"
    np.savez(path, **arrays("octmnist", 28))
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02", 0, content.rfind(b"train_labels.npy"))
    content[entry + offset] = value
    path.write_bytes(content)
    with pytest.raises(BadTaskError, match=reason):
        MED["octmnist"].build(tmp_path)


def test_every_size_can_be_fetched() -> None:
    assert set(medmnist.DOWNLOADS) == set(MED)
    for name, download in medmnist.DOWNLOADS.items():
        assert download.url == MED[name].url
        assert len(bytes.fromhex(download.md5)) == 16
