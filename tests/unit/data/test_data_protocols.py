"""Protocol variants change what they declare and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench
from bench.contracts import ImageFile, TaskSpec
from bench.data import protocols
from bench.data.corruptions import CORRUPTIONS, corrupt
from bench.data.decode import is_prepared, open_images, prepare_images
from bench.data.index import index_task
from bench.data.manifest import Manifest
from bench.data.tasks import bench_tasks
from bench.data.variants import CORRUPTIONS as DECLARED
from bench.data.variants import describe, variants_of
from bench.errors import BadTaskError
from tests.unit.data.test_data_audit import encoded, scan


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans with leaks: a copy of a test scan in fit, another in pool, and a patient in both."""
    root = tmp_path_factory.mktemp("protocols")
    for number in range(40):
        scan(number, number).save(root / f"fit{number}.png")
    for number in range(12):
        scan(100 + number, 100 + number).save(root / f"normal{number}.png")
        scan(200 + number, 200 + number).save(root / f"sick{number}.png")
        scan(300 + number, 300 + number).save(root / f"pool{number}.png")
    encoded(scan(101, 101), 60).save(root / "fit5.png")
    encoded(scan(203, 203), 60).save(root / "pool4.png")
    return root


def base_of(root: Path) -> TaskSpec:
    def files(_: Path) -> list[ImageFile]:
        found = []
        for path in sorted(root.glob("*.png")):
            kind = path.stem.rstrip("0123456789")
            role = {"fit": "fit", "pool": "pool"}.get(kind, "test")
            label = int(kind in ("sick", "pool"))
            patient = {"fit7": "pnormal2", "pool6": "psick1"}.get(path.stem, f"p{path.stem}")
            category = "NORMAL" if not label else "CNV" if int(path.stem[4:]) % 2 else "DME"
            found.append(ImageFile(path, label, category, patient, role))  # type: ignore[arg-type]
        return found

    return TaskSpec("toy", "1", "OCT", "none", "none", "none", "patient", "none", files)


@pytest.fixture(scope="module")
def made(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[TaskSpec, Manifest]]]:
    """All variants that this set is large enough for, by their ending; "" is the base."""
    cache = tmp_path_factory.mktemp("cache")
    base = base_of(root)
    specs = {"": base, **{spec.name.removeprefix("toy-"): spec for spec in variants_of(base, ("CNV", "DME"))}}
    wanted = ("", "clean", "contaminated-1", "contaminated-5", "contaminated-10", "few-16", "cnv", "dme", "noise-3")
    return cache, {name: (specs[name], index_task(specs[name], root, cache)) for name in wanted}


Made = tuple[Path, dict[str, tuple[TaskSpec, Manifest]]]


def names(manifest: Manifest, *roles: str) -> set[str]:
    return {entry.path.stem for entry in manifest.entries if entry.role in roles}


def test_clean_loses_copies_and_patients_of_test_and_nothing_else(made: Made) -> None:
    base, clean = made[1][""][1], made[1]["clean"][1]
    assert names(base, "fit", "tune") - names(clean, "fit", "tune") == {"fit5", "fit7"}
    for role in ("fit", "tune"):
        assert names(clean, role) <= names(base, role)
    for role in ("test", "pool"):
        assert names(clean, role) == names(base, role)


def test_contaminated_has_the_declared_share_and_no_leaks(made: Made) -> None:
    base = made[1][""][1]
    before: set[str] = set()
    for share in (1, 5, 10):
        manifest = made[1][f"contaminated-{share}"][1]
        anomalies = {e.path.stem for e in manifest.of_role("fit") if e.label}
        normals = len(names(base, "fit"))
        assert len(anomalies) == round(normals * share / (100 - share))
        assert not anomalies & {"pool4", "pool6"}, "a copy or a patient of test"
        assert before <= anomalies
        assert names(manifest, "test") == names(base, "test")
        assert names(manifest, "tune") == names(base, "tune")
        before = anomalies
    assert before


