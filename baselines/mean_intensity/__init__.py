"""Brightness: how far a single trivial number gets. A benchmark that it solves is measuring exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.mean_intensity.config import MeanIntensityConfig
    from baselines.mean_intensity.detector import MeanIntensityDetector


def _config() -> type[MeanIntensityConfig]:
    from baselines.mean_intensity.config import MeanIntensityConfig

    return MeanIntensityConfig


def _load() -> type[MeanIntensityDetector]:
    from baselines.mean_intensity.detector import MeanIntensityDetector

    return MeanIntensityDetector


SPEC = DetectorSpec(
    name="mean-intensity",
    version="1",
    summary="the mean pixel value of an image: brighter is more anomalous",
    citation="none: the floor of every table",
    config=_config,
    load=_load,
    presets={"smoke": {}, "paper": {}},
    stochastic=False,
    torch=False,
    package="baselines.mean_intensity",
    known_failures={"auroc": "brightness alone need not tell an anomaly; where it does, the task is too easy"},
)
