"""f-AnoGAN: a Wasserstein GAN of normal images, and an encoder into its latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.fanogan.config import FanoganConfig
    from baselines.fanogan.detector import FanoganDetector


def _config() -> type[FanoganConfig]:
    from baselines.fanogan.config import FanoganConfig

    return FanoganConfig


def _load() -> type[FanoganDetector]:
    from baselines.fanogan.detector import FanoganDetector

    return FanoganDetector


SPEC = DetectorSpec(
    name="fanogan",
    version="2",
    summary="f-AnoGAN: error of rebuilding an image, in pixels and critic features, through a GAN of normal images",
    citation="Schlegl, Seeböck, Waldstein, Langs, Schmidt-Erfurth, f-AnoGAN: Fast unsupervised anomaly detection with "
    "generative adversarial networks, Medical Image Analysis 54, 2019",
    config=_config,
    load=_load,
    presets={
        "smoke": {"width": 4, "gan_steps": 3, "encoder_steps": 10, "batch_size": 8},
        "paper": {"width": 64, "batch_size": 64, "gan_steps": 20000, "encoder_steps": 50000},
    },
    resources="two CPU cores for two minutes at 64 px; a GPU for the preset paper",
    package="baselines.fanogan",
)
