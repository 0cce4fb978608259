"""Layers of f-AnoGAN that can be differentiated twice at full speed, as the critic's gradient penalty needs.

What they compute is the textbook's: a convolution, a convolution followed by averaging 2 × 2 pixels, one preceded by
repeating pixels, and layer norm with a ReLU. Two things make them fast:

* Averaging and repeating are linear, and so can be done to the kernel: a 3 × 3 convolution with 2 × 2 averages is *one*
  4 × 4 convolution with stride 2, and its transpose serves for repeated pixels. Both take 4/9 of the multiplications.
* torch differentiates the gradient of a convolution by a convolution whose kernel is as large as the image, and that of
  layer norm by a dozen operations in float32. Here every derivative is a convolution of the usual sizes, or a
  closed form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EPS = 1e-5
_VECTOR = 16  # below as many channels torch's group norm computes number by number


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 1) -> Tensor:
    """Convolve (n, c, h, w) with a kernel (d, c, k, k), in autocast's precision where there is one.

    The gradient can be differentiated again. While it is (``create_graph=True``), the gradient of ``weight`` is left
    out: a gradient penalty differentiates with respect to images alone, and the weights' part is half of the work.
    """
    result: Tensor = _Convolution.apply(*_in_precision(x, weight, bias), stride, padding, False)
    return result


def convolve_and_halve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3 × 3 convolution, then means of 2 × 2 pixels: (n, c, 2h, 2w) to (n, d, h, w), see :func:`convolve`."""
    return convolve(x, _summed_over_shifts(weight) / 4, bias, stride=2)


def double_and_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Repeat each pixel twice along both sides, then a 3 × 3 convolution: (n, c, h, w) to (n, d, 2h, 2w)."""
    # The transpose of convolving with the mirrored kernel and adding up 2 × 2 pixels.
    kernel = _summed_over_shifts(weight.flip(2, 3)).transpose(0, 1)
    result: Tensor = _Convolution.apply(*_in_precision(x, kernel, None), 2, 1, True)
    return result


class LayerNormReLU(nn.Module):
    """Normalise each image over all channels and positions, then ReLU.

    Batch norm would tie the images of a gradient penalty together. Twice differentiable, like :func:`convolve`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to the same shape and precision."""
        # Only the kernels of the CPU add up bfloat16 in float32.
        given = (x if x.device.type == "cpu" else x.float()).contiguous(memory_format=torch.channels_last)
        result: Tensor = _LayerNormReLU.apply(given, self.weight, self.bias)
        return result.to(x.dtype)


class BatchNormReLU(nn.BatchNorm2d):
    """Batch norm, then ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to the same shape."""
        return F.relu(super().forward(x), inplace=True)


def _summed_over_shifts(weight: Tensor) -> Tensor:
    """Sum of a 3 × 3 kernel at its four places in a 4 × 4 one."""
    rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


def _in_precision(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    weight = weight.to(dtype, memory_format=torch.channels_last)
    return x.to(dtype), weight, None if bias is None else bias.to(dtype)


class _Convolution(torch.autograd.Function):
    """A convolution, or with ``transposed`` its transpose. Sizes must divide, so that the two undo one another."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, transposed: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, transposed
        result: Tensor = torch.ops.aten.convolution(x, weight, bias, *_sides(stride, padding), transposed, [0, 0], 1)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, transposed = ctx.geometry
        need_x, *needed = ctx.needs_input_grad[:3]
        to_x = _Convolution.apply(gradient, weight, None, stride, padding, not transposed) if need_x else None
        # Gradients are enabled in here where this backward pass is to be differentiated.
        if torch.is_grad_enabled() or not any(needed):
            return to_x, *[None] * 5
        channels = [weight.shape[1 if transposed else 0]]
        _, to_weight, to_bias = torch.ops.aten.convolution_backward(
            gradient, x, weight, channels, *_sides(stride, padding), transposed, [0, 0], 1, [False, *needed]
        )
        return to_x, to_weight, to_bias, None, None, None


def _sides(stride: int, padding: int) -> tuple[list[int], list[int], list[int]]:
    """Stride, padding and dilation, as torch's operators take them."""
    return [stride] * 2, [padding] * 2, [1, 1]


