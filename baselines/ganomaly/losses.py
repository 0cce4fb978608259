"""Losses and score of GANomaly (Akcay et al., ACCV 2018, equations 1 to 5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def adversarial(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """Equation 1: squared difference of the discriminator's features, its mean over all of them."""
    return F.mse_loss(fake_features.float(), real_features.float())


def contextual(x: Tensor, fake: Tensor) -> Tensor:
    """Equation 2: mean absolute difference of image and reconstruction."""
    return F.l1_loss(fake.float(), x.float())


def encoder(z: Tensor, again: Tensor) -> Tensor:
    """Equation 3: mean squared difference of the latent vectors of image and reconstruction."""
    return F.mse_loss(again.float(), z.float())


def discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half the cross-entropy on real images plus half of that on reconstructions."""
    real = F.binary_cross_entropy_with_logits(real_logits.float(), torch.ones_like(real_logits, dtype=torch.float32))
    fake = F.binary_cross_entropy_with_logits(fake_logits.float(), torch.zeros_like(fake_logits, dtype=torch.float32))
    return 0.5 * (real + fake)


def anomaly_score(z: Tensor, again: Tensor) -> Tensor:
    """Equation 5 as released: mean over the latent vector of (z − ẑ)², float32 (n,)."""
    return (z.float() - again.float()).square().mean(dim=1)
