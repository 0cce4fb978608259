"""The metric on scores that can be counted by hand."""

import numpy as np
import pytest
from tune_threshold_metric import bench_metrics, sensitivity_at_tune_95

TUNE = np.arange(1.0, 101.0)  # the 95 % quantile, as one of these scores, is 96: four lie above it


def compute(anomalous: list[float], normal: list[float] | None = None, tune: np.ndarray = TUNE) -> float:
    """Call the metric as the harness does."""
    normal = normal or [0.0]
    labels = np.array([1] * len(anomalous) + [0] * len(normal), np.int8)
    return sensitivity_at_tune_95(labels, np.array([*anomalous, *normal], np.float64), tune)


def test_anomalous_images_above_the_threshold_are_counted() -> None:
    """Two of four lie above 96."""
    assert compute([10, 95, 97, 200]) == 0.5


def test_a_tie_with_the_threshold_is_not_found() -> None:
    """Exactly 96 is not above 96."""
    assert compute([96]) == 0
    assert compute([np.nextafter(96, 97)]) == 1


def test_constant_scores_give_nothing() -> None:
    """All images tie with the threshold."""
    assert compute([5, 5], [5, 5], np.full(20, 5.0)) == 0


def test_normal_test_images_and_order_change_nothing() -> None:
    """The threshold comes from tune alone, whatever its order."""
    assert compute([10, 97], [1000.0, 2000.0]) == compute([10, 97]) == compute([10, 97], tune=TUNE[::-1]) == 0.5


@pytest.mark.parametrize("number", [1, 2, 10, 19, 20, 21, 40, 99, 100, 101])
def test_at_most_5_percent_of_tune_lie_above_the_threshold(number: int) -> None:
    """Tune scores scored as if they were anomalous: that share is the price of the threshold."""
    tune = np.random.default_rng(number).normal(size=number)
    assert compute(tune.tolist(), tune=tune) <= 0.05


def test_missing_images_are_named() -> None:
    """A reason, rather than numpy's warning and NaN."""
    with pytest.raises(ValueError, match="no tune images"):
        compute([1.0], tune=np.array([]))
    with pytest.raises(ValueError, match="no anomalous"):
        compute([])


def test_the_offer() -> None:
    """Name and direction."""
    (spec,) = bench_metrics()
    assert (spec.name, spec.higher_is_better, spec.compute) == ("sensitivity_at_tune_95", True, sensitivity_at_tune_95)
