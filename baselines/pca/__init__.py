"""Principal components of the pixels: the linear autoencoder that a deep one has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.pca.config import PcaConfig
    from baselines.pca.detector import PcaDetector


def _config() -> type[PcaConfig]:
    from baselines.pca.config import PcaConfig

    return PcaConfig


def _load() -> type[PcaDetector]:
    from baselines.pca.detector import PcaDetector

    return PcaDetector


SPEC = DetectorSpec(
    name="pca",
    version="1",
    summary="squared error of rebuilding an image from the principal components of normal images",
    citation="Jackson & Mudholkar, Control procedures for residuals associated with principal component analysis, "
    "Technometrics 21(3), 1979",
    config=_config,
    load=_load,
    presets={"smoke": {"components": 8}, "paper": {}},
    resources="a CPU core; 8 bytes a pixel of all normal images",
    stochastic=False,
    torch=False,
    package="baselines.pca",
)
