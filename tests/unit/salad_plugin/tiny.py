"""The smallest SALAD: every loss and every score term is in it, whatever the defaults are."""

from typing import Any

import torch

from salad_plugin.config import SaladConfig
from salad_plugin.networks import Networks

LOSSES = ("pixel", "ssim", "consistency", "center", "image_adversarial", "latent_adversarial", "pretext")

_TINY = {
    "image_size": 32,
    "width": 4,
    "latent": 8,
    "steps": 10,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "held_out": 0.25,
    "pixel_weight": 1.0,
    "ssim_weight": 0.5,
    "consistency_weight": 0.2,
    "center_weight": 0.1,
    "cycle_weight": 0.0,
    "image_adversarial_weight": 0.03,
    "latent_adversarial_weight": 0.02,
    "pretext": "locate",
    "pretext_weight": 0.7,
    "score_terms": ("consistency", "center", "ssim", "pretext"),
}


def tiny(**changes: Any) -> SaladConfig:
    return SaladConfig.model_validate({**_TINY, **changes})


def built(config: SaladConfig, seed: int = 0) -> Networks:
    torch.manual_seed(seed)
    return Networks.build(config, "cpu")


def picture(n: int = 4, channels: int = 1, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Images with a texture, float32 (n, channels, size, size) in [-1, 1], whose extremes are reached."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, channels, size, size, generator=generator) * 2 - 1
    x[:, :, 0, 0], x[:, :, 0, 1] = -1, 1
    return x


def buffers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}
