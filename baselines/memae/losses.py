"""Losses, map and score of MemAE (Gong et al., ICCV 2019, equations 8 to 10)."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-12


def error_map(x: Tensor, again: Tensor) -> Tensor:
    """Squared difference of image and reconstruction, its mean over channels: float32 (n, h, w)."""
    return (again.float() - x.float()).square().mean(dim=1)


def reconstruction(x: Tensor, again: Tensor) -> Tensor:
    """Equation 8 as released: the mean over pixels, where the paper writes their sum. A scalar."""
    return error_map(x, again).mean()


def entropy(weights: Tensor) -> Tensor:
    """Equation 9: -Σ w log w of addressing weights (m, N), its mean over the m queries, as released. A scalar."""
    return -(weights * torch.log(weights + EPSILON)).sum(dim=1).mean()


def anomaly_score(x: Tensor, again: Tensor) -> Tensor:
    """Mean squared error of each image: float32 (n,)."""
    return error_map(x, again).mean(dim=(1, 2))
