"""Copies are found, neighbours are not; confounds are what they are."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from bench.contracts import ImageFile, TaskSpec
from bench.data.audit import similarity as look
from bench.data.audit.confounds import find_confounds, jpeg_quality, known_attributes, rim
from bench.data.audit.duplicates import find_duplicates, near_pairs
from bench.data.audit.report import as_json, audit
from bench.data.audit.search import find_task_duplicates, has_grain
from bench.data.audit.sheet import LIMIT, draw_sheet
from bench.data.index import index_task
from bench.data.manifest import Entry
from bench.data.sets.kermany import CHEST_XRAY, OCT2017
from tests.conftest import shared_data

SIZE = (300, 240)
Picture = Image.Image


def scan(anatomy: int, grain: int) -> Picture:
    """Draw layers that belong to an eye, under waves and speckle that belong to one slice of it."""
    rng, own = np.random.default_rng(anatomy), np.random.default_rng([grain, 7])
    x = np.arange(SIZE[0])
    surface = 70 + 25 * np.sin(x / rng.uniform(50, 90) + rng.uniform(0, 6)) + rng.uniform(-20, 20)
    surface += own.uniform(1, 2) * np.sin(x / own.uniform(15, 30) + own.uniform(0, 6))
    depth = np.arange(SIZE[1])[:, None] - surface
    layers = sum(
        bright * np.exp(-(((depth - at) / width) ** 2))
        for at, bright, width in zip(rng.uniform(0, 70, 6), rng.uniform(40, 180, 6), rng.uniform(3, 12, 6), strict=True)
    )
    speckle = gaussian_filter(own.gamma(1, 1, SIZE[::-1]), 1.5)
    return Image.fromarray(np.clip((layers + 12) * speckle, 0, 255).astype(np.uint8))


def thumbnail(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(picture.resize((look.SIDE, look.SIDE), Image.Resampling.BILINEAR), np.uint8)


def encoded(picture: Picture, quality: int) -> Picture:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("L")


def shifted(picture: Picture, right: int, down: int) -> Picture:
    return picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down))


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "encoded": lambda p: encoded(p, 40),
    "halved": lambda p: p.resize((150, 120), Image.Resampling.BICUBIC),
    "shifted": lambda p: shifted(p, 15, -12),
    "gamma": lambda p: p.point([int(255 * (v / 255) ** 0.6) for v in range(256)]),
    "equalised": ImageOps.equalize,
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda p: ImageOps.flip(ImageOps.mirror(p)),
    "all": lambda p: encoded(ImageOps.mirror(shifted(p, -9, 7)).resize((220, 180), Image.Resampling.BICUBIC), 60),
}


@pytest.fixture(scope="module")
def eyes() -> NDArray[np.uint8]:
    """Twenty eyes with three neighbouring slices each: the same anatomy, other grain."""
    return np.stack([thumbnail(scan(eye, 10 * eye + n)) for eye in range(20) for n in range(3)])


def test_neighbouring_slices_are_no_copies(eyes: NDArray[np.uint8]) -> None:
    anatomy = gaussian_filter(eyes.astype(float), (0, 4, 4)).reshape(len(eyes), -1)
    alike = np.corrcoef(anatomy)[np.arange(0, 60, 3), np.arange(1, 60, 3)]
    assert alike.min() > 0.95, "the drawing no longer has neighbours that look alike"
    assert list(near_pairs(eyes, np.arange(len(eyes)))) == []


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_among_neighbours_and_their_flip_is_told(eyes: NDArray[np.uint8], kind: str) -> None:
    chosen = list(range(0, 20, 3))
    made = [thumbnail(COPIES[kind](scan(eye, 10 * eye))) for eye in chosen]
    both = np.concatenate([eyes, np.stack(made)])
    found = {(a, b): flip for a, b, _, flip in near_pairs(both, np.arange(len(both)))}
    assert set(found) == {(3 * eye, len(eyes) + number) for number, eye in enumerate(chosen)}
    flip = {"mirrored": "horizontal", "all": "horizontal", "upside down": "vertical", "turned": "both"}.get(kind, "")
    assert set(found.values()) == {flip}


def test_description_is_the_same_for_all_flips(eyes: NDArray[np.uint8]) -> None:
    flat = look.equalise(eyes[:4])
    plain = look.describe(flat)
    for which in look.FLIPS:
        assert np.allclose(look.describe(np.ascontiguousarray(look.flip(flat, which))), plain, atol=1e-3)


@pytest.mark.parametrize("which", look.FLIPS)
def test_match_undoes_flip_and_shift(eyes: NDArray[np.uint8], which: str) -> None:
    flat = look.equalise(eyes[:5])
    turned = np.roll(look.flip(flat, which), (4, -6), axis=(1, 2))
    value, flips = look.match(look.coarse_spectrum(flat), look.coarse_spectrum(np.ascontiguousarray(turned)))
    assert {look.FLIPS[flip] for flip in flips} == {which}
    assert value.min() > 0.8


def test_similarity_of_a_picture_with_itself_and_with_nothing(eyes: NDArray[np.uint8]) -> None:
    assert look.similarity(eyes[0], eyes[0]) == pytest.approx(1, abs=1e-4)
    assert look.similarity(eyes[0], np.full_like(eyes[0], 90)) < 0.5
    assert look.similarity(np.zeros_like(eyes[0]), np.zeros_like(eyes[0])) == 0


def test_blank_and_few_images_are_no_trouble() -> None:
    blank = np.zeros((30, look.SIDE, look.SIDE), np.uint8)
    assert list(near_pairs(blank, np.arange(30))) == []
    assert list(near_pairs(blank, np.arange(1))) == []
    assert list(near_pairs(blank, np.arange(2))) == []


def entry(name: str, role: str, content: str) -> Entry:
    return Entry(content, Path("/data") / name, None, role, 0, "X", None, None)  # type: ignore[arg-type]


def test_every_combination_of_identical_files_is_a_pair(eyes: NDArray[np.uint8]) -> None:
    copy = thumbnail(encoded(scan(0, 0), 60))
    entries = [
        entry("t1", "test", "aa"),
        entry("f1", "fit", "aa-2"),
        entry("f2", "fit", "aa-3"),
        entry("u", "tune", "bb"),
        entry("p", "pool", "cc"),
    ]
    # Ids are compared by the 16 digits of the content.
    entries = [e._replace(id=e.id[:2] * 8 + e.id[2:]) for e in entries]
    thumbnails = np.stack([eyes[0], eyes[0], eyes[0], copy, eyes[6]])
    pairs = find_duplicates(entries, thumbnails)
    told = {(p.kind, p.a.path.name, p.b.path.name) for p in pairs}
    exact = {("exact", "f1", "t1"), ("exact", "f2", "t1"), ("exact", "f1", "f2")}
    assert told == exact | {("near", "u", "t1"), ("near", "f1", "u"), ("near", "f2", "u")}
    assert [p.kind for p in pairs[:3]] == ["exact"] * 3
    assert {(p.kind, p.a.path.name, p.b.path.name) for p in find_duplicates(entries, thumbnails, near=False)} == exact


def task(files: list[ImageFile]) -> TaskSpec:
    return TaskSpec("toy", "1", "toy", "none", "none", "none", "patient", "none", build=lambda _: files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Scans, one of which is in test as well; test's anomalies are wider, brighter, of women, and of worse quality."""
    root = tmp_path / "data"
    root.mkdir()
    for number in range(24):
        scan(number, number).save(root / f"fit{number}.png")
    for number in range(10):
        scan(100 + number, 100 + number).save(root / f"normal{number}.jpg", quality=90)
        bright = Image.fromarray(
            np.clip(np.asarray(scan(200 + number, 200 + number)).astype(int) + 60, 0, 250).astype(np.uint8)
        )
        bright.resize((400, 240)).save(root / f"sick{number}.jpg", quality=50)
    encoded(scan(3, 3), 70).save(root / "normal9.jpg", quality=90)
    return root


