"""A variational autoencoder, judged by its reconstruction error or by its bound on the likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.vae.config import VaeConfig
    from baselines.vae.detector import VaeDetector


def _config() -> type[VaeConfig]:
    from baselines.vae.config import VaeConfig

    return VaeConfig


def _load() -> type[VaeDetector]:
    from baselines.vae.detector import VaeDetector

    return VaeDetector


SPEC = DetectorSpec(
    name="vae",
    version="2",
    summary="variational autoencoder: reconstruction error with the latent vector at its mean, or the negative ELBO",
    citation="Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014; score and sizes: Baur et al., Autoencoders "
    "for unsupervised anomaly segmentation in brain MR images: A comparative study, Medical Image Analysis 69, 2021",
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
    package="baselines.vae",
)
