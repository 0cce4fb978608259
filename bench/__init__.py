"""bench: which anomaly detector, learning from normal images only, tells diseased scans from healthy ones?

Everything a plugin author needs is importable from here; torch helpers live in :mod:`bench.torchkit`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.contracts import (
        API,
        Detector,
        DetectorConfig,
        DetectorSpec,
        ImageFile,
        MetricSpec,
        PretrainedWeights,
        ProtocolVariant,
        RunContext,
        TaskSpec,
    )
    from bench.errors import (
        BadMapsError,
        BadScoresError,
        BadStateError,
        BadTaskError,
        BenchError,
        DataMissingError,
        DetectorError,
        EnvironmentProblem,
        NotFittedError,
    )
    from bench.hookspecs import hookimpl
    from bench.pretrained import pretrained_weights
    from bench.results.record import Record

__version__ = "0.1.0"

__all__ = [
    "API",
    "BadMapsError",
    "BadScoresError",
    "BadStateError",
    "BadTaskError",
    "BenchError",
    "DataMissingError",
    "Detector",
    "DetectorConfig",
    "DetectorError",
    "DetectorSpec",
    "EnvironmentProblem",
    "ImageFile",
    "MetricSpec",
    "NotFittedError",
    "PretrainedWeights",
    "ProtocolVariant",
    "Record",
    "RunContext",
    "TaskSpec",
    "hookimpl",
    "pretrained_weights",
]


if not TYPE_CHECKING:  # a type checker that saw this would take every misspelt name for granted

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, so that ``bench --help`` does not wait for numpy and pydantic."""
        if name in __all__:
            for module in ("contracts", "errors", "hookspecs", "pretrained", "results.record"):
                found = import_module(f"bench.{module}")
                if hasattr(found, name):
                    return getattr(found, name)
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
