"""Nearest neighbours among the features of a network that never saw a medical image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench import DetectorSpec, PretrainedWeights, pretrained_weights

if TYPE_CHECKING:
    from baselines.knn.config import KnnConfig
    from baselines.knn.detector import KnnDetector


def _config() -> type[KnnConfig]:
    from baselines.knn.config import KnnConfig

    return KnnConfig


def _load() -> type[KnnDetector]:
    from baselines.knn.detector import KnnDetector

    return KnnDetector


def _pretrained(config: KnnConfig) -> Sequence[PretrainedWeights]:
    return [pretrained_weights(config.backbone)]


SPEC = DetectorSpec(
    name="knn",
    version="2",
    summary="mean distance to the nearest normal images in the feature space of a frozen ImageNet network",
    citation="Bergman, Cohen & Hoshen, Deep Nearest Neighbor Anomaly Detection, arXiv 2002.10445, 2020",
    config=_config,
    load=_load,
    presets={"smoke": {"image_size": 64}, "paper": {}},
    resources="a CPU core; seconds for a thousand images",
    pretrained=_pretrained,
    stochastic=False,
    package="baselines.knn",
)
