"""Self-supervision from normal images alone: predict a transformation, or restore what was corrupted."""

from __future__ import annotations

import torch
from torch import Tensor

from salad_plugin.networks import TRANSFORMS

PATCHES = 4


def transform(x: Tensor, labels: Tensor) -> Tensor:
    """Apply to each image one of the eight symmetries of the square.

    Gidaris et al. 2018 predict the four rotations; flips are added here since both modalities have an orientation.

    Args:
        x: (n, c, s, s).
        labels: int64 (n,) in 0…7: quarter turns, plus 4 where mirrored before.

    """
    out = torch.empty_like(x)
    for label in range(TRANSFORMS):
        chosen = labels == label
        if chosen.any():
            out[chosen] = symmetry(x[chosen], label)
    return out


def symmetry(x: Tensor, label: int) -> Tensor:
    """One symmetry of the square applied to all images; see :func:`transform`."""
    mirrored = x.flip(3) if label >= 4 else x
    return torch.rot90(mirrored, label % 4, (2, 3))


def corrupt(x: Tensor, generator: torch.Generator) -> Tensor:
    """Corrupt each image: a non-linear intensity curve, shuffled pixels in one window, another one blanked.

    After Models Genesis (Zhou et al., MedIA 2021): non-linear intensity, local shuffling, in-painting.

    Args:
        x: float32 (n, c, s, s) in [-1, 1].
        generator: a CPU generator; all choices come from it.

    Returns:
        the same shape and range.

    """
    out = _bend_intensity(x, generator)
    for image in out:
        _shuffle_window(image, generator)
        _blank_window(image, generator)
    return out


def _bend_intensity(x: Tensor, generator: torch.Generator) -> Tensor:
    """Raise brightness in [0, 1] to a power between 1/2 and 2, another for each image."""
    exponent = torch.exp2(2 * torch.rand(len(x), generator=generator) - 1).to(x.device).view(-1, 1, 1, 1)
    return ((x + 1) / 2).clamp(0, 1).pow(exponent) * 2 - 1


def _window(image: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """Return a view of a random window whose sides are between two shares of the image's."""
    size = image.shape[-1]
    height, width = (int(size * (low + (high - low) * torch.rand((), generator=generator).item())) for _ in range(2))
    top = int(torch.randint(size - height + 1, (), generator=generator))
    left = int(torch.randint(size - width + 1, (), generator=generator))
    return image[:, top : top + height, left : left + width]


def _shuffle_window(image: Tensor, generator: torch.Generator) -> None:
    window = _window(image, generator, 0.1, 0.3)
    flat = window.reshape(len(window), -1)
    order = torch.randperm(flat.shape[1], generator=generator).to(image.device)
    window.copy_(flat[:, order].reshape(window.shape))


def _blank_window(image: Tensor, generator: torch.Generator) -> None:
    window = _window(image, generator, 0.15, 0.4)
    window.fill_(2 * torch.rand((), generator=generator).item() - 1)


def blanked_quarters(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Blank the image four times so that every pixel is blanked once: what restoring is scored on.

    Returns:
        four pairs (blanked images (n, c, s, s), mask (s, s) that is 1 where blanked), in a fixed pattern of cells.

    """
    size = x.shape[-1]
    rows = torch.arange(size, device=x.device) * PATCHES * 2 // size
    phase = (rows.view(-1, 1) % 2) * 2 + rows.view(1, -1) % 2
    masks = [(phase == number).to(x.dtype) for number in range(4)]
    return [(x * (1 - mask), mask) for mask in masks]
