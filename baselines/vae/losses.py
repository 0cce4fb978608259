"""Loss and scores of the variational autoencoder (Kingma & Welling, ICLR 2014), one value for each image."""

from __future__ import annotations

from torch import Tensor


def error_map(x: Tensor, again: Tensor) -> Tensor:
    """Squared difference of image and reconstruction, its mean over channels: float32 (n, h, w)."""
    return (again.float() - x.float()).square().mean(dim=1)


def reconstruction_score(x: Tensor, again: Tensor) -> Tensor:
    """Mean squared error: float32 (n,)."""
    return error_map(x, again).mean(dim=(1, 2))


def negative_log_likelihood(x: Tensor, again: Tensor) -> Tensor:
    """-log N(x; x̂, 1) without its constant: half the sum of squared differences, float32 (n,)."""
    return 0.5 * (again.float() - x.float()).square().sum(dim=(1, 2, 3))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z | x) ‖ N(0, 1)), appendix B: ½ Σ (μ² + σ² - 1 - log σ²), float32 (n,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
