"""Whatever is edited in published results is found, and named."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.contracts import MetricSpec
from bench.errors import RecordError
from bench.report.published import TABLES, check_tables, write_leaderboard
from bench.results.checksums import NAME, check_listed, refuse_edited
from bench.results.publish import check_publishable, publish_cell
from bench.results.record import STATE, Record, read_record
from bench.results.rescore import rescore
from bench.results.scores import to_parquet
from bench.results.store import RECORD, SCORES, Store
from bench.results.verify import Verifier, verify_results
from bench.run.evaluate import evaluate_plugins
from tests.unit.record_factory import add_record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def problems(store: Store, **options: object) -> list[str]:
    return verify_results(store.root, **options)[1]  # type: ignore[arg-type]


def edit_record(store: Store, record: Record, **changes: object) -> None:
    path = store.folder_of(record) / RECORD
    path.write_bytes(record.model_copy(update=changes).to_json())


def edit_scores(store: Store, record: Record, table: pd.DataFrame, checksum: bool = True) -> None:
    content = to_parquet(table)
    (store.folder_of(record) / SCORES).write_bytes(content)
    if checksum:
        (file,) = record.files
        edit_record(store, record, files=[file.model_copy(update={"sha256": sha256(content).hexdigest()})])


def scores(store: Store, record: Record) -> pd.DataFrame:
    return pd.read_parquet(store.folder_of(record) / SCORES)


def test_untouched_records_verify(store: Store) -> None:
    for seed in (0, 1):
        add_record(store, seed=seed)
    add_record(store, detector="broken", status="failed", reason="no")
    write_leaderboard(store.root)
    assert verify_results(store.root) == (3, [])
    assert verify_results(store.root, deep=True) == (3, [])
    assert check_tables(store.root) == []


def test_an_edited_score_is_found(store: Store) -> None:
    record = add_record(store)
    table = scores(store, record)
    table.loc[3, "score"] += 1
    edit_scores(store, record, table, checksum=False)
    (problem,) = problems(store)
    assert record.cell in problem and "scores.parquet is missing or is not the file" in problem


def test_an_edited_score_with_its_checksum_is_found(store: Store) -> None:
    record = add_record(store)
    table = scores(store, record)
    test = table.index[table["role"] == "test"]
    table.loc[test[0], "score"] = table["score"].max() + 1 if table["label"][test[0]] else table["score"].min() - 1
    edit_scores(store, record, table)
    assert any("auroc.value is" in problem for problem in problems(store))


def test_a_score_edited_too_little_to_move_a_metric_is_found_by_the_list(store: Store) -> None:
    record = add_record(store)
    write_leaderboard(store.root)
    table = scores(store, record)
    table["score"] = np.nextafter(table["score"], np.inf)
    edit_scores(store, record, table)
    found = problems(store)
    assert len(found) == 2 and all("it is not the file that was published" in problem for problem in found)
    with pytest.raises(RecordError, match="changed by hand"):
        refuse_edited(store.root)


@pytest.mark.parametrize("part", ["value", "low", "high", "method"])
def test_an_edited_metric_is_found(store: Store, part: str) -> None:
    record = add_record(store)
    auroc = record.metrics["auroc"]
    changed = "DeLong" if part == "method" else getattr(auroc, part) + (1e-8 if part != "low" else -1e-8)
    edit_record(store, record, metrics={**record.metrics, "auroc": auroc.model_copy(update={part: changed})})
    assert any(f"auroc.{part} is" in problem for problem in problems(store))


def test_an_edited_bootstrap_is_found_by_deep(store: Store) -> None:
    record = add_record(store)
    found = record.metrics["average_precision"]
    narrow = found.model_copy(update={"low": found.value - 1e-3})
    edit_record(store, record, metrics={**record.metrics, "average_precision": narrow})
    assert problems(store) == []
    assert any("average_precision.low is" in problem for problem in problems(store, deep=True))


def test_other_draws_are_within_the_monte_carlo_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        add_record(store, seed=seed)
    from bench.metrics import image
    from bench.run import evaluate

    monkeypatch.setattr(evaluate, "measure", lambda sample, level: image.measure(sample, level=level, seed=7))
    assert problems(store, deep=True) == []


def test_a_missing_metric_and_one_of_no_known_plugin_are_found(store: Store) -> None:
    record = add_record(store)
    metrics = dict(record.metrics)
    strange = metrics.pop("oracle_f1")
    edit_record(store, record, metrics={**metrics, "strange": strange})
    first, second = problems(store)
    assert "metrics are missing (oracle_f1)" in first
    assert "'strange' cannot be recomputed: install the plugin" in second


def test_metrics_of_plugins_are_derived_again(store: Store) -> None:
    spec = MetricSpec("gap", "1", "s", True, lambda labels, scores, tune: float(scores.max() - tune.max()), 50)
    record = add_record(store)
    assert rescore(store, [spec]) == (1, 1)
    assert rescore(store, [spec]) == (0, 1)
    assert problems(store, metrics=[spec], deep=True) == []
    record = read_record(store.folder_of(record) / RECORD)
    wrong = record.metrics["gap"].model_copy(update={"value": 9.0, "high": 9.0})
    edit_record(store, record, metrics={**record.metrics, "gap": wrong})
    assert any("gap.value is 9.0" in problem for problem in problems(store, metrics=[spec]))
    raising = MetricSpec("gap", "1", "s", True, lambda labels, scores, tune: 1 / 0, 50)
    assert any("'gap' failed: ZeroDivisionError" in problem for problem in problems(store, metrics=[raising]))
    computed, failed = evaluate_plugins(None, [raising])  # type: ignore[arg-type]
    assert computed == {} and isinstance(failed["gap"], Exception)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.drop(index=3), "lacks 1"),
        (lambda t: pd.concat([t, t.tail(1).assign(image_id="f" * 16)]), "has 1 images that the manifest lacks"),
        (lambda t: pd.concat([t, t.tail(1)]), "name an image twice"),
        (lambda t: t.assign(score=t["score"].where(t.index != 2, np.nan)), "not all finite: 1 of 44"),
        (lambda t: t.assign(score=t["score"].where(t.index != 2, np.inf)), "not all finite: 1 of 44"),
        (lambda t: t.assign(score=t["score"].astype("float32")), "not float64"),
        (lambda t: t.assign(label=np.int8(2)), "label other than 0 and 1"),
        (lambda t: t.assign(role="fit"), "role other than"),
        (lambda t: t.assign(label=t["label"].where(t["role"] != "test", 1 - t["label"])), "disagree on 'label'"),
        (lambda t: t.assign(patient="p0"), "disagree on 'patient'"),
        (lambda t: t.drop(columns="category"), "no column category"),
        (lambda t: t.assign(extra=1), "columns that no schema knows: 'extra'"),
    ],
)  # fmt: skip
def test_scores_that_cannot_be_used_are_named(store: Store, change, named: str) -> None:  # type: ignore[no-untyped-def]
    record = add_record(store)
    edit_scores(store, record, change(scores(store, record)))
    assert any(named in problem for problem in problems(store)), problems(store)


def test_constant_scores_verify_and_claim_nothing(store: Store) -> None:
    record = add_record(store)
    table = scores(store, record).assign(score=1.0)
    edit_scores(store, record, table)
    rescore(store, [])
    assert problems(store) == []
    auroc = read_record(store.folder_of(record) / RECORD).metrics["auroc"]
    assert (auroc.value, auroc.method) == (0.5, "no ranking: constant scores")


def test_a_manifest_that_is_not_the_records_own_is_found(store: Store) -> None:
    record = add_record(store)
    (path,) = store.root.glob("manifests/*/*.parquet")
    table = pd.read_parquet(path)
    path.write_bytes(to_parquet(table.assign(label=1 - table["label"])))
    assert any("its hash differs" in problem for problem in problems(store))
    path.unlink()
    assert any("cannot read the manifest" in problem for problem in problems(store))
    assert record.cell in problems(store)[0]


def test_missing_and_extra_files_are_found_by_the_list(store: Store) -> None:
    record = add_record(store)
    add_record(store, detector="other")
    write_leaderboard(store.root)
    (store.folder_of(record) / RECORD).unlink()
    (store.root / "runs" / "stray").write_text("x")
    found = check_listed(store.root)
    assert any("record.json: it is listed in checksums.txt, and missing" in problem for problem in found)
    assert "runs/stray: it is not listed in checksums.txt" in found
    assert (store.root / NAME).read_text().count("  runs/") == 4


def test_a_record_of_a_newer_schema_and_a_damaged_one_are_named(store: Store) -> None:
    for detector in ("newer", "damaged", "good"):
        add_record(store, detector=detector)
    newer, damaged = (next(store.root.glob(f"runs/*/{name}/*/{RECORD}")) for name in ("newer", "damaged"))
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "schema": 2, "novel": 1}))
    damaged.write_text("{")
    count, found = verify_results(store.root)
    assert count == 3 and len(found) == 2
    assert any("has schema 2; this bench reads 1" in problem for problem in found)
    assert any("is damaged" in problem for problem in found)


def test_tables_are_compared_byte_for_byte(store: Store) -> None:
    add_record(store)
    write_leaderboard(store.root)
    path = store.root / TABLES
    path.write_bytes(path.read_bytes().replace(b"toy", b"toi", 1))
    assert check_tables(store.root) == [
        f"leaderboard/tables.md: it is not what the records give: run bench score {store.root} --write"
    ]


def test_a_record_in_the_folder_of_another_cell_is_found(store: Store) -> None:
    record = add_record(store)
    folder = store.folder_of(record)
    folder.rename(folder.with_name("f" * 16))
    assert any("a folder of another name" in problem for problem in problems(store))


def test_nothing_outside_the_folder_is_read(store: Store) -> None:
    record = add_record(store)
    (file,) = record.files
    edit_record(store, record, files=[file, file.model_copy(update={"path": "../secret"})])
    found = Verifier().verify(store.folder_of(record))
    assert "names a file outside its folder" in found.problems[0]


def test_a_failed_record_whose_names_lead_elsewhere_is_not_published(store: Store) -> None:
    record = add_record(store, status="failed", reason="no")
    named = record.detector.model_copy(update={"name": "../../../../escaped"})
    folder = store.folder_of(record)
    (folder / RECORD).write_bytes(record.model_copy(update={"detector": named}).to_json())
    with pytest.raises(RecordError, match="a folder of another name"):
        check_publishable(folder)


def test_a_missing_file_with_the_hash_of_nothing_is_missing(store: Store) -> None:
    record = add_record(store)
    nothing = record.files[0].model_copy(update={"path": "state.safetensors", "sha256": sha256(b"").hexdigest()})
    edit_record(store, record, files=[*record.files, nothing])
    assert any("state.safetensors is missing" in problem for problem in problems(store))


@pytest.mark.parametrize("part", ["task", "detector"])
def test_names_that_lead_elsewhere_are_found_and_nothing_is_written_there(store: Store, part: str) -> None:
    record = add_record(store)
    named = getattr(record, part).model_copy(update={"name": "../../../elsewhere"})
    path = store.folder_of(record) / RECORD
    path.write_bytes(record.model_copy(update={part: named, "metrics": {}}).to_json())
    assert problems(store)
    with pytest.raises(RecordError):
        rescore(store, [])
    assert not list(store.root.parent.glob("elsewhere*"))


def test_state_may_be_absent_and_must_be_right_where_it_is(store: Store, tmp_path: Path) -> None:
    (tmp_path / "learned").write_bytes(b"learned")
    record = add_record(store, state=tmp_path / "learned")
    path = store.folder_of(record) / STATE
    assert problems(store) == []
    path.write_bytes(b"learnt")
    (problem,) = problems(store)
    assert "state.safetensors is not the file" in problem
    path.unlink()
    assert problems(store) == []
    edit_record(store, record, state=None)
    path.write_bytes(b"learned")
    (problem,) = problems(store)
    assert "tells of none" in problem


def test_publishing_leaves_the_state_behind(store: Store, tmp_path: Path) -> None:
    (tmp_path / "learned").write_bytes(b"learned")
    record = add_record(store, state=tmp_path / "learned")
    target = Store(tmp_path / "published")
    published = publish_cell(check_publishable(store.folder_of(record)), target)
    assert published.state == record.state
    assert sorted(path.name for path in target.folder_of(record).iterdir()) == [RECORD, SCORES]
    assert problems(target) == []
