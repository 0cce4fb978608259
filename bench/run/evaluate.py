"""Every metric of a cell, computed from its two score files alone: pure, so that anybody can compute it again."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import MetricSpec
from bench.metrics import Interval, Sample, measure, measure_other, values
from bench.results.pixels import Source, open_pixels
from bench.results.record import MetricPart
from bench.results.scores import Scores, sample_of


def evaluate(cell: Scores, pixels: Source | None = None, level: float = 0.95) -> dict[str, MetricPart]:
    """Compute the built-in metrics.

    Args:
        cell: the scores.
        pixels: the counts of map values, where the task has masks and the detector draws maps.
        level: of the intervals; records have 0.95.

    Raises:
        RecordError: pixel counts that are damaged or of other images.

    """
    found: dict[str, Interval] = measure(sample_of([cell]), level=level)
    if pixels is not None:
        from bench.metrics.pixel_intervals import pixel_metrics

        counts = open_pixels(pixels, cell.ids, cell.labels, len(cell.tune))
        found |= pixel_metrics(counts, cell.patients, tune_clusters=cell.tune_patients, level=level)
    return {name: MetricPart(**interval._asdict()) for name, interval in found.items()}


def points(cell: Scores, pixels: Source | None = None) -> dict[str, float]:
    """Compute the values that :func:`evaluate` does, without their intervals.

    Raises:
        RecordError: pixel counts that are damaged or of other images.

    """
    found = {name: float(of[0]) for name, of in values(sample_of([cell])).items()}
    if pixels is not None:
        from bench.metrics.pixels import pixel_values

        found |= pixel_values(open_pixels(pixels, cell.ids, cell.labels, len(cell.tune)))
    return found


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
