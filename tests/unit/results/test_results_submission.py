"""A stranger's records: every lie is found, all of them at once, and what is honest gets in."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.metrics.pixel_bins import bin_edges, tune_values
from bench.metrics.pixel_counts import PixelCounts, count_blocks
from bench.results import foreign
from bench.results.archive import MEMBERS
from bench.results.duplicates import ALIKE, likeness_problems, row_of, seed_problems
from bench.results.foreign import scores_anew
from bench.results.known import Known
from bench.results.pixels import PIXELS, to_npz, with_lesions
from bench.results.record import EDITED, Record
from bench.results.rules import LONGEST, record_problems
from bench.results.scores import read_table, split_scores
from bench.results.store import RECORD, SCORES, Store
from bench.results.submission import check_submission
from bench.results.submit import gather
from tests.unit.record_factory import N, add_record
from tests.unit.submissions import (
    Files,
    edit,
    edit_scores,
    name_of,
    published,
    reasons,
    record_of,
    submitted,
    with_scores,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return submitted(tmp_path_factory.mktemp("runs"))


def test_an_honest_submission_gets_in_with_metrics_of_our_own(results: Path, honest: Files) -> None:
    checked = check_submission(honest, Known.of(results))
    assert checked.reasons == ()
    (cell,) = checked.cells
    assert cell.record == record_of(honest)
    assert cell.files == {SCORES: honest[name_of(honest, SCORES)]}


def test_bootstraps_are_computed_anew(results: Path, honest: Files) -> None:
    """An end that is moved by less than the error of drawing passes, and does not get in."""
    stated = record_of(honest).metrics["average_precision"]
    moved = edit(honest, metrics__average_precision__low=stated.low + 1e-6)
    checked = check_submission(moved, Known.of(results))
    assert checked.reasons == ()
    assert checked.cells[0].record.metrics["average_precision"] == stated


RULES: list[tuple[dict[str, Any], str]] = [
    ({"detector__variant": "smoke"}, "preset 'smoke'"),
    ({"detector__variant": "smoke+x"}, "preset 'smoke'"),
    ({"task__private": True}, "task 'chest-xray' is private"),
    ({"environment__dirty": True}, "uncommitted changes"),
    ({"detector__citation": "  TODO "}, "no citation"),
    ({"detector__citation": ""}, "no citation"),
    ({"detector__source_digest": EDITED}, "edited while it ran"),
    ({"seed": -1}, "seed -1 is not in 0 to 999"),
    ({"seed": 10**30}, "is not in 0 to 999"),
    ({"seed": 2}, "lacks seed 0, 1"),
    ({"detector__stochastic": False, "seed": 1}, "has one seed, 0; this is seed 1"),
    ({"detector__config": {"image_size": 1}}, "its id is not that of its task, detector, configuration and seed"),
    ({"detector__name": "<script>alert(1)</script>"}, "detector.name is no name that can be shown"),
    ({"detector__name": "../../../etc"}, "detector.name is no name that can be shown"),
    ({"detector__name": "a" * 10_000}, "detector.name is no name that can be shown"),
    ({"detector__variant": "a|b"}, "detector.variant is no name"),
    ({"detector__version": "1\u202e"}, "detector.version is no number"),
    ({"detector__version": "3.x"}, "detector.version is no number like 1 or 2.1: '3.x'"),
    ({"detector__distribution_version": "1 2"}, "detector.distribution_version is no name"),
    ({"detector__pretrained": [{"source": "x"}]}, "pretrained weights without a name"),
    ({"cost__fit_seconds": 1e9}, "cost.fit_seconds is 1000000000.0: neither a time"),
    ({"detector__distribution": "[x](http://y)"}, "detector.distribution is no name"),
    ({"task__name": "oct2017"}, "the record is of runs/oct2017/novel"),
    ({"task__name": "oct2017"}, "task.name is 'oct2017'; it is 'chest-xray' here"),
    ({"task__edition": "official"}, "task.edition is 'official'; it is 'toy' here"),
    ({"task__grouping": "unknown"}, "task.grouping is 'unknown'; it is 'patient' here"),
    ({"task__counts": {"test": {"normal": 1, "anomalous": 1}}}, "task.counts is"),
    ({"task__version": "2"}, "task.version is '2'; it is '1' here"),
    ({"task__manifest_sha256": "f" * 64}, "is known here, so nothing says what its labels are"),
    ({"task__manifest_sha256": "f" * 64}, "bench run --detectors random --tasks chest-xray --data DIR and bench pub"),
    ({"reason": "\x1b[2J"}, "reason holds characters that cannot be seen: '\\x1b'"),
    ({"environment__processor": "x\u202ey"}, "environment.processor holds characters that cannot be seen"),
    ({"detector__config": {"\u200f": 1}}, "a name of a field holds characters that cannot be seen"),
    ({"detector__pretrained": [{"name": "w\u2067"}]}, "detector.pretrained.name holds characters"),
    ({"log_tail": "x" * (LONGEST + 1)}, f"log_tail has {LONGEST + 1} characters"),
    ({"cost__fit_seconds": -1.0}, "cost.fit_seconds is -1.0: neither a time"),
    ({"cost__images_per_second": 1e300}, "cost.images_per_second is 1e+300"),
    ({"cost__images_per_second": float("inf")}, "cost.images_per_second is inf"),
    ({"detector__config": {"a": [float("nan")]}}, "detector.config.a is nan, no number"),
    ({"metrics__auroc__value": float("nan")}, "metrics.auroc.value is nan, no number"),
    ({"detector__config": {"a": json.loads("[" * 100 + "]" * 100)}}, "its id is not that of its task"),
    ({"status": "interrupted"}, "it was interrupted"),
    ({"status": "failed"}, "it did not finish, and has files or metrics"),
    ({"files": []}, "the record lists no file; it must list scores.parquet"),
    ({"files": [{"path": "../../x", "sha256": "0"}]}, "the record lists ../../x"),
    ({"files": []}, "scores.parquet is not listed by the record"),
    ({"files": [{"path": SCORES, "sha256": "0" * 64}]}, "its sha256 differs"),
    ({"schema": 2}, "has schema 2; this bench reads 1: install a newer bench"),
    ({"schema": 0}, "has schema 0; this bench reads 1: bring it up to date with bench leaderboard migrate"),
    ({"schema": "x"}, "record.json is damaged: schema"),
    ({"seed": "many"}, "record.json is damaged: seed"),
    ({"novel": 1}, "record.json is damaged: novel"),
    ({"metrics__auroc__value": 0.99}, "auroc.value is 0.99"),
    ({"metrics__auroc__low": 0.0}, "auroc.low is 0.0 in the record"),
    ({"metrics__average_precision__low": 0.1}, "average_precision.low is 0.1 in the record, between"),
    ({"metrics__strange": {"value": 1, "low": 1, "high": 1, "method": ""}}, "'strange' cannot be recomputed"),
    ({"metrics": {}}, "metrics are missing"),
    ({"detector__name": "toy"}, "the record is of runs/chest-xray/toy/"),
]


@pytest.mark.parametrize(("changes", "named"), RULES)
def test_every_rule_is_kept(results: Path, honest: Files, changes: dict[str, Any], named: str) -> None:
    found = reasons(edit(honest, **changes), results)
    assert any(named in reason for reason in found), found
    assert all(reason.isascii() and reason.isprintable() and len(reason) < 500 for reason in found)


SCORE_LIES: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    (lambda t: t.assign(label=t["label"].where(t["role"] != "test", 1 - t["label"])), "disagree on 'label'"),
    (lambda t: t.assign(patient="p0"), "disagree on 'patient'"),
    (lambda t: t.assign(category="Y"), "disagree on 'category'"),
    (lambda t: t.assign(image_id=t["image_id"].str.replace("a", "b")), "images that the manifest lacks"),
    (lambda t: t.drop(index=3), "has 43 rows; the manifest has 44 images"),
    (lambda t: pd.concat([t, t]), "has 88 rows"),
    (lambda t: pd.concat([t.iloc[1:], t.tail(1)]), "name an image twice"),
    (lambda t: t.assign(score=t["score"].where(t.index != 2, np.nan)), "not all finite"),
    (lambda t: t.assign(score=t["score"].where(t.index != 2, np.inf)), "not all finite"),
    (lambda t: t.assign(score=t["score"].astype("float32")), "a kind that no schema knows: 'score'"),
    (lambda t: t.assign(score="1"), "a kind that no schema knows: 'score'"),
    (lambda t: t.assign(label="1"), "a kind that no schema knows: 'label'"),
    (lambda t: t.assign(patient=1), "a kind that no schema knows: 'patient'"),
    (lambda t: t.assign(patient=[["p"]] * len(t)), "a kind that no schema knows"),
    (lambda t: t.assign(extra="x"), "a kind that no schema knows: 'extra'"),
    (lambda t: t.drop(columns="category"), "no column category"),
    (lambda t: t.assign(category="<script>" * 1000), "a 'category' of more than 200 characters"),
]


@pytest.mark.parametrize(("change", "named"), SCORE_LIES)
def test_lies_about_images_are_found(
    results: Path, honest: Files, change: Callable[[pd.DataFrame], pd.DataFrame], named: str
) -> None:
    found = reasons(edit_scores(honest, change), results)
    assert any(named in reason for reason in found), found


def test_labels_that_suit_the_scores_with_metrics_that_fit_are_found(results: Path, honest: Files) -> None:
    def suit(table: pd.DataFrame) -> pd.DataFrame:
        high = (table["score"] > table["score"].median()).astype("int8")
        return table.assign(label=high.where(table["role"] == "test", 0).astype("int8"))

    lying = edit_scores(honest, suit, metrics=True)
    assert record_of(lying).metrics["auroc"].value > 0.99
    assert any("disagree on 'label'" in reason for reason in reasons(lying, results))


def test_a_manifest_of_the_submissions_own_is_not_looked_at(results: Path, honest: Files) -> None:
    """Even if archives could hold one: only the record's folder is, and others have no record."""
    task = record_of(honest).task
    own = {**honest, f"manifests/{task.name}/{task.manifest_sha256}.parquet": b"x"}
    assert any("has no record.json" in reason for reason in reasons(own, results))


