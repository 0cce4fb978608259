"""SALAD (TMI 2021): self-supervised, translation-consistent features for anomaly detection.

Zhao, Li, He, Ma, Fang, Li, Zheng, "Anomaly Detection for Medical Images Using Self-Supervised and
Translation-Consistent Features", IEEE TMI 40(12):3641-3651, 2021. Not the MICCAI 2020 memory bank, nor the ICCV 2025
detector of logical anomalies, which share the name. README.md says what is published and what is reconstructed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    from salad_plugin.config import SaladConfig
    from salad_plugin.detector import SaladDetector


def _config() -> type[SaladConfig]:
    from salad_plugin.config import SaladConfig

    return SaladConfig


def _load() -> type[SaladDetector]:
    from salad_plugin.detector import SaladDetector

    return SaladDetector


SPEC = bench.DetectorSpec(
    name="salad",
    version="1",
    summary="SALAD (TMI 2021), a reconstruction: self-supervised features, consistent under translation to the latent "
    "space and back",
    citation="Zhao, Li, He, Ma, Fang, Li, Zheng, Anomaly Detection for Medical Images Using Self-Supervised and "
    "Translation-Consistent Features, IEEE TMI 40(12):3641-3651, 2021",
    config=_config,
    load=_load,
    presets={
        "smoke": {"epochs": 2, "width": 8, "latent": 16},
        # Sizes are inference: the paper's layer tables are not available to us.
        "paper": {"image_size": 128, "width": 64, "latent": 128, "epochs": 200, "batch_size": 64},
    },
    resources="two CPU cores for two minutes at 64 px; a GPU for the preset paper",
)


@bench.hookimpl
def bench_detectors() -> Sequence[bench.DetectorSpec]:
    """Offer SALAD."""
    return [SPEC]
