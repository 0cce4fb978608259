"""Self-supervision from normal images alone: predict a transformation, restore or locate what was corrupted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from salad_plugin.alterations import alter
from salad_plugin.config import Pretext
from salad_plugin.networks import TRANSFORMS

PATCHES = 4
IMAGE_WEIGHT = 0.3


@dataclass(frozen=True)
class Question:
    """What a pretext task asks about a batch.

    Attributes:
        images: (n, c, s, s), made from the batch.
        answer: int64 (n,) for ``transform``; how much each pixel was altered, (n, 1, s, s), for ``locate``; the batch
            itself for ``restore``.

    """

    images: Tensor
    answer: Tensor


def ask(task: Pretext, x: Tensor, generator: torch.Generator) -> Question | None:
    """Make the question of a pretext task about float32 (n, c, s, s) in [-1, 1]; None where there is no task."""
    if task == "none":
        return None
    if task == "transform":
        labels = torch.randint(TRANSFORMS, (len(x),), generator=generator).to(x.device)
        return Question(transform(x, labels), labels)
    if task == "restore":
        return Question(corrupt(x, generator), x)
    return Question(*alter(x, generator))


def locate_loss(maps: Tensor, judged: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the altered part, plus that of "was anything altered?", without which faint changes are ignored.

    Args:
        maps: logits (2n, h, w) of n images as they are, then of the same n altered.
        judged: logits (2n,).
        mask: float32 (n, 1, s, s) in [0, 1].

    """
    part = F.interpolate(mask, size=maps.shape[1:], mode="area")[:, 0]
    whole = torch.cat([torch.zeros(len(part)), torch.ones(len(part))]).to(judged.device)
    return F.binary_cross_entropy_with_logits(
        maps.float(), torch.cat([torch.zeros_like(part), part])
    ) + IMAGE_WEIGHT * F.binary_cross_entropy_with_logits(judged.float(), whole)


def most_altered(maps: Tensor) -> Tensor:
    """Mean of the highest tenth of the probabilities of logits (n, h, w): float32 (n,)."""
    probabilities = maps.float().sigmoid().flatten(1)
    return probabilities.topk(max(1, probabilities.shape[1] // 10), dim=1).values.mean(dim=1)


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