def test_extra_and_missing_files_are_named(results: Path, honest: Files) -> None:
    extra = {**honest, name_of(honest, "pixels.npz"): b"x"}
    assert any("pixels.npz is not listed by the record" in reason for reason in reasons(extra, results))
    lacking = {name: content for name, content in honest.items() if not name.endswith(SCORES)}
    assert any("scores.parquet is listed by the record, and missing" in reason for reason in reasons(lacking, results))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"schema":' * 50_000, b"\xff\xfe", b"null", b"9" * 5000, b'{"schema": 1e999}'],
)
def test_what_is_no_record_is_refused(results: Path, honest: Files, content: bytes) -> None:
    (reason,) = reasons({**honest, name_of(honest, RECORD): content}, results)
    assert "record.json is damaged" in reason


def test_all_reasons_come_at_once(results: Path, honest: Files) -> None:
    lying = edit_scores(honest, lambda table: table.assign(patient="p0"))
    lying = edit(lying, detector__citation="", environment__dirty=True, detector__variant="smoke", seed=5)
    found = reasons(edit(lying, task__edition="official"), results)
    wanted = ("smoke", "uncommitted", "no citation", "its id is not", "task.edition", "on 'patient'", "lacks seed")
    assert [any(named in reason for reason in found) for named in wanted] == [True] * len(wanted)
    assert len(found) == len(wanted)


