"""From records to what is shown; what is wrong costs itself alone."""

import json
import shutil
from pathlib import Path

import pytest

from bench.report.published import published_rows
from bench.report.standing import standings
from bench.results.store import RECORD, SCORES, Store
from bench.site.facts import Site
from bench.site.keeping import Kept
from bench.site.model import build_model
from tests.unit.record_factory import add_record
from tests.unit.site.sites import CATALOGUE, change, small_store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return small_store(tmp_path / "results")


def model(store: Store, kept: Kept) -> Site:
    return build_model(store.root, CATALOGUE, kept)


def test_the_model_says_what_the_tables_say(store: Store, kept: Kept) -> None:
    (edition,) = model(store, kept).editions
    rows = published_rows(store.root)
    finished = [row for row in rows if row.cells]
    assert [row.name for row in edition.rows] == [row.name for row in finished] == ["toy", "third", "other"]
    assert [row.name for row in edition.failed] == ["broken"]
    assert [(row.name, row.detector.version) for row in edition.others] == [("third", "1")]
    found = standings(finished)
    assert found is not None
    assert {row.name: edition.standing.ranks[row.slug] for row in edition.rows} == found.ranks
    assert {row.name: edition.standing.top[row.slug] for row in edition.rows} == found.top
    assert [pair.adjusted for pair in edition.standing.pairs] == [pair.adjusted for pair in found.pairs]
    for shown, row in zip(edition.rows, finished, strict=True):
        assert shown.auroc is not None and row.auroc is not None
        assert (shown.auroc.value, shown.auroc.low) == (row.auroc.value, row.auroc.low)
        assert shown.values == row.values
    assert edition.entry == CATALOGUE.tasks["chest-xray"]
    assert edition.images.patients == 40


def test_what_is_kept_is_what_would_be_computed(store: Store, kept: Kept, tmp_path: Path) -> None:
    fresh = build_model(store.root, CATALOGUE, Kept(None))
    assert model(store, kept) == model(store, kept) == fresh
    folder = tmp_path / "damaged"
    build_model(store.root, CATALOGUE, Kept(folder))
    for path in folder.rglob("*.json"):
        path.write_text('{"slug": 1}')
    assert build_model(store.root, CATALOGUE, Kept(folder)) == fresh


def test_a_corrupt_record_costs_itself_alone(store: Store, kept: Kept) -> None:
    path = next(store.root.glob(f"runs/*/other/*/{RECORD}"))
    path.write_text("{")
    site = model(store, kept)
    assert [row.name for row in site.editions[0].rows] == ["toy", "third"]
    (one,) = site.problems
    assert one.where == path.relative_to(store.root).as_posix()
    assert str(store.root) not in one.what


def test_a_row_with_an_unreadable_seed_says_so(store: Store, kept: Kept) -> None:
    first = sorted(store.root.glob(f"runs/*/toy/*/{RECORD}"))[0]
    first.write_text("no JSON")
    (edition,) = model(store, kept).editions
    assert [row.name for row in edition.rows if row.slug in edition.incomplete] == ["toy"]


def test_scores_that_are_damaged_or_missing_are_problems(store: Store, kept: Kept) -> None:
    next(store.root.glob(f"runs/*/other/*/{SCORES}")).write_bytes(b"PAR1")
    next(store.root.glob(f"runs/*/toy/*/{SCORES}")).unlink()
    site = model(store, kept)
    assert len(site.problems) == 2
    assert "other" not in [row.name for row in site.editions[0].rows]


def test_one_seed_given_twice_is_a_problem(store: Store, kept: Kept) -> None:
    folder = next(store.root.glob("runs/*/other/*"))
    shutil.copytree(folder, folder.with_name("f" * 16))
    site = model(store, kept)
    assert "two records of one seed" in site.problems[0].what
    assert [row.name for row in site.editions[0].rows] == ["toy", "third"]


