"""Loss, map and score of the autoencoder: the squared error, averaged over more or less."""

from __future__ import annotations

from torch import Tensor


def error_map(x: Tensor, again: Tensor) -> Tensor:
    """Squared difference of image and reconstruction, its mean over channels: float32 (n, h, w)."""
    return (again.float() - x.float()).square().mean(dim=1)


def reconstruction(x: Tensor, again: Tensor) -> Tensor:
    """Mean squared error over a batch of images (n, c, h, w). A scalar."""
    return error_map(x, again).mean()


def anomaly_score(x: Tensor, again: Tensor) -> Tensor:
    """Mean squared error of each image: float32 (n,)."""
    return error_map(x, again).mean(dim=(1, 2))
