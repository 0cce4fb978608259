"""Every metric of a cell, computed from its scores alone: pure, so that anybody can compute it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.contracts import MetricSpec
from bench.metrics import Interval, auroc_interval, average_precision_interval, bootstrap_interval, sensitivity_interval
from bench.results.record import MetricPart
from bench.results.scores import Scores

SPECIFICITY = 0.95


def evaluate(scores: Scores, metrics: Sequence[MetricSpec] = ()) -> dict[str, MetricPart]:
    """Compute the built-in metrics and those that plugins offer.

    Args:
        scores: the test images' labels and scores, and the tune images' scores.
        metrics: third-party metrics, given a stratified bootstrap interval.

    Raises:
        ValueError: scores from which no ROC curve can be drawn.

    """
    labels, values = scores.labels, scores.scores
    computed: Mapping[str, Interval] = {
        "auroc": auroc_interval(labels, values),
        "average_precision": average_precision_interval(labels, values),
        "sensitivity_at_95_specificity": sensitivity_interval(labels, values, SPECIFICITY),
        **{spec.name: _third_party(spec, scores) for spec in metrics},
    }
    return {name: MetricPart(**interval._asdict()) for name, interval in computed.items()}


def _third_party(spec: MetricSpec, scores: Scores) -> Interval:
    def compute(labels: NDArray[np.int8], values: NDArray[np.float64]) -> float:
        return float(spec.compute(labels, values, scores.tune))

    return bootstrap_interval(compute, scores.labels, scores.scores, resamples=200)
