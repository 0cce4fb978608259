"""Deep SVDD: normal images are mapped close to one point, and others less so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.deepsvdd.config import DeepSvddConfig
    from baselines.deepsvdd.detector import DeepSvddDetector


def _config() -> type[DeepSvddConfig]:
    from baselines.deepsvdd.config import DeepSvddConfig

    return DeepSvddConfig


def _load() -> type[DeepSvddDetector]:
    from baselines.deepsvdd.detector import DeepSvddDetector

    return DeepSvddDetector


SPEC = DetectorSpec(
    name="deepsvdd",
    version="1",
    summary="Deep SVDD, one-class objective: squared distance of an image's embedding to the centre of normal ones",
    citation="Ruff, Vandermeulen, Goernitz, Deecke, Siddiqui, Binder, Mueller, Kloft, Deep One-Class Classification, "
    "ICML 2018",
    config=_config,
    load=_load,
    presets={
        "smoke": {
            "image_size": 32,
            "batch_size": 8,
            "pretrain_epochs": 3,
            "pretrain_fine_epochs": 1,
            "epochs": 2,
            "fine_epochs": 1,
        },
        "paper": {
            "image_size": 32,
            "width": 32,
            "latent": 128,
            "batch_size": 200,
            "pretrain_learning_rate": 1e-4,
            "pretrain_epochs": 250,
            "pretrain_fine_epochs": 100,
            "epochs": 150,
            "fine_epochs": 100,
        },
    },
    resources="two CPU cores for a minute at 64 px; a GPU for the preset paper on large sets",
    package="baselines.deepsvdd",
)