def test_lies_about_metrics_are_named_with_all_else(results: Path, honest: Files) -> None:
    found = reasons(edit(honest, metrics__auroc__value=0.99, environment__dirty=True), results)
    assert any("auroc.value" in reason for reason in found) and any("uncommitted" in reason for reason in found)


def files_of(content: bytes) -> pq.FileMetaData:
    return pq.ParquetFile(io.BytesIO(content)).metadata


def test_a_text_that_every_row_refers_to_fills_no_memory(results: Path, honest: Files) -> None:
    table = pq.read_table(io.BytesIO(honest[name_of(honest, SCORES)]))
    place = table.schema.get_field_index("category")
    long = pa.DictionaryArray.from_arrays(np.zeros(table.num_rows, np.int32), ["x" * (20 << 20)])
    buffer = io.BytesIO()
    pq.write_table(table.set_column(place, "category", long), buffer, compression="zstd")
    assert len(buffer.getvalue()) < 100_000
    found = reasons(with_scores(honest, buffer.getvalue()), results)
    assert any("more than 200 characters" in reason or "is too large" in reason for reason in found), found


def test_a_large_table_is_refused_by_its_footer(honest: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    content = honest[name_of(honest, SCORES)]
    monkeypatch.setattr(foreign, "UNPACKED", 100)
    with pytest.raises(foreign.RecordError, match="too large"):
        scores_anew(content, 44)


def test_what_else_a_file_of_scores_holds_is_left_out(results: Path, honest: Files) -> None:
    content = honest[name_of(honest, SCORES)]
    table = pq.read_table(io.BytesIO(content))
    table = table.append_column("group_sex", pa.array(["F"] * table.num_rows))
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"hidden": b"<script>" * 100}), buffer)
    checked = check_submission(with_scores(honest, buffer.getvalue()), Known.of(results))
    assert checked.reasons == ()
    assert checked.cells[0].files[SCORES] == content


