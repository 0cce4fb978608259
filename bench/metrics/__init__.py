"""Image-level metrics of a ranking, and how far to trust them: pure numpy functions of labels and scores."""

from bench.metrics.alarms import alarm_threshold, false_alarm_rate_over_seeds
from bench.metrics.delong import delong
from bench.metrics.intervals import (
    Interval,
    auroc_interval,
    auroc_over_seeds,
    average_precision_interval,
    average_precision_over_seeds,
    bootstrap_interval,
    sensitivity_interval,
    sensitivity_over_seeds,
)
from bench.metrics.ranking import auroc, average_precision, roc_curve, sensitivity_at_specificity

__all__ = [
    "Interval",
    "alarm_threshold",
    "auroc",
    "auroc_interval",
    "auroc_over_seeds",
    "average_precision",
    "average_precision_interval",
    "average_precision_over_seeds",
    "bootstrap_interval",
    "delong",
    "false_alarm_rate_over_seeds",
    "roc_curve",
    "sensitivity_at_specificity",
    "sensitivity_interval",
    "sensitivity_over_seeds",
]
