"""What tables, comparisons and subgroups say of rows made by hand."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.errors import RecordError, UsageError
from bench.metrics import Sample, auroc_over_seeds
from bench.metrics.paired import compare
from bench.report import table
from bench.report.comparing import across, conclusion, draw_across
from bench.report.comparison import choose, compare_all, verdict
from bench.report.rows import Row, by_edition, make_rows
from bench.report.standing import rank_text, shared_seeds, standing_note, standings
from bench.report.subgroups import subgroups
from bench.results.scores import age_band
from bench.results.store import Store
from tests.unit.record_factory import add_record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def rows(store: Store) -> list[Row]:
    return make_rows(store.records())


def named(store: Store) -> dict[str, Row]:
    return {row.name: row for row in rows(store)}


def three(store: Store, task: str = "chest-xray") -> None:
    add_record(store, detector="good", gap=4.0, task=task)
    add_record(store, detector="fair", gap=3.9, task=task)
    add_record(store, detector="poor", gap=0.0, task=task)


def test_ranks_are_ranges_and_stand_in_the_table(store: Store) -> None:
    three(store)
    add_record(store, detector="broken", status="failed", reason="no")
    found = standings(rows(store))
    assert found is not None
    assert found.ranks == {"good": (1, 2), "fair": (1, 2), "poor": (3, 3)}
    assert found.top["good"] + found.top["fair"] == pytest.approx(1, abs=1e-6)
    assert len(found.pairs) == 3 and found.resolves is not None and found.units == 20
    text = table.as_markdown(rows(store))
    assert "| good | 1–2 |" in text and "| poor | 3 |" in text and "| broken | – |" in text
    assert f"must differ by about {found.resolves:.3f} AUROC" in text
    assert "only 20 patients or images in a class" in text
    assert [rank_text(rank) for rank in ((1, 1), (2, 4), None)] == ["1", "2–4", "–"]


def test_one_row_has_no_rank(store: Store) -> None:
    add_record(store)
    assert standings(rows(store)) is None and standing_note(None) == ""
    assert "| toy | – |" in table.as_markdown(rows(store))


def test_seeds_are_paired_by_number_and_a_deterministic_one_stands_for_all(store: Store) -> None:
    for seed in (0, 1, 2):
        add_record(store, detector="drawn", seed=seed)
    for seed in (1, 2, 3):
        add_record(store, detector="another", seed=seed)
    add_record(store, detector="fixed", seed=0, stochastic=False)
    found = named(store)
    assert shared_seeds(found["drawn"], found["another"]) == [(1, 0), (2, 1)]
    assert shared_seeds(found["fixed"], found["another"]) == [(0, 0), (0, 1), (0, 2)]
    assert shared_seeds(found["another"], found["fixed"]) == [(0, 0), (1, 0), (2, 0)]
    assert shared_seeds(found["fixed"], found["fixed"]) == [(0, 0)]
    (one,) = compare_all(choose(rows(store), ["drawn", "another"]), by_category=False)
    drawn, other = found["drawn"].sample, found["another"].sample
    by_hand = compare(replace(drawn, scores=drawn.scores[1:], tune=drawn.tune[1:]),
                      replace(other, scores=other.scores[:2], tune=other.tune[:2]))  # fmt: skip
    assert one.difference is not None and one.difference[:5] == pytest.approx(by_hand[:5]) and one.seeds == 2


def test_no_seed_in_common_is_said(store: Store) -> None:
    add_record(store, detector="a", seed=0)
    add_record(store, detector="b", seed=1)
    with pytest.raises(UsageError, match="no seed in common"):
        compare_all(choose(rows(store), ["a", "b"]), by_category=False)


def test_other_editions_are_never_compared(store: Store) -> None:
    add_record(store, detector="a", task="chest-xray")
    add_record(store, detector="b", task="oct2017")
    with pytest.raises(UsageError, match=r"not run on the same images.*a on chest-xray.*b on oct2017"):
        choose(rows(store), ["a", "b"])
    one, other = rows(store)
    moved = replace(other, task=one.task.model_copy(update={"manifest_sha256": "1" * 64, "edition": "other"}))
    with pytest.raises(UsageError, match="not run on the same images"):
        choose([one, moved], ["a", "b"])
    with pytest.raises(UsageError, match="no finished record of 'c'"):
        choose([one], ["c"])


def test_scores_of_other_images_are_refused(store: Store) -> None:
    three(store)
    found = rows(store)
    cell = found[0].cells[0]
    odd = replace(found[0], cells=tuple(replace(cell, ids=("x", *cell.ids[1:])) for _ in found[0].cells))
    with pytest.raises(RecordError, match="different images"):
        compare_all([(odd.task, [odd, found[1]])], by_category=False)


def test_holm_is_over_all_that_was_compared(store: Store) -> None:
    three(store)
    three(store, "oct2017")
    found = compare_all(by_edition(rows(store)), by_category=False)
    assert len(found) == 6
    raw = sorted(one.difference.p for one in found if one.difference)
    assert min(one.adjusted for one in found if one.adjusted is not None) == pytest.approx(min(6 * raw[0], 1))
    plain = found[0].plain()
    needed = {"difference", "low", "high", "p", "p_adjusted", "resolvable", "method", "n_images", "n_patients"}
    assert needed <= plain.keys()
    assert (plain["n_images"], plain["n_patients"]) == (40, 40)


def test_verdicts(store: Store) -> None:
    three(store)
    found = {(one.first, one.second): one for one in compare_all(by_edition(rows(store)), by_category=False)}
    clear = next(one for pair, one in found.items() if set(pair) == {"good", "poor"})
    close = next(one for pair, one in found.items() if set(pair) == {"good", "fair"})
    assert verdict(clear).startswith("good is better; only 20") and clear.resolvable
    assert verdict(close).startswith("not told apart") and not close.resolvable
    assert verdict(replace(clear, difference=None, adjusted=None, units=1)) == "too few to say (1 in a class)"


def test_categories_are_set_against_all_normal_images(store: Store) -> None:
    three(store)
    row = rows(store)[0]
    cell = row.cells[0]
    anomalous = np.flatnonzero(cell.labels == 1)
    categories = np.array(["N"] * 40, dtype="<U8")
    categories[anomalous[:15]], categories[anomalous[15:19]], categories[anomalous[19:]] = "big", "small", "single"
    row = replace(row, cells=tuple(replace(one, categories=categories) for one in row.cells))
    big, single, small = subgroups(row, "category")
    assert [(one.name, one.normal, one.anomalous) for one in (big, single, small)] == [
        ("big", 20, 15), ("single", 20, 1), ("small", 20, 4)]  # fmt: skip
    assert single.auroc is None and "too few to say" in single.note
    chosen = (cell.labels == 0) | (categories == "big")
    assert big.auroc == auroc_over_seeds(row.sample.only(chosen))
    other = replace(row, detector="twin")
    found = compare_all([(row.task, [row, other])], by_category=True)
    assert [one.category for one in found] == [None, "big", "single", "small"]
    assert found[2].difference is None and found[2].plain()["difference"] is None


def test_groups_and_patients(store: Store) -> None:
    add_record(store, gap=2.0)
    (row,) = rows(store)
    cell = row.cells[0]
    patients = np.arange(40) // 2
    labels = np.repeat(np.arange(20) % 2, 2).astype(np.int8)
    sex = np.array(["F", "F", "M", "M", "", ""] * 6 + ["F"] * 4)
    row = replace(row, cells=(replace(cell, patients=patients, labels=labels, groups={"sex": sex}),))
    (one,) = subgroups(row, "patient")
    means = cell.scores.reshape(20, 2).mean(axis=1)
    expected = auroc_over_seeds(Sample(labels[::2], means[None], np.empty((1, 0)), np.arange(20)))
    assert (one.normal, one.anomalous, one.auroc) == (10, 10, expected)
    assert [(group.name, group.normal + group.anomalous) for group in subgroups(row, "sex")] == [("F", 16), ("M", 12)]
    with pytest.raises(UsageError, match=r"do not say 'age': known: category, sex"):
        subgroups(row, "age")
    with pytest.raises(UsageError, match="name no patients"):
        subgroups(replace(row, cells=(replace(cell, patients=None),)), "patient")


@pytest.mark.parametrize(
    ("age", "band"),
    [("63", "60–79"), ("063Y", "60–79"), ("7", "0–19"), ("20", "20–39"), ("80.5", "80+"), ("", None), ("411", None),
     ("young", None)],
)  # fmt: skip
def test_ages_become_bands(age: str, band: str | None) -> None:
    assert age_band(age) == band


def test_across_tasks_counts_each_set_of_images_once(store: Store, tmp_path: Path) -> None:
    for task in ("chest-xray", "oct2017", "rsna"):
        three(store, task)
    found = rows(store)
    whole = across(by_edition(found))
    assert whole.tasks == ("chest-xray", "oct2017", "rsna") and whole.found is not None
    assert whole.names[-1] == "poor" and whole.plain()["mean_ranks"]["poor"] == 3
    clean = [replace(row, task=row.task.model_copy(update={"name": "rsna-clean", "protocol": "clean",
                                                           "manifest_sha256": "2" * 64}))
             for row in found if row.task.name == "rsna"]  # fmt: skip
    drawn = [
        replace(row, task=row.task.model_copy(update={"synthetic": True})) for row in found if row.task.name == "rsna"
    ]
    rest = [row for row in found if row.task.name != "rsna"]
    for extra in (clean, drawn):
        assert across(by_edition([*rest, *extra])).tasks == ("chest-xray", "oct2017")
    assert "more than 2 tasks can ever show" in conclusion(across(by_edition(rest)))
    for suffix in (".png", ".svg"):
        draw_across(whole, tmp_path / f"cd{suffix}")
        first = (tmp_path / f"cd{suffix}").read_bytes()
        draw_across(whole, tmp_path / f"cd{suffix}")
        assert (tmp_path / f"cd{suffix}").read_bytes() == first
    alone = across(by_edition([row for row in found if row.task.name == "rsna"]))
    assert alone.found is None and "need 2 tasks" in alone.reason
    with pytest.raises(UsageError, match="no diagram"):
        draw_across(alone, tmp_path / "cd.png")


def test_the_table_fits_a_terminal_of_80_columns(store: Store) -> None:
    for detector in ("mean-intensity", "ganomaly"):
        add_record(store, detector=detector)
    console = Console(file=io.StringIO(), width=80)
    table.print_tables(rows(store), console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    assert any("mean-intensity" in line and line.rstrip().endswith("0") for line in lines)
