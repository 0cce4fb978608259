"""Operating points whose threshold comes from held-out normals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import few, rankings, sample
from sklearn.metrics import f1_score

from bench.metrics import measure, operating_metrics, values
from bench.metrics.operating import share_below, threshold_at

shares = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])
tunes = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=60)


def alarm_threshold(tune, specificity):
    """The smallest score that enough held-out normals do not exceed, from the definition."""
    return min(one for one in tune if np.mean(tune <= one) >= specificity - 1e-9)


@few
@given(rankings(seeds=2), tunes, shares)
def test_points_are_what_the_threshold_achieves(ranking, tune, specificity):
    labels, scores = ranking
    tune = np.stack([np.array(tune), -np.array(tune)])
    found = values(sample(labels, scores, tune), operating_metrics(specificity))
    mark = f"{100 * specificity:g}"
    for place, (one, own) in enumerate(zip(scores, tune, strict=True)):
        called = (one > alarm_threshold(own, specificity)).astype(int)
        alarms = called[labels == 0].mean()
        assert found[f"tune_sensitivity_at_{mark}_specificity"][place] == pytest.approx(called[labels == 1].mean())
        assert found[f"tune_specificity_at_{mark}_specificity"][place] == pytest.approx(1 - alarms)
        assert found[f"false_alarm_rate_at_{mark}_specificity"][place] == pytest.approx(alarms)
        assert found[f"false_alarm_gap_at_{mark}_specificity"][place] == pytest.approx(alarms - 1 + specificity)
        expected = f1_score(labels, called, zero_division=0)
        assert found[f"tune_f1_at_{mark}_specificity"][place] == pytest.approx(expected)


@few
@given(tunes, shares)
def test_threshold_and_share_of_one_score_are_those_of_the_definitions(tune, specificity):
    tune = np.array(tune)
    assert threshold_at(tune, specificity) == alarm_threshold(tune, specificity)
    for score in (*tune, tune.min() - 1, tune.max() + 1, tune.mean()):
        expected = np.mean(tune < score) + np.mean(tune == score) / 2
        assert share_below(np.sort(tune), score) == pytest.approx(expected)


def test_no_alarms_are_no_certainty():
    labels = np.array([0] * 20 + [1] * 5, np.int8)
    scores, tune = np.concatenate([np.linspace(0, 1, 20), np.ones(5)]), np.linspace(0, 2, 40)
    none = measure(sample(labels, scores, tune))
    rate, gap = none["false_alarm_rate_at_95_specificity"], none["false_alarm_gap_at_95_specificity"]
    assert (rate.value, rate.low) == (0, 0)
    assert rate.high >= 1 - 0.025 ** (1 / 20) - 1e-12
    assert gap[:3] == pytest.approx((rate.value - 0.05, rate.low - 0.05, rate.high - 0.05))
    every = measure(sample(labels, scores + 5, tune))["false_alarm_rate_at_95_specificity"]
    assert (every.value, every.high) == (1, 1)
    assert every.low <= 0.025 ** (1 / 20) + 1e-12


def test_interval_covers_the_rate_of_the_population():
    rng = np.random.default_rng(0)
    labels = np.array([0] * 150 + [1] * 10, np.int8)
    only = {"rate": operating_metrics(0.95)["false_alarm_rate_at_95_specificity"]}
    held = 0
    for _ in range(100):
        tune, scores = rng.normal(size=120), rng.normal(size=160)
        found = measure(sample(labels, scores, tune), only, resamples=200)["rate"]
        held += found.low <= 0.05 <= found.high
    assert held >= 85


def test_without_held_out_normals_there_are_no_such_points():
    found = measure(sample([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0]), resamples=10)
    assert "auroc" in found and not any("tune" in name or "alarm" in name for name in found)


@pytest.mark.parametrize("tune", [np.zeros((2, 4)), np.full((1, 4), np.nan), np.full((1, 4), np.inf)])
def test_wrong_held_out_scores_are_refused(tune):
    with pytest.raises(ValueError, match="tune has shape"):
        sample([0, 1], [[0.0, 1.0]], tune)


def test_clusters_of_another_length_are_refused():
    with pytest.raises(ValueError, match="cluster for each"):
        sample([0, 1], [0.0, 1.0], clusters=np.array([1]))
