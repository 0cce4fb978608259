"""A convolutional autoencoder, judged by what it cannot rebuild."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.ae.config import AeConfig
    from baselines.ae.detector import AeDetector


def _config() -> type[AeConfig]:
    from baselines.ae.config import AeConfig

    return AeConfig


def _load() -> type[AeDetector]:
    from baselines.ae.detector import AeDetector

    return AeDetector


SPEC = DetectorSpec(
    name="ae",
    version="2",
    summary="convolutional autoencoder: mean squared error of the reconstruction",
    citation="Sakurada & Yairi, Anomaly Detection Using Autoencoders with Nonlinear Dimensionality Reduction, MLSDA "
    "2014; sizes: Baur et al., Autoencoders for unsupervised anomaly segmentation in brain MR images: A comparative "
    "study, Medical Image Analysis 69, 2021",
    config=_config,
    load=_load,
    presets={
        "smoke": {"image_size": 32, "batch_size": 8, "epochs": 5},
        # Epochs are ours: theirs end when the error of held-out normals no longer falls.
        "paper": {
            "image_size": 128,
            "width": 32,
            "latent": 128,
            "batch_size": 128,
            "epochs": 100,
            "learning_rate": 1e-4,
        },
    },
    resources="two CPU cores for a minute at 64 px; a GPU for the preset paper on large sets",
    maps=True,
    package="baselines.ae",
)
