"""Every metric of a cell, computed from its scores alone: pure, so that anybody can compute it again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.contracts import MetricSpec
from bench.metrics import (
    Interval,
    auroc_interval,
    average_precision_interval,
    bootstrap_interval,
    false_alarm_rate_over_seeds,
    sensitivity_interval,
)
from bench.results.record import MetricPart
from bench.results.scores import Scores

SPECIFICITY = 0.95


def evaluate(scores: Scores) -> dict[str, MetricPart]:
    """Compute the built-in metrics.

    Args:
        scores: the test images' labels and scores, and the tune images' scores.

    Raises:
        ValueError: scores from which no ROC curve can be drawn.

    """
    labels, values = scores.labels, scores.scores
    computed: dict[str, Interval] = {
        "auroc": auroc_interval(labels, values),
        "average_precision": average_precision_interval(labels, values),
        "sensitivity_at_95_specificity": sensitivity_interval(labels, values, SPECIFICITY),
    }
    if len(scores.tune):
        alarms = false_alarm_rate_over_seeds(labels, values[None], scores.tune[None], SPECIFICITY)
        computed["false_alarm_rate_at_95_specificity"] = alarms
    return {name: MetricPart(**interval._asdict()) for name, interval in computed.items()}


def evaluate_plugins(
    scores: Scores, metrics: Sequence[MetricSpec]
) -> tuple[dict[str, MetricPart], dict[str, BaseException]]:
    """Compute the metrics that plugins offer, each with a stratified bootstrap interval.

    Returns:
        the metrics by name, and by name what was raised by those that failed: one never costs another.

    """
    computed: dict[str, MetricPart] = {}
    failed: dict[str, BaseException] = {}
    for spec in metrics:
        try:
            computed[spec.name] = MetricPart(**_interval_of(spec, scores)._asdict())
        except (Exception, SystemExit) as error:
            failed[spec.name] = error
    return computed, failed


def _interval_of(spec: MetricSpec, scores: Scores) -> Interval:
    def compute(labels: NDArray[np.int8], values: NDArray[np.float64]) -> float:
        return float(spec.compute(labels, values, scores.tune))

    return bootstrap_interval(compute, scores.labels, scores.scores, resamples=200)
