"""Numbers that pictures are made of, held against their plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from bench.report.roc import GRID, mean_curve
from bench.report.rows import Row, make_rows
from bench.results.store import Store
from bench.site import curves
from tests.unit.record_factory import N, add_record


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Row:
    store = Store(tmp_path_factory.mktemp("store"))
    for seed in range(2):
        add_record(store, seed=seed)
    return make_rows(store.records())[0]


def test_rates_are_the_highest_that_each_false_positive_rate_allows() -> None:
    rng = np.random.default_rng(0)
    tp, fp = (np.cumsum(rng.integers(0, 3, (20, 70)), axis=1) for _ in range(2))
    fp[:, -1] = 100  # rates that are exactly on the grid
    found = curves._rates(tp, fp)
    for place, (hits, alarms) in enumerate(zip(tp, fp, strict=True)):
        for step in range(101):
            allowed = [
                hit / hits[-1] for hit, alarm in zip(hits, alarms, strict=True) if alarm * 100 <= step * alarms[-1]
            ]
            assert found[place, step] == pytest.approx(max(allowed, default=0.0), abs=1e-12)


def test_the_band_holds_the_curve_and_the_steps_give_it_back(row: Row) -> None:
    curve, mean = curves.curve_of(row), mean_curve(row)
    last = np.searchsorted(curve.fpr, GRID + 1e-9, side="right") - 1
    assert np.array(curve.tpr)[last] == pytest.approx(mean, abs=1e-4)
    assert (curve.fpr[0], curve.fpr[-1], curve.tpr[-1]) == (0.0, 1.0, 1.0)
    assert (np.array(curve.low) <= mean[::5] + 1e-4).all()
    assert (np.array(curve.high) >= mean[::5] - 1e-4).all()
    assert (np.array(curve.high) - np.array(curve.low)).max() > 0.05


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_ranks_are_those_of_scipy(values: list[int]) -> None:
    assert curves._ranks(np.array(values, float)).tolist() == (rankdata(values) - 1).tolist()


def test_places_follow_the_scores(row: Row) -> None:
    places = curves.places_of(row)
    assert len(places) == N
    assert min(places) >= 0
    assert max(places) <= curves.PLACES
    order = np.argsort(np.mean([rankdata(cell.scores) for cell in row.cells], axis=0), kind="stable")
    assert (np.diff(np.array(places)[order]) >= 0).all()


def test_shares_of_each_class_add_up_to_one(row: Row) -> None:
    bars = curves.bars_of(row)
    assert [one.name for one in bars] == ["held-out normal", "healthy", "X"]
    for one in bars:
        assert sum(one.shares) == pytest.approx(1.0, abs=1e-2)


def test_operating_points_are_the_metrics(row: Row) -> None:
    first, _ = curves.points_of(row)
    assert (first.promise, first.fpr) == (95, row.values["false_alarm_rate_at_95_specificity"])
    assert first.tpr == row.values["tune_sensitivity_at_95_specificity"]