PATIENTS = {"normal0": "pfit0"}


def files_in(root: Path) -> list[ImageFile]:
    fit = [ImageFile(path, 0, "N", f"p{path.stem}", "fit") for path in sorted(root.glob("fit*.png"))]
    normal = [
        ImageFile(
            path,
            0,
            "N",
            "pfit0" if path.stem == "normal0" else f"p{path.stem}",
            "test",
            attributes={"sex": "M", "age": "50"},
        )
        for path in sorted(root.glob("normal*.jpg"))
    ]
    sick = [
        ImageFile(path, 1, "S", f"p{path.stem}", "test", attributes={"sex": "F"} | {"age": str(40 + number)})
        for number, path in enumerate(sorted(root.glob("sick*.jpg")))
    ]
    return fit + normal + sick


def test_audit_of_a_task(folder: Path, tmp_path: Path) -> None:
    spec = task(files_in(folder))
    manifest = index_task(spec, folder, tmp_path / "cache")
    steps: set[str] = set()
    found = audit(spec, manifest, tmp_path / "cache", lambda step, done, total: steps.add(step))
    assert steps == {"decoding thumbnails", "looking for copies", "measuring test images"}
    told = json.loads(json.dumps(as_json(found)))
    (pair,) = told["duplicates"]
    role = next(e.role for e in manifest.entries if e.path.name == "fit3.png")
    assert (pair["kind"], pair["a"], pair["a_role"], pair["b"], pair["b_role"]) == (
        "near",
        "fit3.png",
        role,
        "normal9.jpg",
        "test",
    )
    assert 0.95 <= pair["similarity"] <= 1
    (shared,) = told["shared_patients"]
    assert shared["patient"] == "pfit0"
    assert shared["roles"]["test"] == 1
    confounds = {confound["name"]: confound["auroc"] for confound in told["confounds"]}
    assert confounds["width"]["value"] == confounds["aspect"]["value"] == confounds["mean_intensity"]["value"] == 1
    assert confounds["jpeg_quality"]["value"] == 0
    assert confounds["sex=F"]["value"] == 1
    assert confounds["height"]["value"] == 0.5
    assert confounds["age"]["low"] <= confounds["age"]["value"] <= confounds["age"]["high"]
    sheet = tmp_path / "sheet.png"
    assert draw_sheet(spec, found, tmp_path / "cache", sheet) == 1
    with Image.open(sheet) as drawn:
        assert drawn.width > 400
        assert len(np.unique(np.asarray(drawn))) > 50
    assert LIMIT >= 20