def test_scores_of_other_images_than_the_manifests_are_not_shown(store: Store, kept: Kept) -> None:
    import pandas as pd

    path = next(store.root.glob("manifests/*/*.parquet"))
    table = pd.read_parquet(path)
    table.loc[table["role"] == "test", "label"] = 1 - table.loc[table["role"] == "test", "label"]
    table.to_parquet(path)
    site = build_model(store.root, CATALOGUE, Kept(None))
    assert not site.editions[0].rows
    assert all("manifest" in one.what for one in site.problems)
    path.unlink()
    assert "manifest" in build_model(store.root, CATALOGUE, Kept(None)).problems[0].what


def test_a_record_that_lists_files_elsewhere_is_a_problem(store: Store, kept: Kept) -> None:
    record = add_record(store, detector="thief")
    change(store, record, files=[{"path": "../../../secret", "sha256": "0" * 64}])
    assert "file of another folder" in model(store, kept).problems[0].what


def test_private_and_smoke_records_are_nowhere(store: Store, kept: Kept) -> None:
    secret = add_record(store, task="my-hospital", private=True)
    add_record(store, detector="quick", variant="smoke")
    assert [one.task.name for one in model(store, kept).editions] == ["chest-xray"]
    assert "quick" not in [one.name for one in model(store, kept).detectors]
    path = store.folder_of(secret) / RECORD
    path.write_text(path.read_text().replace('"schema": 1', '"schema": "one"'))
    assert not model(store, kept).problems  # not even its folder is named


def test_editions_have_sections_of_their_own(store: Store, kept: Kept) -> None:
    for _ in range(2):
        drawn = add_record(store, task="a-phantom", synthetic=True)
    newer = add_record(store, task="chest-xray", detector="newer")
    change(store, newer, task__version="2")
    variant = add_record(store, task="a-variant")
    change(store, variant, task__protocol="with something changed")
    change(store, drawn, task__synthetic=True)
    editions = model(store, kept).editions
    told = [(one.task.name, one.task.version, one.superseded) for one in editions]
    assert told == [
        ("chest-xray", "2", False),
        ("chest-xray", "1", True),
        ("a-variant", "1", False),
        ("a-phantom", "1", False),
    ]
    assert len({one.slug for one in editions}) == 4


def test_badges_come_from_maintainers_alone(store: Store, kept: Kept) -> None:
    cells = [path.parent.name for path in sorted(store.root.glob(f"runs/*/toy/*/{RECORD}"))]
    said = [{"cell": cells[0], "badge": "rerun", "by": "us", "on": "2026-01-01"}]
    (store.root / "attestations.json").write_text(json.dumps(said))
    (edition,) = model(store, kept).editions
    toy = edition.rows[0]
    assert sorted(cell.badge for cell in edition.cells[toy.slug]) == ["recomputed", "rerun"]
    assert edition.badge(toy) == "recomputed"  # the least of its seeds
    said += [{**said[0], "cell": cells[1], "badge": badge} for badge in ("reproduced", "recomputed")]
    (store.root / "attestations.json").write_text(json.dumps(said))
    (edition,) = model(store, kept).editions
    assert edition.badge(edition.rows[0]) == "rerun"
    (store.root / "attestations.json").write_text('[{"cell": "x", "badge": "gold"}]')
    assert model(store, kept).problems[0].where == "attestations.json"


def test_audits_are_read_and_damaged_ones_named(store: Store, kept: Kept) -> None:
    manifest = next(store.root.glob("manifests/*/*.parquet")).stem
    path = store.root / "audits" / "chest-xray" / f"{manifest}.json"
    path.parent.mkdir(parents=True)
    confound = {"name": "file_size", "auroc": {"value": 0.6, "low": 0.5, "high": 0.7}, "images": 40}
    told = {"near_duplicates_searched": True, "pairs": 3, "pairs_across_test": 1, "shared_patients": 0}
    path.write_text(json.dumps({**told, "confounds": [confound]}))
    audit = model(store, kept).editions[0].audit
    assert audit is not None
    assert (audit.across, audit.confounds[0][0]) == (1, "file_size")
    path.write_text("[]")
    site = model(store, kept)
    assert site.editions[0].audit is None
    assert "audit" in site.problems[0].what


def test_an_empty_folder_has_nothing_to_show(tmp_path: Path, kept: Kept) -> None:
    assert build_model(tmp_path, CATALOGUE, kept) == Site(editions=(), detectors=(), problems=(), records=0)
