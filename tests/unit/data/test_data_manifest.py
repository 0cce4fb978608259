"""Identities, roles and hashes of images."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.contracts import ImageFile, TaskSpec
from bench.data.decode import open_images, prepare_images, undecodable
from bench.data.index import index_task
from bench.data.manifest import build_manifest, goes_to_tune
from bench.data.reading import decode, to_grey
from bench.data.sets.kermany import CHEST_XRAY, OCT2017, chest_patient, oct_patient
from bench.errors import BadTaskError
from tests.conftest import write_image


def spec(files: list[ImageFile]) -> TaskSpec:
    return TaskSpec("toy", "1", "toy", "none", "none", "none", "patient", "none", build=lambda _: files)


def image(name: str, role: str = "fit", label: int = 0, patient: str | None = None) -> ImageFile:
    return ImageFile(Path("/data") / name, label, "X", patient, role)  # type: ignore[arg-type]


def manifest(files: list[ImageFile], content: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    content = content or {}
    digests = [sha256(content.get(file.path.name, file.path.name).encode()).hexdigest() for file in files]
    return build_manifest(spec(files), files, digests)


TEST_PAIR = [image("t0", "test", 0), image("t1", "test", 1)]


def test_ids_come_from_contents_and_copies_are_numbered_in_path_order() -> None:
    files = [image("b"), image("a"), image("c"), *TEST_PAIR]
    made = manifest(files, {"a": "same", "b": "same", "c": "other"})
    by_name = {entry.path.name: entry.id for entry in made.entries}
    assert by_name["a"] == sha256(b"same").hexdigest()[:16]
    assert by_name["b"] == by_name["a"] + "-2"
    assert [entry.id for entry in made.entries] == sorted(entry.id for entry in made.entries)


def test_hash_ignores_order_and_place_but_not_content_or_role() -> None:
    files = [image("a"), image("b"), *TEST_PAIR]
    base = manifest(files).sha256
    assert manifest(files[::-1]).sha256 == base
    moved = [file._replace(path=Path("/elsewhere") / file.path.name) for file in files]
    assert manifest(moved).sha256 == base
    assert manifest(files, {"a": "changed"}).sha256 != base
    assert manifest([files[0]._replace(category="Y"), *files[1:]]).sha256 != base
    assert manifest([files[0]._replace(patient="p"), *files[1:]]).sha256 != base


@given(st.text(min_size=1), st.text(min_size=1))
def test_tune_rule_is_the_published_one(task: str, key: str) -> None:
    digest = sha256((task + "/" + key).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    try:
        assert goes_to_tune(task, key) == (int(digest, 16) / 2**32 < 0.1)
    except UnicodeEncodeError:
        assert any(0xD800 <= ord(character) <= 0xDFFF for character in task + key)


def test_no_patient_straddles_and_about_a_tenth_is_held_out() -> None:
    files = [image(f"{p}-{n}", patient=f"p{p}") for p in range(300) for n in range(3)] + TEST_PAIR
    made = manifest(files)
    roles: dict[str, set[str]] = {}
    for entry in made.of_role("fit", "tune"):
        roles.setdefault(str(entry.patient), set()).add(entry.role)
    assert all(len(found) == 1 for found in roles.values())
    assert 0.05 < len(made.of_role("tune")) / 900 < 0.15
    before = {entry.path.name: entry.role for entry in made.entries}
    more = manifest([*files, image("new", patient="p-new")])
    assert {entry.path.name: entry.role for entry in more.entries if entry.path.name != "new"} == before


def test_tasks_that_cannot_be_benchmarked() -> None:
    with pytest.raises(BadTaskError, match="no normal training images"):
        manifest(TEST_PAIR)
    with pytest.raises(BadTaskError, match="no anomalous test images"):
        manifest([image("a"), TEST_PAIR[0]])
    with pytest.raises(BadTaskError, match="anomalous images among its"):
        manifest([image("a"), image("b", label=1), *TEST_PAIR])


@pytest.mark.parametrize(
    ("split", "name", "patient"),
    [
        ("train", "IM-0115-0001.jpeg", "IM-0115"),
        ("test", "IM-0115-0001-0002.jpeg", "IM-0115"),
        ("train", "NORMAL2-IM-0030-0001.jpeg", "NORMAL2-IM-0030"),
        ("train", "person586_bacteria_2420.jpeg", "train/person586"),
        ("test", "person586_virus_1.jpeg", "test/person586"),
        ("train", "something.jpeg", None),
    ],
)
def test_chest_patients(split: str, name: str, patient: str | None) -> None:
    assert chest_patient(split, name) == patient


@pytest.mark.parametrize(
    ("name", "patient"),
    [("CNV-933576-16.jpeg", "933576"), ("NORMAL-933576-1.jpeg", "933576"), ("normal_train_12.jpg", None)],
)
def test_oct_patients_are_the_number_alone(name: str, patient: str | None) -> None:
    assert oct_patient(name) == patient


def test_chest_layout(chest_data: Path, tmp_path: Path) -> None:
    write_image(chest_data / "chest_xray" / "val" / "NORMAL" / "NORMAL2-IM-1427-0001.jpeg", 77)
    write_image(chest_data / "chest_xray" / "val" / "PNEUMONIA" / "person1_bacteria_1.jpeg", 78)
    (chest_data / "chest_xray" / "train" / "NORMAL" / ".DS_Store").write_text("no image")
    (chest_data / "chest_xray" / "train" / "NORMAL" / "._IM-0001-0001.jpeg").write_text("no image")
    for data in (chest_data, chest_data / "chest_xray"):
        counts = index_task(CHEST_XRAY, data, tmp_path / data.name).counts()
        assert counts["fit"]["normal"] + counts["tune"]["normal"] == 41
        assert counts["pool"] == {"normal": 0, "anomalous": 5}
        assert counts["test"] == {"normal": 12, "anomalous": 12}


@pytest.mark.parametrize(
    "folder", ["OCT2017", "OCT2017 ", "OCT2017/OCT2017 ", "CellData/OCT", "ZhangLabData/CellData/OCT"]
)
def test_oct_layouts_of_all_downloads(tmp_path: Path, folder: str) -> None:
    root = tmp_path / "data" / folder
    for number, kind in enumerate(["NORMAL", "CNV", "DME", "DRUSEN"]):
        for copy in range(4):
            write_image(root / "train" / kind / f"{kind}-{number}{copy}-1.jpeg", 10 * number + copy)
            write_image(root / "test" / kind / f"{kind}-9{number}{copy}-1.jpeg", 100 + 10 * number + copy)
    made = index_task(OCT2017, tmp_path / "data", tmp_path / "cache")
    assert made.counts()["pool"]["anomalous"] == 12
    assert {entry.category for entry in made.of_role("test")} == {"NORMAL", "CNV", "DME", "DRUSEN"}


def test_decoded_maps_are_in_order_of_id_squashed_and_read_only(chest_data: Path, tmp_path: Path) -> None:
    made = index_task(CHEST_XRAY, chest_data, tmp_path / "cache")
    maps = prepare_images(CHEST_XRAY, made, 16, tmp_path / "cache")
    for path, roles in ((maps.fit, ("fit",)), (maps.evaluate, ("tune", "test"))):
        entries = made.of_role(*roles)
        images = open_images(path, 1)
        assert images.shape == (len(entries), 16, 16, 1)
        assert images.dtype == np.uint8
        for row, entry in enumerate(entries):
            with Image.open(entry.path) as file:
                expected = np.asarray(file.convert("L").resize((16, 16), Image.Resampling.BILINEAR))
            assert np.array_equal(images[row, :, :, 0], expected)
        with pytest.raises(ValueError, match="read-only"):
            images[0] = 0
        coloured = open_images(path, 3)
        assert coloured.shape[3] == 3
        assert np.array_equal(coloured[..., 0], coloured[..., 2])


def test_damaged_cache_is_decoded_again(chest_data: Path, tmp_path: Path) -> None:
    made = index_task(CHEST_XRAY, chest_data, tmp_path / "cache")
    maps = prepare_images(CHEST_XRAY, made, 16, tmp_path / "cache")
    good = maps.fit.read_bytes()
    maps.fit.write_bytes(good[:500])
    assert prepare_images(CHEST_XRAY, made, 16, tmp_path / "cache").fit.read_bytes() == good


def test_sixteen_bits_and_colours_to_grey() -> None:
    assert np.array_equal(to_grey(np.array([[0, 257, 65535]], np.uint16)), [[0, 1, 255]])
    assert np.array_equal(to_grey(np.full((2, 2, 3), [0, 90, 180], np.uint8)), np.full((2, 2), 90))
    with pytest.raises(ValueError, match="float64"):
        to_grey(np.zeros((2, 2)))


@pytest.mark.parametrize("suffix", ["pgm", "png", "tiff"])
def test_sixteen_bits_are_scaled_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(np.full((4, 4), 257 * 70, np.uint16)).save(path)
    assert np.array_equal(np.asarray(decode(path.read_bytes())), np.full((4, 4), 70))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "deep.tiff"
    Image.fromarray(np.full((4, 4), 300, dtype)).save(path)
    file = ImageFile(path, 0, "X", None, "fit")
    (reason,) = undecodable(spec([]), [file], tmp_path)
    assert reason == "32-bit pixels, whose range is unknown: convert them to 8 or 16 bits"


def test_sixteen_bit_png(tmp_path: Path) -> None:
    files = []
    for number in range(8):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((20, 20), 257 * 10 * (number + 1), np.uint16)).save(path)
        role, label = ("fit", 0) if number < 6 else ("test", number - 6)
        files.append(ImageFile(path, label, "X", f"p{number}", role))  # type: ignore[arg-type]
    task = spec(files)
    made = index_task(task, tmp_path, tmp_path / "cache")
    maps = prepare_images(task, made, 8, tmp_path / "cache")
    images = open_images(maps.evaluate, 1)
    entries = made.of_role("tune", "test")
    values = {entry.path.name: int(images[row].mean()) for row, entry in enumerate(entries)}
    assert values["6.png"] == 70
    assert values["7.png"] == 80