def test_search_is_remembered_and_damage_to_the_memory_is_healed(folder: Path, tmp_path: Path) -> None:
    spec = task(files_in(folder))
    cache = tmp_path / "cache"
    manifest = index_task(spec, folder, cache)
    first = find_task_duplicates(spec, manifest, cache)
    steps: list[str] = []
    again = find_task_duplicates(spec, manifest, cache, lambda step, done, total: steps.append(step))
    assert (again, steps) == (first, [])
    (memory,) = (cache / "audit").glob("*.json")
    memory.write_text("[[")
    assert find_task_duplicates(spec, manifest, cache, lambda step, done, total: steps.append(step)) == first
    assert steps


def test_small_images_are_searched_for_identical_files_only(tmp_path: Path) -> None:
    files = []
    for number in range(20):
        path = tmp_path / f"{number}.png"
        scan(0, 0).resize((28, 28)).save(path, pnginfo=None)
        path.write_bytes(path.read_bytes() + b"%d" % number)
        label = number % 2 if number > 15 else 0
        files.append(ImageFile(path, label, "X", None, "test" if number > 15 else "fit"))  # type: ignore[arg-type]
    spec = task(files)
    manifest = index_task(spec, tmp_path, tmp_path / "cache")
    assert not has_grain(spec, manifest, tmp_path / "cache")
    assert find_task_duplicates(spec, manifest, tmp_path / "cache") == []


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 100])
def test_jpeg_quality_is_recovered(tmp_path: Path, quality: int) -> None:
    path = tmp_path / "x.jpg"
    scan(1, 1).save(path, quality=quality)
    assert jpeg_quality(path) == pytest.approx(quality, abs=1)
    scan(1, 1).save(tmp_path / "x.png")
    assert jpeg_quality(tmp_path / "x.png") is None


