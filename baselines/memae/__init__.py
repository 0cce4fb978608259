"""MemAE: an autoencoder that can rebuild an image only from what it remembers of normal ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.memae.config import MemaeConfig
    from baselines.memae.detector import MemaeDetector


def _config() -> type[MemaeConfig]:
    from baselines.memae.config import MemaeConfig

    return MemaeConfig


def _load() -> type[MemaeDetector]:
    from baselines.memae.detector import MemaeDetector

    return MemaeDetector


SPEC = DetectorSpec(
    name="memae",
    version="2",
    summary="MemAE: reconstruction error of an autoencoder whose features come from a memory of normal ones",
    citation="Gong, Liu, Le, Saha, Mansour, Venkatesh, van den Hengel, Memorizing Normality to Detect Anomaly: "
    "Memory-augmented Deep Autoencoder for Unsupervised Anomaly Detection, ICCV 2019",
    config=_config,
    load=_load,
    presets={
        "smoke": {"image_size": 32, "batch_size": 8, "epochs": 5, "items": 100},
        # Epochs are ours.
        "paper": {"image_size": 32, "width": 64, "items": 500, "learning_rate": 1e-4, "epochs": 100},
    },
    resources="two CPU cores for a minute at 64 px; a GPU for the preset paper on large sets",
    maps=True,
    package="baselines.memae",
)
