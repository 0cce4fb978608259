"""bench: which anomaly detector, learning from normal images only, tells diseased scans from healthy ones?

Everything a plugin author needs is importable from here; torch helpers live in :mod:`bench.torchkit`.
"""

from bench.contracts import (
    API,
    Detector,
    DetectorConfig,
    DetectorSpec,
    ImageFile,
    MetricSpec,
    PretrainedWeights,
    RunContext,
    TaskSpec,
)
from bench.errors import BadScoresError, BenchError, DataMissingError, DetectorError, NotFittedError
from bench.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = [
    "API",
    "BadScoresError",
    "BenchError",
    "DataMissingError",
    "Detector",
    "DetectorConfig",
    "DetectorError",
    "DetectorSpec",
    "ImageFile",
    "MetricSpec",
    "NotFittedError",
    "PretrainedWeights",
    "RunContext",
    "TaskSpec",
    "hookimpl",
]
