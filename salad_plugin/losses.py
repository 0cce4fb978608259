"""Structure similarity, center constraint and adversarial losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
COARSEST = 16
C1, C2 = 0.01**2, 0.03**2


def _gaussian_band(size: int, device: torch.device) -> Tensor:
    """Gaussian averages of a signal as a matrix: float32 (size − 10, size), each row summing to 1.

    On one channel a matrix product is several times faster than a convolution with an 11-wide kernel.
    """
    offsets = torch.arange(size, device=device) - torch.arange(size - WINDOW + 1, device=device).view(-1, 1)
    weights = torch.exp(-((offsets - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    weights = weights * ((offsets >= 0) & (offsets < WINDOW))
    return weights / weights.sum(dim=1, keepdim=True)


def _blur(images: Tensor) -> Tensor:
    """Separable Gaussian average without padding: (n, h, w) to (n, h − 10, w − 10)."""
    rows, columns = (_gaussian_band(size, images.device) for size in images.shape[1:])
    return rows @ images @ columns.T


def ssim_map(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity around each position of image pairs.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 2004: 11 × 11
    Gaussian window with σ = 1.5, K1 = 0.01, K2 = 0.03, valid positions only.

    Args:
        x: float32 (n, c, h, w) in [-1, 1]; mapped to [0, 1] here.
        y: likewise.

    Returns:
        float32 (n, c, h − 10, w − 10), 1 for equal images.

    """
    n, c, h, w = x.shape
    x, y = ((image.float().reshape(n * c, h, w) + 1) / 2 for image in (x, y))
    # One pass over all five moments keeps the small products busy.
    moments = _blur(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    mean_x, mean_y, square_x, square_y, product = moments
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)
    )
    return similarity.view(n, c, *similarity.shape[1:])


def ssim_scales(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity of image pairs at every scale, each half as fine as the one before, down to 16 pixels.

    As in Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003, whose
    weights of scales and products of terms are left out: speckle and ribs are compared at fine scales, the shape of a
    retina or lung at coarse ones.

    Returns:
        float32 (n, scales), 1 for equal images.

    """
    scales = []
    while True:
        scales.append(ssim_map(x, y).flatten(1).mean(dim=1))
        if min(x.shape[2:]) < 2 * COARSEST:
            return torch.stack(scales, dim=1)
        x, y = F.avg_pool2d(x.float(), 2), F.avg_pool2d(y.float(), 2)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each pair, over all but the first dimension: float32 (n,)."""
    return (a.float() - b.float()).square().flatten(1).mean(dim=1)


def guarded_center(mean: Tensor, margin: float = 0.1) -> Tensor:
    """Return the mean embedding of normals, (latent,), with no coordinate closer to 0 than ``margin``.

    A coordinate at 0 could be matched by weights of 0, the trivial solution (Ruff et al., "Deep One-Class
    Classification", ICML 2018, section 3.3 and their code).
    """
    near = mean.abs() < margin
    return torch.where(near, torch.where(mean < 0, -margin, margin), mean)


def fools(judged: Tensor) -> Tensor:
    """Least-squares loss of the one who is judged (Mao et al. 2017): steadier here than cross-entropy. Our choice."""
    return (judged.float() - 1).square().mean()


def tells_apart(real: Tensor, fake: Tensor) -> Tensor:
    """Least-squares loss of the discriminator."""
    return 0.5 * ((real.float() - 1).square().mean() + fake.float().square().mean())