def test_rim_has_each_border_pixel_once() -> None:
    pixels = np.zeros((40, 60), np.uint8)
    pixels[2:-2, 3:-3] = 9
    assert (rim(pixels) == 0).all()
    assert len(rim(pixels)) == 40 * 60 - 36 * 54


def test_words_become_columns_and_numbers_stay_numbers() -> None:
    def known(**attributes: str) -> Entry:
        return entry("x", "test", "a")._replace(attributes=attributes)

    columns = known_attributes([known(sex="M", view="PA", age="7"), known(sex="F", view="AP", age=""), known(view="L")])
    assert set(columns) == {"sex=F", "view=AP", "view=L", "view=PA", "age"}
    assert np.array_equal(columns["sex=F"], [0, 1, np.nan], equal_nan=True)
    assert np.array_equal(columns["age"], [7, np.nan, np.nan], equal_nan=True)


def test_confounds_need_two_images_of_each_class(folder: Path, tmp_path: Path) -> None:
    files = [file for file in files_in(folder) if file.path.stem not in {f"sick{n}" for n in range(1, 10)}]
    spec = task(files)
    manifest = index_task(spec, folder, tmp_path / "cache")
    assert find_confounds(spec, manifest, tmp_path / "cache") == []


LEAKS_OF_OCT2017 = {
    ("train/NORMAL/normal_train_1515.jpg", "test/NORMAL/NORMAL-2657992-4.jpeg"),
    ("train/NORMAL/normal_train_1606.jpg", "test/NORMAL/NORMAL-3109922-25.jpeg"),
    ("train/NORMAL/normal_train_1676.jpg", "test/NORMAL/NORMAL-3609102-27.jpeg"),
    ("train/NORMAL/normal_train_1966.jpg", "test/NORMAL/NORMAL-4298568-9.jpeg"),
    ("train/NORMAL/normal_train_2012.jpg", "test/NORMAL/NORMAL-4391059-3.jpeg"),
    ("train/NORMAL/normal_train_2684.jpg", "test/NORMAL/NORMAL-7604641-26.jpeg"),
    ("train/NORMAL/normal_train_2897.jpg", "test/NORMAL/NORMAL-8120352-11.jpeg"),
    ("train/NORMAL/normal_train_3151.jpg", "test/NORMAL/NORMAL-937387-3.jpeg"),
    ("train/NORMAL/normal_train_3203.jpg", "test/NORMAL/NORMAL-9547158-1.jpeg"),
    ("train/CNV/cnv_train_1152.jpg", "test/CNV/CNV-1279887-105.jpeg"),
    ("train/CNV/cnv_train_2016.jpg", "test/CNV/CNV-5425896-18.jpeg"),
    ("train/CNV/cnv_train_2480.jpg", "test/CNV/CNV-7237325-34.jpeg"),
    ("train/CNV/cnv_train_3064.jpg", "test/CNV/CNV-9320911-48.jpeg"),
    ("train/CNV/cnv_train_3288.jpg", "test/CNV/CNV-995513-65.jpeg"),
}


def test_copies_of_test_scans_in_the_real_set_are_those_that_eyes_confirmed(tmp_path: Path) -> None:
    cache = Path(os.environ.get("BENCH_CACHE") or tmp_path)
    manifest = index_task(OCT2017, shared_data(), cache)
    pairs = find_task_duplicates(OCT2017, manifest, cache)
    leaks = {
        tuple("/".join(e.path.parts[-3:]) for e in (pair.a, pair.b))
        for pair in pairs
        if (pair.a.role == "test") != (pair.b.role == "test")
    }
    assert leaks == LEAKS_OF_OCT2017


def test_real_chest_x_rays_have_identical_files_within_roles_only(tmp_path: Path) -> None:
    cache = Path(os.environ.get("BENCH_CACHE") or tmp_path)
    manifest = index_task(CHEST_XRAY, shared_data(), cache)
    pairs = find_task_duplicates(CHEST_XRAY, manifest, cache)
    assert {pair.kind for pair in pairs} == {"exact"}
    assert len(pairs) == 34
    assert all((pair.a.role == "test") == (pair.b.role == "test") for pair in pairs)
