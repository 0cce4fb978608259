"""Altering a part of each image: what the pretext task ``locate`` asks for.

Made from normal images alone: no lesion is drawn. The kinds are those of CutPaste, of Poisson-blended patches and of
intensity changes in the literature on synthetic anomalies; the ranges are our own, chosen
once and not searched, but for the smallest window (RESEARCH.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class _Draw:
    """Random numbers for images on any device, from a generator on the CPU."""

    generator: torch.Generator
    like: Tensor

    def uniform(self, low: float, high: float) -> Tensor:
        """One number an image, (n, 1, 1, 1)."""
        drawn = torch.rand(len(self.like), 1, 1, 1, generator=self.generator) * (high - low) + low
        return drawn.to(self.like.device)

    def sign(self) -> Tensor:
        """-1 or 1 for each image, (n, 1, 1, 1)."""
        return (self.uniform(0, 1) < 0.5).float() * 2 - 1

    def offset(self, most: int) -> tuple[int, int]:
        """Whole pixels down and right, the same for all images."""
        down, right = torch.randint(-most, most + 1, (2,), generator=self.generator).tolist()
        return down, right


def alter(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Alter a part of each image in one of seven ways.

    Args:
        x: float32 (n, c, s, s) in [-1, 1].
        generator: a CPU generator; all choices come from it.

    Returns:
        images of the same shape and range, and float32 (n, 1, s, s) in [0, 1]: how much each pixel was altered.

    """
    mask = windows(x, generator)
    chosen = torch.randint(len(KINDS), (len(x),), generator=generator).to(x.device)
    altered = torch.empty_like(x)
    for number, kind in enumerate(KINDS):
        of_kind = chosen == number
        if of_kind.any():
            some = x[of_kind]
            altered[of_kind] = kind(some, mask[of_kind], _Draw(generator, some))
    # A warp follows its window already; mixing it with the image would show the image twice.
    mixed = torch.where((chosen == KINDS.index(_warp)).view(-1, 1, 1, 1), altered, x + mask * (altered - x))
    return mixed.clamp(-1, 1), mask


def windows(x: Tensor, generator: torch.Generator) -> Tensor:
    """One window an image, an ellipse or nearly a rectangle, turned, with an edge from hard to very soft.

    Returns:
        float32 (n, 1, s, s) in [0, 1].

    """
    draw, size = _Draw(generator, x), x.shape[-1]
    line = (torch.arange(size, device=x.device) + 0.5) / size
    down, right = line.view(1, 1, -1, 1) - draw.uniform(0.15, 0.85), line.view(1, 1, 1, -1) - draw.uniform(0.15, 0.85)
    # Three in ten are up to three times as large: haze covers a lung, a spot a small part of it.
    scale = 1 + 2 * (draw.uniform(0, 1) < 0.3)
    angle = draw.uniform(0, math.pi)
    along = (angle.cos() * right + angle.sin() * down) / (draw.uniform(0.03, 0.22) * scale)
    across = (angle.cos() * down - angle.sin() * right) / (draw.uniform(0.03, 0.22) * scale)
    power = torch.where(draw.uniform(0, 1) < 0.4, 8.0, 2.0)
    distance = (along.abs() ** power + across.abs() ** power) ** (1 / power)
    softness = torch.exp(draw.uniform(math.log(0.05), math.log(1.5)))
    return ((1 + softness / 2 - distance) / softness).clamp(0, 1)


def smooth(x: Tensor, sigma: float) -> Tensor:
    """Gaussian average of (n, c, h, w) with a standard deviation in pixels, mirrored at the border."""
    radius = min(math.ceil(2.5 * sigma), min(x.shape[2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2)).to(x.dtype)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    padded = F.pad(x, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel, groups=x.shape[1])
    return F.conv2d(rows, kernel.transpose(2, 3), groups=x.shape[1])


def _blend(x: Tensor, _mask: Tensor, draw: _Draw) -> Tensor:
    """Another image of the batch (the mirrored one, where there is no other), moved."""
    other = x.roll(1, 0) if len(x) > 1 else x.flip(3)
    return other.roll(draw.offset(x.shape[-1] // 4), (2, 3))


def _brightness(x: Tensor, _mask: Tensor, draw: _Draw) -> Tensor:
    return x + draw.sign() * draw.uniform(0.15, 0.6)


def _contrast(x: Tensor, _mask: Tensor, draw: _Draw) -> Tensor:
    """More often less than more, and a little brighter: as if something hazy lay before it."""
    local = smooth(x, 6 * x.shape[-1] / 64)
    factor = torch.where(draw.uniform(0, 1) < 0.7, draw.uniform(0.2, 0.8), draw.uniform(1.3, 2.0))
    return local + (x - local) * factor + draw.uniform(-0.1, 0.2)


def _blur(x: Tensor, _mask: Tensor, draw: _Draw) -> Tensor:
    sigma = float(draw.uniform(0.7, 2.0)[0]) * x.shape[-1] / 64
    return x + draw.uniform(0.3, 1.0) * (smooth(x, sigma) - x)


def _noise(x: Tensor, _mask: Tensor, draw: _Draw) -> Tensor:
    drawn = torch.randn(x.shape, generator=draw.generator).to(x.device)
    return x + draw.uniform(0.05, 0.2) * drawn


def _shift(x: Tensor, _mask: Tensor, draw: _Draw) -> Tensor:
    """The image itself, moved by up to an eighth of its side."""
    return x.roll(draw.offset(max(x.shape[-1] // 8, 1)), (2, 3))


def _warp(x: Tensor, mask: Tensor, draw: _Draw) -> Tensor:
    """Content of the window pushed aside by up to an eighth of the side, most in its middle."""
    line = (torch.arange(x.shape[-1], device=x.device) + 0.5) * 2 / x.shape[-1] - 1
    grid = torch.stack([line.expand(len(line), -1), line.view(-1, 1).expand(-1, len(line))], dim=-1)
    angle = draw.uniform(0, 2 * math.pi)
    push = draw.uniform(0.06, 0.25) * torch.cat([angle.cos(), angle.sin()], dim=-1)
    bulge = smooth(mask, 2 * x.shape[-1] / 64)[:, 0, :, :, None]
    return F.grid_sample(x, grid + bulge * push, padding_mode="reflection", align_corners=False)


KINDS: tuple[Callable[[Tensor, Tensor, _Draw], Tensor], ...] = (
    _blend,
    _brightness,
    _contrast,
    _blur,
    _noise,
    _shift,
    _warp,
)
