"""GANomaly: an encoder-decoder-encoder that is judged on its latent vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.ganomaly.config import GanomalyConfig
    from baselines.ganomaly.detector import GanomalyDetector


def _config() -> type[GanomalyConfig]:
    from baselines.ganomaly.config import GanomalyConfig

    return GanomalyConfig


def _load() -> type[GanomalyDetector]:
    from baselines.ganomaly.detector import GanomalyDetector

    return GanomalyDetector


SPEC = DetectorSpec(
    name="ganomaly",
    version="2",
    summary="GANomaly: distance between the latent vectors of an image and of its adversarial reconstruction",
    citation="Akcay, Atapour-Abarghouei, Breckon, GANomaly: Semi-Supervised Anomaly Detection via Adversarial "
    "Training, ACCV 2018",
    config=_config,
    load=_load,
    presets={
        "smoke": {"image_size": 32, "batch_size": 8, "epochs": 5},
        "paper": {"image_size": 32, "width": 64, "epochs": 15},
    },
    resources="two CPU cores for a minute at 64 px; a GPU for the preset paper on large sets",
    package="baselines.ganomaly",
)