def test_few_normals_are_among_more_of_them(made: Made) -> None:
    base, few = made[1][""][1], made[1]["few-16"][1]
    assert len(names(few, "fit")) == 16
    assert names(few, "fit") < names(base, "fit")
    entries = list(base.entries)
    eight = {e.id for e in protocols.few(made[1][""][0], entries, 8) if e.role == "fit"}
    assert eight < {e.id for e in few.of_role("fit")}
    assert names(few, "tune", "test") == names(base, "tune", "test")


def test_categories_keep_all_normals(made: Made) -> None:
    base, cnv, dme = (made[1][name][1] for name in ("", "cnv", "dme"))
    normals = {e.path.stem for e in base.of_role("test") if not e.label}
    assert names(cnv, "test") & names(dme, "test") == normals
    assert names(cnv, "test") | names(dme, "test") == names(base, "test")


def test_every_variant_has_a_hash_of_its_own_and_knows_its_base(made: Made) -> None:
    manifests = [manifest for _, manifest in made[1].values()]
    assert len({manifest.sha256 for manifest in manifests}) == len(manifests)
    assert all(manifest.base == manifests[0] for manifest in manifests[1:])


def test_corrupted_test_images_and_untouched_others(made: Made) -> None:
    cache, found = made
    spec, manifest = found["noise-3"]
    base_maps = prepare_images(*found[""], 64, cache)
    maps = prepare_images(spec, manifest, 64, cache)
    assert maps.fit.read_bytes() == base_maps.fit.read_bytes()
    plain, changed = open_images(base_maps.evaluate, 1), open_images(maps.evaluate, 1)
    for row, entry in enumerate(manifest.of_role("tune", "test")):
        if entry.role == "tune":
            assert np.array_equal(plain[row], changed[row])
            continue
        square = np.asarray(Image.open(entry.path).resize((224, 224), Image.Resampling.BILINEAR))
        noisy = Image.fromarray(corrupt(square, "noise", 3, "OCT", int(entry.id[:16], 16)))
        assert np.array_equal(changed[row, :, :, 0], np.asarray(noisy.resize((64, 64), Image.Resampling.BILINEAR)))
        assert not np.array_equal(plain[row], changed[row])


def test_variants_copy_what_their_base_has_decoded(made: Made, root: Path) -> None:
    cache, found = made
    prepare_images(*found[""], 32, cache)
    spec, manifest = found["clean"]
    path = manifest.of_role("fit")[0].path
    content = path.read_bytes()
    path.write_bytes(b"gone")
    try:
        maps = prepare_images(spec, manifest, 32, cache)
    finally:
        path.write_bytes(content)
    assert is_prepared(manifest, 32, cache)
    assert len(open_images(maps.fit, 1)) == len(manifest.of_role("fit"))


def test_too_few_images_are_named(made: Made, root: Path) -> None:
    base = base_of(root)
    specs = {spec.name: spec for spec in variants_of(base, ("OTHER",))}
    with pytest.raises(BadTaskError, match="needs 256 fit images, there are"):
        index_task(specs["toy-few-256"], root, made[0])
    with pytest.raises(BadTaskError, match="no test images of OTHER"):
        index_task(specs["toy-other"], root, made[0])
    greedy = replace(specs["toy-contaminated-5"], protocol=bench.ProtocolVariant(contamination=0.5))
    with pytest.raises(BadTaskError, match="anomalies from pool, there are 10"):
        index_task(greedy, root, made[0])


def test_declared_tasks_have_names_of_their_own_and_say_what_they_change() -> None:
    specs = list(bench_tasks())
    assert len({spec.name for spec in specs}) == len(specs)
    assert {"oct2017-clean", "chest-xray-clean", "oct2017-cnv", "chest-xray-contaminated-10"} <= {s.name for s in specs}
    for spec in specs:
        assert bool(describe(spec.protocol)) == (spec.base is not None)
        assert spec.base is None or spec.name.startswith(f"{spec.base.name}-")
    assert DECLARED == CORRUPTIONS
