"""Rows, tables and curves from records made by hand."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.errors import RecordError
from bench.metrics import auroc_over_seeds
from bench.report import table
from bench.report.roc import GRID, mean_curve, write_roc_curves
from bench.report.rows import Row, make_rows, newest
from bench.results.store import SCORES, Store
from tests.unit.record_factory import add_record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def rows(store: Store) -> list[Row]:
    return make_rows(store.records())


def test_one_seed_given_twice_is_an_error(store: Store) -> None:
    record = add_record(store)
    twin = record.model_copy(update={"cell": "f" * 16})
    content = (store.folder_of(record) / SCORES).read_bytes()
    store.write(twin, {SCORES: content})
    with pytest.raises(RecordError, match="two records of one seed"):
        rows(store)


def test_configurations_of_one_label_make_rows_of_their_own(store: Store) -> None:
    record = add_record(store)
    other = record.detector.model_copy(update={"config": {"epochs": 9}})
    content = (store.folder_of(record) / SCORES).read_bytes()
    store.write(record.model_copy(update={"cell": "f" * 16, "seed": 1, "detector": other}), {SCORES: content})
    assert [row.seeds for row in rows(store)] in ([(0,), (1,)], [(1,), (0,)])


def test_seeds_are_averaged_and_failed_seeds_stand_apart(store: Store) -> None:
    records = [add_record(store, seed=seed) for seed in (0, 1)]
    add_record(store, seed=2, status="failed", reason="RuntimeError: no")
    good, bad = rows(store)
    assert (good.seeds, good.status) == ((0, 1), "ok")
    assert good.auroc is not None
    assert good.auroc.value == pytest.approx(np.mean([record.metrics["auroc"].value for record in records]))
    assert good.auroc == auroc_over_seeds(good.sample)
    assert good.fit_seconds == 10.5
    assert (bad.seeds, bad.status, bad.reason, bad.auroc) == ((2,), "failed", "RuntimeError: no", None)


def test_one_seed_gives_the_records_own_interval(store: Store) -> None:
    record = add_record(store)
    (row,) = rows(store)
    assert {name: interval._asdict() for name, interval in row.metrics.items()} == {
        name: metric.model_dump() for name, metric in record.metrics.items()
    }
    assert row.auroc == row.metrics["auroc"]
    assert row.values == pytest.approx({name: interval.value for name, interval in row.metrics.items()}, abs=1e-12)


def test_best_first_and_failed_last(store: Store) -> None:
    add_record(store, detector="middling", gap=1.0)
    add_record(store, detector="best", gap=5.0)
    add_record(store, detector="broken", status="oom", reason="gone")
    assert [row.name for row in rows(store)] == ["best", "middling", "broken"]


def test_versions_and_variants_are_rows_of_their_own(store: Store) -> None:
    for version in ("1", "2", "10"):
        add_record(store, version=version)
    add_record(store, variant="no-ssim")
    assert len(rows(store)) == 4
    (kept,) = newest(rows(store))
    assert (kept.name, kept.version) == ("toy", "10")
    assert [row.name for row in newest(rows(store), ["toy@no-ssim"])] == ["toy@no-ssim"]


def test_one_name_is_one_row_whatever_its_versions_are_called(store: Store) -> None:
    for version in ("3", "3.x", "2"):
        add_record(store, version=version)
    (kept,) = newest(rows(store))
    assert kept.version == "3.x"  # a later version of "3", for want of anything better


def test_edited_scores_are_an_error_not_a_number(store: Store) -> None:
    record = add_record(store)
    (store.folder_of(record) / "scores.parquet").write_bytes(b"other")
    with pytest.raises(RecordError, match="sha256"):
        rows(store)


def test_json_csv_and_markdown(store: Store) -> None:
    add_record(
        store, detector="good", pretrained=[{"name": "net (ImageNet)", "source": "s", "licence": "l", "sha256": None}]
    )
    add_record(store, detector="bad", status="timeout", reason="too | slow")
    made = rows(store)
    plain = json.loads(table.as_json(made))
    assert plain["rows"][1]["auroc"] == {"value": None, "low": None, "high": None}
    assert plain["rows"][1]["fit_seconds"] is None
    assert plain["tasks"][0]["prevalence"] == 0.5
    lines = list(csv.DictReader(io.StringIO(table.as_csv(made))))
    assert float(lines[0]["auroc"]) == plain["rows"][0]["auroc"]["value"]
    assert lines[1]["reason"] == "too | slow"
    text = table.as_markdown(made)
    assert "| good\\* |" in text
    assert "\\* good uses pretrained net (ImageNet)" in text
    assert table.as_csv([]).startswith("task,")


def test_table_loses_no_number_on_a_narrow_terminal(store: Store) -> None:
    add_record(store, detector="a-rather-long-detector-name")
    console = Console(file=io.StringIO(), width=40)
    table.print_tables(rows(store), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    (row,) = rows(store)
    assert row.auroc is not None
    assert table.with_interval(row.auroc) in text
    assert "a-rather-long-detector-name" in text
    assert "…" not in text


def test_mean_curve_is_a_step_function_between_the_corners(store: Store) -> None:
    add_record(store, seed=0)
    add_record(store, seed=1)
    (row,) = rows(store)
    curve = mean_curve(row)
    assert curve.shape == GRID.shape
    assert curve[-1] == 1
    assert (np.diff(curve) >= 0).all()
    assert row.auroc is not None
    # The area under the averaged steps is the averaged area, up to the grid.
    assert np.trapezoid(curve, GRID) == pytest.approx(row.auroc.value, abs=0.02)


def test_curves_are_written_and_repeat(store: Store, tmp_path: Path) -> None:
    add_record(store)
    first = {path.name: path.read_bytes() for path in write_roc_curves(rows(store), tmp_path / "one")}
    second = {path.name: path.read_bytes() for path in write_roc_curves(rows(store), tmp_path / "two")}
    assert set(first) == {"chest-xray.png", "chest-xray.svg"}
    assert first == second


def test_editions_are_never_drawn_or_listed_together(store: Store, tmp_path: Path) -> None:
    add_record(store)
    (row,) = rows(store)
    other = replace(row, task=row.task.model_copy(update={"manifest_sha256": "1" * 64, "edition": "other"}))
    names = {path.name for path in write_roc_curves([row, other], tmp_path)}
    assert names == {f"chest-xray-{edition}.{suffix}" for edition in ("toy", "other") for suffix in ("png", "svg")}
    assert [task["edition"] for task in json.loads(table.as_json([row, other]))["tasks"]] == ["toy", "other"]
