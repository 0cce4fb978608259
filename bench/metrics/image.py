"""The image metrics: one table of names, and the only place where they are computed with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.metrics import operating, ranking
from bench.metrics.bootstrap import OperatingStatistic, Statistic, resampled, resampled_metric
from bench.metrics.intervals import RESAMPLES, Interval, auroc_over_seeds, bootstrap_interval
from bench.metrics.sample import Sample

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImageMetric:
    """What a table may show.

    Attributes:
        summary: one line.
        higher_is_better: its direction; None where it has none.
        statistic: of true and false positives at every threshold; None for an operating point.
        specificity: that the threshold from held-out normals promises, for an operating point.
        judge: what that operating point achieves.
        enough: patients (else images) of the smaller class from which on simulated intervals held what they promise
            (``benchmarks/coverage.py others``); below, the method says that they may be too narrow.
        shift: is taken off the share, in [0, 1], that statistic or judge give.

    """

    summary: str
    higher_is_better: bool | None = True
    statistic: Statistic | None = None
    specificity: float | None = None
    judge: OperatingStatistic | None = None
    enough: int = 100
    shift: float = 0.0


def _fpr(tp: ranking.Counts, fp: ranking.Counts, sensitivity: float) -> Floats:
    return 1 - ranking.specificity_of_counts(tp, fp, sensitivity)


def operating_metrics(specificity: float) -> dict[str, ImageMetric]:
    """Metrics of the threshold that a share of held-out normals does not exceed, by name.

    Args:
        specificity: that share, in (0, 1).

    """
    mark = f"{100 * specificity:g}".replace(".", "_")
    promise = f"at the threshold that {100 * specificity:g} % of held-out normals do not exceed"

    # One in a hundred: the threshold is one of the few highest scores, which few resamples replace.
    enough = 100 if specificity <= 0.95 else 1000

    def metric(what: str, judge: OperatingStatistic, up: bool | None = True, shift: float = 0.0) -> ImageMetric:
        return ImageMetric(f"{what} {promise}", up, None, specificity, judge, enough, shift)

    return {
        f"tune_sensitivity_at_{mark}_specificity": metric("sensitivity", operating.sensitivity),
        f"tune_specificity_at_{mark}_specificity": metric("specificity achieved on test", operating.specificity),
        f"tune_f1_at_{mark}_specificity": metric("F1", operating.f1),
        f"false_alarm_rate_at_{mark}_specificity": metric(
            "share of healthy test images that raise an alarm", operating.false_alarm_rate, False
        ),
        f"false_alarm_gap_at_{mark}_specificity": metric(
            "false-alarm rate achieved less the one promised, 0 is calibrated",
            operating.false_alarm_rate,
            None,
            1 - specificity,
        ),
    }


IMAGE_METRICS: Mapping[str, ImageMetric] = {
    "auroc": ImageMetric("probability that an anomalous image outscores a normal one", True, ranking.auroc_of_counts),
    "average_precision": ImageMetric(
        "mean precision over the anomalous images; chance is the prevalence",
        True,
        ranking.average_precision_of_counts,
        enough=300,
    ),
    "partial_auroc_at_10_fpr": ImageMetric(
        "area below the ROC curve up to a false-positive rate of 0.1, 0.5 is chance",
        True,
        partial(ranking.partial_auroc_of_counts, max_fpr=0.1),
        enough=1000,
    ),
    **{
        f"sensitivity_at_{share}_specificity": ImageMetric(
            f"sensitivity at a specificity of {share} %, threshold from the test images themselves",
            True,
            partial(ranking.sensitivity_of_counts, specificity=share / 100),
            enough=100 if share == 95 else 1000,
        )
        for share in (95, 99)
    },
    "specificity_at_95_sensitivity": ImageMetric(
        "specificity at a sensitivity of 95 %, threshold from the test images themselves",
        True,
        partial(ranking.specificity_of_counts, sensitivity=0.95),
    ),
    "fpr_at_95_tpr": ImageMetric(
        "false-positive rate at a true-positive rate of 95 %", False, partial(_fpr, sensitivity=0.95)
    ),
    "oracle_f1": ImageMetric(
        "best F1 at any threshold, chosen by the test labels: nobody can reach it knowingly",
        True,
        ranking.oracle_f1_of_counts,
        enough=10**9,  # the best of all thresholds is biased upwards, which no resampling shows
    ),
    **operating_metrics(0.95),
    **operating_metrics(0.99),
}
CLOSED_FORM = ("auroc",)
"""Metrics whose interval needs no bootstrap."""


def values(sample: Sample, metrics: Mapping[str, ImageMetric] = IMAGE_METRICS) -> dict[str, Floats]:
    """Compute metrics without intervals: by name, float64 (seeds,).

    Those that need held-out normals are missing where there are none.
    """
    found: dict[str, list[Floats]] = {name: [] for name in _possible(sample, metrics)}
    everyone = np.ones((1, sample.tune.shape[1]), np.int64)
    for scores, tune in zip(sample.scores, sample.tune, strict=True):
        tp, fp = (one[None] for one in ranking.counts(sample.labels, scores))
        points: dict[float, operating.Operating] = {}
        for name, of_seed in found.items():
            metric = metrics[name]
            if metric.statistic is not None:
                of_seed.append(metric.statistic(tp, fp)[0])
            elif metric.judge is not None and metric.specificity is not None:
                share = metric.specificity
                if share not in points:
                    points[share] = operating.operating_point(scores, tune, everyone, tp, fp, share)
                of_seed.append(metric.judge(points[share])[0])
    return {name: np.array(of_seed) - metrics[name].shift for name, of_seed in found.items()}


def measure(
    sample: Sample,
    metrics: Mapping[str, ImageMetric] = IMAGE_METRICS,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Compute metrics with their intervals, all bootstraps from the same resamples; mean over the seeds.

    Args:
        sample: scores of one or several seeds.
        metrics: which; those that need held-out normals are left out where there are none.
        level: of the intervals, in (0, 1).
        resamples: at least 2.
        seed: decides every draw.

    """
    points = values(sample, metrics)
    drawn = {name: metrics[name] for name in points if name not in CLOSED_FORM}
    statistics = {name: metric.statistic for name, metric in drawn.items() if metric.statistic}
    judges = {name: (m.specificity, m.judge) for name, m in drawn.items() if m.judge and m.specificity is not None}
    means = resampled(sample, statistics, judges, resamples, seed) if drawn else {}
    return {
        name: auroc_over_seeds(sample, level)
        if name in CLOSED_FORM
        else _bootstrapped(points[name], means[name], sample, metrics[name], level)
        for name in points
    }


