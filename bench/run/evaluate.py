"""Every metric of a cell, computed from its scores alone: pure, so that anybody can compute it again."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import MetricSpec
from bench.metrics import Sample, measure, measure_other
from bench.results.record import MetricPart


def evaluate(sample: Sample, level: float = 0.95) -> dict[str, MetricPart]:
    """Compute the built-in image metrics.

    Args:
        sample: the scores of one cell.
        level: of the intervals; records have 0.95.

    """
    return {name: MetricPart(**interval._asdict()) for name, interval in measure(sample, level=level).items()}


def evaluate_plugins(
    sample: Sample, metrics: Sequence[MetricSpec], level: float = 0.95
) -> tuple[dict[str, MetricPart], dict[str, BaseException]]:
    """Compute the metrics that plugins offer, each with a bootstrap interval from the draws of the built-in ones.

    Returns:
        the metrics by name, and by name what was raised by those that failed: one never costs another.

    """
    computed: dict[str, MetricPart] = {}
    failed: dict[str, BaseException] = {}
    for spec in metrics:
        try:
            found = measure_other(spec.compute, sample, level, spec.resamples)
            computed[spec.name] = MetricPart(**found._asdict())
        except (Exception, SystemExit) as error:
            failed[spec.name] = error
    return computed, failed
