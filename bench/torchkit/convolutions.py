"""DCGAN's four kinds of convolution, each by the fastest way that a CPU has for its size.

All have 4 × 4 kernels and, until batch norm is folded in, no bias. :class:`Halving` and :class:`Doubling` have stride 2
and padding 1; :class:`ToVector` and :class:`FromVector` connect 4 × 4 features with a vector. They are torch's own
modules with another ``forward``: names, shapes and initialisation of weights are the same, and so are values and
gradients, up to rounding.

oneDNN's convolutions reach the processor's full speed in the middle of such a network, and a tenth to a half of it at
both ends: where an image of one channel is made or differentiated, where bfloat16 features have 4 pixels a side, and
where they have one. There the convolution is one matrix product of weights and *columns* (the 16 pixels below each
place of the kernel). Other devices have kernels for all sizes, and use them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FEW_CHANNELS = 4
_SMALL_SIDE = 4


class Halving(nn.Conv2d):
    """Features (n, before, 2h, 2w) to (n, after, h, w)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 4, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        n, before, height, width = x.shape
        route = _route(x, before, min(height, width) // 2)
        if route is None or height % 2 or width % 2:
            return super().forward(x)
        columns = _apart(x) if route == "planes" else _columns(x)
        result = F.linear(columns, self._matrix(route), self.bias)
        return result.view(n, height // 2, width // 2, -1).permute(0, 3, 1, 2)

    def _matrix(self, route: str) -> Tensor:
        return self.weight.flatten(1) if route == "planes" else self.weight.permute(0, 2, 3, 1).flatten(1)


class Doubling(nn.ConvTranspose2d):
    """Features (n, before, h, w) to (n, after, 2h, 2w)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 4, 2, 1, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve, transposed."""
        n, before, height, width = x.shape
        after = self.out_channels
        route = _route(x, after, min(height, width))
        if route is None or output_size is not None:
            return super().forward(x, output_size)
        pixels = x.permute(0, 2, 3, 1).reshape(-1, before)
        if route == "planes":
            columns = F.linear(self.weight.flatten(1).t(), pixels)
        else:
            columns = pixels @ self.weight.permute(0, 2, 3, 1).flatten(1)
        add_up = _Together if route == "planes" else _Overlap
        return _add_bias(add_up.apply(columns, (n, after, height, width)), self.bias)


class ToVector(nn.Conv2d):
    """Features (n, before, 4, 4) to a vector (n, after, 1, 1)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve: a matrix product, since the kernel covers all."""
        if x.shape[2:] != (4, 4):
            return super().forward(x)
        # Channels last, as both lie in memory: two views.
        flat, weight = x.permute(0, 2, 3, 1).flatten(1), self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(flat, weight, self.bias)[:, :, None, None]


class FromVector(nn.ConvTranspose2d):
    """A vector (n, before, 1, 1) to features (n, after, 4, 4)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 4, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve, transposed: a matrix product."""
        if x.shape[2:] != (1, 1) or output_size is not None:
            return super().forward(x, output_size)
        flat = x.flatten(1) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        return _add_bias(flat.view(len(x), 4, 4, self.out_channels).permute(0, 3, 1, 2), self.bias)


def _add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """There is one where batch norm has been folded in."""
    return x if bias is None else x + bias.to(x.dtype)[:, None, None]


def _route(x: Tensor, image_channels: int, small_side: int) -> str | None:
    """``planes`` for an image of few channels, ``columns`` for small bfloat16 features, None for torch's own way."""
    if x.device.type != "cpu":
        return None
    if image_channels <= _FEW_CHANNELS:
        return "planes"
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return "columns" if dtype == torch.bfloat16 and small_side <= _SMALL_SIDE else None


# Weights take part in matrix products only, so that autograd leaves out the gradients of those that are not asked for.


def _columns(x: Tensor) -> Tensor:
    """The 16 pixels below each place of the kernel: (n, c, 2h, 2w) to (n · h · w, 4 · 4 · c)."""
    result: Tensor = _Columns.apply(x)
    return result


def _apart(x: Tensor) -> Tensor:
    """The same for few channels: (n · h · w, c · 4 · 4), where each column lies in memory as an image."""
    result: Tensor = _Apart.apply(x)
    return result.t()


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        ctx.shape = n, c, height // 2, width // 2
        padded = x.new_zeros(n, height + 2, width + 2, c)
        padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
        image, row, column, _ = padded.stride()
        strides = image, 2 * row, 2 * column, row, column, 1
        return padded.as_strided((n, height // 2, width // 2, 4, 4, c), strides).reshape(-1, 16 * c)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Overlap.apply(gradient, ctx.shape)  # type: ignore[no-any-return]


class _Overlap(torch.autograd.Function):
    """The transpose of :class:`_Columns`: add each column to the 16 pixels that it belongs to."""

    @staticmethod
    def forward(_: Any, columns: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
        n, c, h, w = shape
        # A kernel of 4 with stride 2 is two halves, each of which tiles the image without overlap.
        halves = columns.view(n, h, w, 2, 2, 2, 2, c)
        padded = columns.new_zeros(n, h + 1, 2, w + 1, 2, c)
        for down in (0, 1):
            for right in (0, 1):
                tile = halves[:, :, :, down, :, right].permute(0, 1, 3, 2, 4, 5)
                padded[:, down : down + h, :, right : right + w] += tile
        image = padded.view(n, 2 * h + 2, 2 * w + 2, c)[:, 1:-1, 1:-1]
        return image.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _columns(gradient), None


class _Apart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        h, w = height // 2, width // 2
        ctx.shape = n, c, h, w
        padded = F.pad(x, (1, 1, 1, 1)).contiguous()
        # Even and odd rows and columns apart, so that what follows copies whole rows.
        phases = padded.view(n, c, h + 1, 2, w + 1, 2).permute(1, 3, 5, 0, 2, 4).contiguous()
        columns = x.new_empty(c, 2, 2, 2, 2, n, h, w)
        for down in (0, 1):
            for right in (0, 1):
                columns[:, down, :, right] = phases[..., down : down + h, right : right + w]
        return columns.view(16 * c, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Together.apply(gradient, ctx.shape)  # type: ignore[no-any-return]


class _Together(torch.autograd.Function):
    """The transpose of :class:`_Apart`."""

    @staticmethod
    def forward(_: Any, columns: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
        n, c, h, w = shape
        halves = columns.reshape(c, 2, 2, 2, 2, n, h, w)
        phases = columns.new_zeros(c, 2, 2, n, h + 1, w + 1)
        for down in (0, 1):
            for right in (0, 1):
                phases[..., down : down + h, right : right + w] += halves[:, down, :, right]
        padded = phases.permute(3, 0, 4, 1, 5, 2).reshape(n, c, 2 * h + 2, 2 * w + 2)
        return padded[..., 1:-1, 1:-1].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Apart.apply(gradient), None
