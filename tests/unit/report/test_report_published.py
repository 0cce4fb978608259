"""What is derived from records: older versions of tasks, strangers' texts, files that are compared byte for byte."""

import csv
import io
import json
from pathlib import Path

import pytest

from bench.report.latex import as_latex
from bench.report.published import TABLES, check_leaderboard, derived_files, published_rows, write_leaderboard
from bench.report.rows import make_rows, superseded
from bench.report.table import as_csv, as_json, as_markdown
from bench.results.record import Record
from bench.results.store import RECORD, Store
from tests.unit.record_factory import add_record


def of_version(record: Record, version: str) -> Record:
    """The record, as if its task had another version."""
    changes = {"version": version, "manifest_sha256": version * 64}
    return record.model_copy(update={"task": record.task.model_copy(update=changes)})


def test_older_versions_of_a_task_are_kept_apart_and_marked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = []
    for detector in ("toy", "other"):
        record = add_record(store, detector=detector)
        found += [(store.folder_of(record), of_version(record, version)) for version in ("2", "9", "10")]
    rows = make_rows(found)
    assert superseded(row.task for row in rows) == {("chest-xray", "2"): "10", ("chest-xray", "9"): "10"}
    text = as_markdown(rows)
    headings = [line for line in text.splitlines() if line.startswith("**")]
    assert [heading.partition(" (")[0] for heading in headings] == [
        "**chest-xray v2",
        "**chest-xray v9",
        "**chest-xray v10",
    ]
    assert ["superseded by v10" in heading for heading in headings] == [True, True, False]
    assert text.count("| toy |") == 3
    tasks = json.loads(as_json(rows))["tasks"]
    assert [task["superseded_by"] for task in tasks] == ["10", "10", None]
    assert as_latex(rows).count("superseded by v10") == 2
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert {(line["task_version"], line["version"]) for line in lines} == {("2", "1"), ("9", "1"), ("10", "1")}


def test_versions_of_different_tasks_do_not_meet(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, other = add_record(store), add_record(store, task="oct2017")
    rows = make_rows([(store.folder_of(one), one), (store.folder_of(other), of_version(other, "2"))])
    assert superseded(row.task for row in rows) == {}


HOSTILE = "<script>alert(1)</script> [x](http://evil) [y][z] `a` **b** | c\n[z]: http://evil <http://evil> <!-- "


def test_a_strangers_text_is_shown_as_it_is_written(tmp_path: Path) -> None:
    add_record(Store(tmp_path), pretrained=[{"name": HOSTILE}])
    text = as_markdown(published_rows(tmp_path))
    (line,) = (line for line in text.splitlines() if "uses pretrained" in line)
    for left in ("<script", "](", "][", "]:", " `", " **", " |", "<http", "<!--"):
        assert left not in line, left
    assert "alert(1)" in line and "evil" in line


def test_comparisons_are_no_elements(tmp_path: Path) -> None:
    for detector in ("toy", "other"):
        add_record(Store(tmp_path), detector=detector)
    assert "p < 0.05" in as_markdown(published_rows(tmp_path))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    add_record(Store(tmp_path))
    write_leaderboard(tmp_path)
    return tmp_path


def test_a_leaderboard_as_it_was_written_is_in_order(results: Path) -> None:
    assert check_leaderboard(results) == []
    assert derived_files(results) == derived_files(results)


@pytest.mark.parametrize("name", [str(TABLES), "schemas/record.schema.json", "schemas/pixels.schema.json"])
def test_every_derived_file_is_held_against_the_records(results: Path, name: str) -> None:
    path = results / name
    mend = f"run bench score {results} --write"
    path.write_bytes(path.read_bytes() + b" ")
    assert check_leaderboard(results) == [f"{name}: it is not what the records give: {mend}"]
    path.unlink()
    assert check_leaderboard(results) == [f"{name}: it is missing: {mend}"]
    path.mkdir()
    assert f"{name} cannot be read" in check_leaderboard(results)[0]


def test_records_that_were_changed_by_hand_come_first(results: Path) -> None:
    next(results.glob(f"runs/*/*/*/{RECORD}")).write_text("{")
    first, mend = check_leaderboard(results)
    assert "its sha256 differs" in first and "git checkout" in mend
    (results / "checksums.txt").unlink()
    assert check_leaderboard(results)[0] == "checksums.txt: it is missing"