@pytest.mark.parametrize("harm", [lambda c: c[:-20], lambda c: b"", lambda c: c[:50] + b"\xff" * 50 + c[100:]])
def test_damaged_scores_are_refused(results: Path, honest: Files, harm: Callable[[bytes], bytes]) -> None:
    found = reasons(with_scores(honest, harm(honest[name_of(honest, SCORES)])), results)
    assert len(found) == 1


def test_no_flipped_byte_does_more_than_to_refuse(honest: Files) -> None:
    content, random = honest[name_of(honest, SCORES)], np.random.default_rng(0)
    for _ in range(300):
        harmed = bytearray(content)
        for place in random.integers(len(content), size=random.integers(1, 6)):
            harmed[place] = random.integers(256)
        with suppress(foreign.RecordError):
            scores_anew(bytes(harmed), N + N // 10)


def test_damaged_pixels_are_refused(results: Path, honest: Files) -> None:
    bad = b"PK not an archive"
    listed = [*json.loads(honest[name_of(honest, RECORD)])["files"], {"path": "pixels.npz", "sha256": _sha(bad)}]
    lying = {**edit(honest, files=listed), name_of(honest, "pixels.npz"): bad}
    assert any("pixels.npz is damaged" in reason for reason in reasons(lying, results))


def test_lesions_that_no_mask_shows_are_refused(results: Path, honest: Files) -> None:
    """The masks of a task are the maintainers'; its manifest says which images have one, and here none has."""
    scores = split_scores(read_table(honest[name_of(honest, SCORES)], SCORES))
    edges = bin_edges(tune_values(np.linspace(0, 1, 4 * 16, dtype=np.float32).reshape(4, 4, 4), len(scores.tune)))
    tops = np.zeros(len(scores.tune), np.uint16)
    drawn = [np.eye(4, dtype=bool) if label else np.zeros((4, 4), bool) for label in scores.labels]
    pairs = [(mask.astype(np.float32), mask) for mask in drawn]
    counts = PixelCounts(edges, 4, tops, scores.ids, scores.labels, list(count_blocks(pairs, edges, 5)))
    assert with_lesions(counts) == [one for one, label in zip(scores.ids, scores.labels, strict=True) if label]
    content = to_npz(counts)
    listed = [*json.loads(honest[name_of(honest, RECORD)])["files"], {"path": PIXELS, "sha256": _sha(content)}]
    lying = {**edit(honest, files=listed), name_of(honest, PIXELS): content}
    (reason,) = reasons(lying, results)
    assert f"lesions in {N // 2} image(s) that have no mask in the manifest" in reason


def _sha(content: bytes) -> str:
    return sha256(content).hexdigest()


def test_failed_cells_get_in_without_scores(results: Path, tmp_path: Path) -> None:
    files = submitted(tmp_path, status="failed", reason="no luck")
    checked = check_submission(files, Known.of(results))
    assert checked.reasons == () and checked.cells[0].scores is None and checked.cells[0].files == {}


def test_what_is_there_already_is_named(results: Path, tmp_path: Path) -> None:
    (reason, *_) = reasons(submitted(tmp_path, detector="toy", gap=1.0), results)
    assert "chest-xray toy 1 seed 0 is there already" in reason


@pytest.mark.parametrize("reorder", [False, True])
def test_scores_of_another_detector_under_a_new_name_are_found(results: Path, tmp_path: Path, reorder: bool) -> None:
    """As they are, or changed so that only their order is kept."""
    stolen = next(pd.read_parquet(path) for path in sorted(results.glob("runs/*/toy/*/scores.parquet")))
    scores = np.tanh(stolen["score"] / 100) * 7 if reorder else stolen["score"]
    files = edit_scores(submitted(tmp_path), lambda table: table.assign(score=scores), metrics=True)
    found = reasons(files, results)
    assert any("have identical scores: they are taken for one" in reason for reason in found) is not reorder
    assert any("Spearman's correlation 1.000000, above 0.999" in reason for reason in found) is reorder
    assert any("chest-xray novel 1 seed 0 and chest-xray toy 1 seed" in reason for reason in found)


def cells(folder: Path, **changes: Any) -> Record:
    return add_record(Store(folder), **changes)


def test_seeds_of_a_row(tmp_path: Path) -> None:
    zero, one, three = (cells(tmp_path, seed=seed) for seed in (0, 1, 3))
    assert seed_problems([zero, one], []) == []
    assert seed_problems([one], [zero]) == []
    assert "lacks seed 2" in seed_problems([zero, one, three], [])[0]
    twin = one.model_copy(update={"cell": "f" * 16})
    assert "two records of seed 1" in seed_problems([zero, one, twin], [])[0]
    assert "two records of seed 1" in seed_problems([twin], [zero, one])[0]
    failed = one.model_copy(update={"status": "failed"})
    assert seed_problems([zero, failed], []) == []


def test_configurations_and_packages_of_a_name(tmp_path: Path) -> None:
    zero, one = cells(tmp_path, seed=0), cells(tmp_path, seed=1)
    other = one.model_copy(update={"detector": one.detector.model_copy(update={"config": {"x": 1}})})
    assert "several configurations under one name" in seed_problems([other], [zero])[0]
    foreign_one = one.model_copy(update={"detector": one.detector.model_copy(update={"distribution": "evil"})})
    (reason,) = seed_problems([foreign_one], [zero])
    assert reason == "detector 'toy' is that of package 'd', not of 'evil': choose another name"


def test_one_run_is_no_two_seeds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    scored = []
    for seed in (0, 1):
        record = add_record(store, seed=seed)
        table = read_table((store.folder_of(record) / SCORES).read_bytes(), SCORES)
        scored.append((record, split_scores(table)))
    assert likeness_problems(scored, []) == []
    (zero, scores), (one, _) = scored
    assert "one run is no two seeds" in likeness_problems([(one, scores)], [(zero, scores)])[0]
    steady = [
        r.model_copy(update={"detector": r.detector.model_copy(update={"stochastic": False})}) for r in (zero, one)
    ]
    assert likeness_problems([(steady[1], scores)], [(steady[0], scores)]) == []


def test_likeness_is_no_matter_between_versions_and_variants_of_a_detector(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = add_record(store)
    scores = split_scores(read_table((store.folder_of(record) / SCORES).read_bytes(), SCORES))
    later = record.model_copy(update={"detector": record.detector.model_copy(update={"version": "2"})})
    assert row_of(later) != row_of(record)
    assert likeness_problems([(later, scores)], [(record, scores)]) == []
    assert 0.99 < ALIKE < 1


def test_published_detectors_are_far_below_the_threshold() -> None:
    known = Known.of(Path(__file__).parents[3] / "results")
    scored = known.scored({record.task.manifest_sha256 for _, record in known.records})
    assert len(scored) > 50
    assert likeness_problems(scored, []) == []


def test_a_submission_has_no_state_and_no_metric_of_a_plugin(results: Path, tmp_path: Path) -> None:
    (tmp_path / "learned").write_bytes(b"learned")
    store = Store(tmp_path / "runs")
    record = add_record(store, detector="novel", gap=2.0, state=tmp_path / "learned", citation="")
    path = store.folder_of(record) / RECORD
    extra = {**record.metrics, "strange": record.metrics["auroc"]}
    path.write_bytes(record.model_copy(update={"metrics": extra}).to_json())
    files = gather([path.parent], {("novel", "1"): "Novel et al., 2026"})
    assert sorted(name.rpartition("/")[2] for name in files) == [RECORD, SCORES]
    assert record_of(files).detector.citation == "Novel et al., 2026"
    assert set(record_of(files).metrics) == set(record.metrics)
    assert reasons(files, results) == ()


def test_rules_hold_for_a_good_record(honest: Files) -> None:
    assert record_problems(record_of(honest)) == []
    assert files_of(honest[name_of(honest, SCORES)]).num_rows == N + N // 10
    assert len(honest) < MEMBERS