class _LayerNormReLU(torch.autograd.Function):
    """max(0, weight · x̂ + bias), with x̂ = (x − mean) · rstd of each image.

    As a group norm of one group, or for few channels as the layer norm of a flat image, whose kernel is fast for any.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if c < _VECTOR:
            sizes = _repeated(weight, x), _repeated(bias, x)
            y, mean, rstd = torch.ops.aten.native_layer_norm(_flat(x), [c * h * w], *sizes, _EPS)
            y = _image(y, x)
        else:
            y, mean, rstd = torch.ops.aten.native_group_norm(x, weight, bias, n, c, h * w, 1, _EPS)
        result: Tensor = y.relu_()
        ctx.save_for_backward(x, weight, result, mean, rstd)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _LayerNormReLUGradient.apply(gradient, x, weight, y, mean, rstd), None, None
        passed = torch.ops.aten.threshold_backward(gradient, y, 0)
        n, c, h, w = x.shape
        if c >= _VECTOR:
            gradients: tuple[Tensor | None, ...] = torch.ops.aten.native_group_norm_backward(
                passed, x, mean, rstd, weight, n, c, h * w, 1, [True] * 3
            )
            return gradients
        weights = _repeated(weight, x)
        to_x, to_weight, to_bias = torch.ops.aten.native_layer_norm_backward(
            _flat(passed), _flat(x), [c * h * w], mean, rstd, weights, weights, [True] * 3
        )
        return _image(to_x, x), to_weight.view(-1, c).sum(dim=0), to_bias.view(-1, c).sum(dim=0)


class _LayerNormReLUGradient(torch.autograd.Function):
    """P(g) = rstd (g − mean g − x̂ mean(g x̂)), the gradient of x, where g = weight · gradient where y > 0."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, y: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
        passed = torch.ops.aten.threshold_backward(gradient, y, 0)
        to_x, g_x = _project(passed * weight.to(passed.dtype)[:, None, None], x, mean, rstd)
        ctx.save_for_backward(passed, x, weight, y, mean, rstd, to_x, g_x)
        return to_x

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        """Differentiate ⟨v, P(g)⟩. P is symmetric, so that of g is P(v).

        That of x is −rstd (x̂ mean(v P(g)) + P(g) mean(v x̂) + P(v) mean(g x̂)), written as a · x + b + … below.
        """
        passed, x, weight, y, mean, rstd, to_x, g_x = ctx.saved_tensors
        of_v, v_x = _project(v, x, mean, rstd)
        mean, rstd = mean.view(-1, 1), rstd.view(-1, 1)
        a = -(_flat(v) * _flat(to_x)).mean(dim=1, dtype=mean.dtype)[:, None] * rstd.square()
        # Not addcmul, which is ten times slower in bfloat16.
        again_x = (x * _each(a, x)).add_(_each(-a * mean, x))
        again_x.add_(to_x * _each(-rstd * v_x, x)).add_(of_v * _each(-rstd * g_x, x))
        again_weight = (of_v * passed).sum(dim=(0, 2, 3), dtype=weight.dtype)
        again_gradient = torch.ops.aten.threshold_backward(of_v.mul_(weight.to(x.dtype)[:, None, None]), y, 0)
        return again_gradient, again_x, again_weight, None, None, None


def _project(g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    """P(g), like ``x``, and mean(g x̂) of each image, (n, 1)."""
    n, c, h, w = x.shape
    size = c * h * w
    # Each image as one channel of a single one, so that the kernel's sums for a weight are those of an image.
    to_x, g_x, _ = torch.ops.aten.native_group_norm_backward(
        _flat(g),
        _flat(x),
        mean.view(1, n),
        rstd.view(1, n),
        torch.ones_like(mean).view(n),
        1,
        n,
        size,
        n,
        [True, True, False],
    )
    return _image(to_x, x), (g_x / size).view(n, 1).to(mean.dtype)


def _flat(x: Tensor) -> Tensor:
    """(n, c, h, w), channels last in memory, as (n, h · w · c)."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1)


def _image(flat: Tensor, like: Tensor) -> Tensor:
    """The way back from :func:`_flat`."""
    n, c, h, w = like.shape
    return flat.view(n, h, w, c).permute(0, 3, 1, 2)


def _repeated(values: Tensor, x: Tensor) -> Tensor:
    """One value for each channel, for all of a flat image."""
    return values.repeat(x.shape[2] * x.shape[3])


def _each(values: Tensor, x: Tensor) -> Tensor:
    """One value for each image, to be broadcast over it."""
    return values.to(x.dtype).view(-1, 1, 1, 1)
