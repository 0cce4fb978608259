"""Losses and score of f-AnoGAN (Schlegl et al., MedIA 2019, sections 2.1 to 2.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Mean of (‖∇ critic‖ − 1)² at points between real and fake images.

    Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, equation 3.

    Args:
        critic: images to values (n,).
        real: float32 (n, c, s, s).
        fake: likewise, detached.
        mix: float32 (n, 1, 1, 1) in [0, 1], where between the two each point lies.

    Returns:
        a scalar that can be differentiated.

    """
    between = (real + mix * (fake - real)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.float().flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def reconstruction(x: Tensor, again: Tensor, features: Tensor, features_again: Tensor, kappa: float) -> Tensor:
    """MSE of the pixels + κ · MSE of the critic's features, per image: the encoder's loss and the anomaly score alike.

    Returns:
        float32 (n,).

    """
    pixels = (x.float() - again.float()).square().flatten(1).mean(dim=1)
    return pixels + kappa * (features.float() - features_again.float()).square().mean(dim=1)