def _bootstrapped(points: Floats, means: Floats, sample: Sample, metric: ImageMetric, level: float) -> Interval:
    value, low, high, method = bootstrap_interval(points + metric.shift, means, sample, share=True, level=level)
    if min(sample.sizes()) < metric.enough and method.startswith("percentile"):
        method += ", may be too narrow"
    if metric.shift:
        value, low, high = float(points.mean()), low - metric.shift, high - metric.shift
    return Interval(value, low, high, method)


def measure_other(
    compute: Callable[[NDArray[np.int8], Floats, Floats], float],
    sample: Sample,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Compute a metric of somebody else's, with a bootstrap interval from the same draws as :func:`measure`.

    Nothing is known of its range, so a metric that no resample changes gets an interval of width 0.

    Args:
        compute: ``(labels int8 (n,), scores float64 (n,), tune float64 (m,)) -> float``.
        sample: scores of one or several seeds.
        level: in (0, 1).
        resamples: at least 2.
        seed: decides every draw.

    Raises:
        ValueError: a value that is not finite.

    """
    labels = sample.labels.astype(np.int8)
    points = np.array([float(compute(labels, *pair)) for pair in zip(sample.scores, sample.tune, strict=True)])
    means = resampled_metric(compute, sample, resamples, seed)
    return bootstrap_interval(points, means, sample, share=False, level=level)


def _possible(sample: Sample, metrics: Mapping[str, ImageMetric]) -> list[str]:
    return [name for name, metric in metrics.items() if metric.judge is None or sample.tune.shape[1]]
