"""False alarms at a threshold that held-out normals set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics import alarm_threshold, false_alarm_rate_over_seeds


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 1.0]),
)
def test_threshold_is_the_smallest_that_enough_normals_do_not_exceed(tune: list[float], specificity: float) -> None:
    values = np.array(tune)
    threshold = float(alarm_threshold(values, specificity))
    assert np.mean(values <= threshold) >= specificity - 1e-9
    smaller = values[values < threshold]
    if len(smaller):
        assert np.mean(values <= smaller.max()) < specificity


def test_rate_is_that_of_normals_above_the_threshold() -> None:
    tune = np.arange(100.0)[None]  # 95 of them are at most 94
    labels = np.array([0, 0, 0, 0, 1, 1], np.int8)
    scores = np.array([[94.0, 94.5, 200.0, 3.0, 500.0, 0.0]])
    found = false_alarm_rate_over_seeds(labels, scores, tune, 0.95)
    assert found.value == 0.5
    assert 0 <= found.low <= 0.5 <= found.high <= 1
    both = false_alarm_rate_over_seeds(labels, np.concatenate([scores, scores * 0]), np.concatenate([tune, tune]), 0.95)
    assert both.value == 0.25


def test_no_alarms_are_no_certainty() -> None:
    labels = np.array([0] * 20 + [1] * 5, np.int8)
    scores, tune = np.concatenate([np.linspace(0, 1, 20), np.ones(5)])[None], np.linspace(0, 2, 40)[None]
    none = false_alarm_rate_over_seeds(labels, scores, tune, 0.95)
    assert (none.value, none.low) == (0, 0)
    assert none.high >= 1 - 0.025 ** (1 / 20) - 1e-12
    every = false_alarm_rate_over_seeds(labels, scores + 5, tune, 0.95)
    assert (every.value, every.high) == (1, 1)
    assert every.low <= 0.025 ** (1 / 20) + 1e-12


def test_interval_covers_the_rate_of_the_population() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 150 + [1] * 10, np.int8)
    held = 0
    for _ in range(100):
        tune, scores = rng.normal(size=(1, 120)), rng.normal(size=(1, 160))
        found = false_alarm_rate_over_seeds(labels, scores, tune, 0.95, resamples=200)
        held += found.low <= 0.05 <= found.high
    assert held >= 85


@pytest.mark.parametrize("tune", [np.zeros((1, 0)), np.zeros((2, 4)), np.zeros(4), np.full((1, 4), np.nan)])
def test_wrong_held_out_scores_are_refused(tune: np.ndarray) -> None:
    with pytest.raises(ValueError, match="tune has shape"):
        false_alarm_rate_over_seeds(np.array([0, 1], np.int8), np.array([[0.0, 1.0]]), tune, 0.95)
