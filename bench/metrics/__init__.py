"""What scores are worth, and how far to trust that: pure functions of arrays."""

from bench.metrics.delong import delong
from bench.metrics.image import (
    CLOSED_FORM,
    IMAGE_METRICS,
    ImageMetric,
    measure,
    measure_other,
    operating_metrics,
    values,
)
from bench.metrics.intervals import Interval, auroc_interval, auroc_over_seeds, over_seeds
from bench.metrics.ranking import auroc, average_precision, roc_curve, sensitivity_at_specificity
from bench.metrics.sample import Sample

__all__ = [
    "CLOSED_FORM",
    "IMAGE_METRICS",
    "ImageMetric",
    "Interval",
    "Sample",
    "auroc",
    "auroc_interval",
    "auroc_over_seeds",
    "average_precision",
    "delong",
    "measure",
    "measure_other",
    "operating_metrics",
    "over_seeds",
    "roc_curve",
    "sensitivity_at_specificity",
    "values",
]
