"""Losses and score of Deep SVDD (Ruff et al., ICML 2018), and how its centre is chosen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def reconstruction(x: Tensor, again: Tensor) -> Tensor:
    """Mean squared error of the autoencoder in pre-training. A scalar."""
    return F.mse_loss(again.float(), x.float())


def anomaly_score(embeddings: Tensor, centre: Tensor) -> Tensor:
    """Equation 5: ‖φ(x) - c‖² of embeddings (n, latent), float32 (n,)."""
    return (embeddings.float() - centre).square().sum(dim=1)


def one_class(embeddings: Tensor, centre: Tensor) -> Tensor:
    """First term of equation 4, the mean squared distance; the second one is the optimizer's weight decay. A scalar."""
    return anomaly_score(embeddings, centre).mean()


def choose_centre(embeddings: Tensor, margin: float) -> Tensor:
    """Mean of the first embeddings (n, latent), section 3.3, with no coordinate closer to 0 than ``margin``.

    Weights of zero reach a centre of zero (proposition 1), coordinate by coordinate. Float32 (latent,).
    """
    mean = embeddings.float().mean(dim=0)
    moved = torch.where(mean < 0, -margin, margin)
    return torch.where(mean.abs() < margin, moved, mean)


def relative_spread(embeddings: Tensor, centre: Tensor) -> float:
    """Root mean squared distance of embeddings (n, latent) to their own mean, in lengths of the centre."""
    # In float64: the mean of equal float32 numbers can differ from them.
    precise = embeddings.double()
    around = (precise - precise.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    return float(around / centre.double().norm().clamp_min(torch.finfo(torch.float32).tiny))
