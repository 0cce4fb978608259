"""The layers of f-AnoGAN against the plain mathematics: values, gradients, and gradients of gradients."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.fanogan import losses
from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.layers import BatchNormReLU, LayerNormReLU, convolve, convolve_and_halve, double_and_convolve
from baselines.fanogan.networks import Critic, Generator, ResidualDown, ResidualUp

TINY = FanoganConfig(image_size=32, width=4, latent=16)


def plain_down(block: ResidualDown, x: Tensor) -> Tensor:
    def norm(layer: nn.Module, given: Tensor) -> Tensor:
        return F.relu(F.layer_norm(given, given.shape[1:]) * layer.weight[:, None, None] + layer.bias[:, None, None])

    y = F.conv2d(norm(block.norm1, x), block.conv1.weight, padding=1)
    y = F.conv2d(norm(block.norm2, y), block.conv2.weight, block.conv2.bias, padding=1)
    return F.avg_pool2d(y, 2) + F.avg_pool2d(F.conv2d(x, block.shortcut.weight, block.shortcut.bias), 2)


def plain_critic(critic: Critic, x: Tensor) -> Tensor:
    x = F.conv2d(x, critic.pyramid.first.weight, critic.pyramid.first.bias, padding=1)
    for block in critic.pyramid.blocks:
        x = plain_down(block, x)
    return critic.last(x.flatten(1)).flatten()


def plain_up(block: ResidualUp, x: Tensor) -> Tensor:
    def norm(layer: nn.BatchNorm2d, given: Tensor) -> Tensor:
        return F.relu(F.batch_norm(given, None, None, layer.weight, layer.bias, training=True))

    y = F.conv2d(F.interpolate(norm(block.norm1, x), scale_factor=2.0), block.conv1.weight, padding=1)
    y = F.conv2d(norm(block.norm2, y), block.conv2.weight, block.conv2.bias, padding=1)
    return y + F.conv2d(F.interpolate(x, scale_factor=2.0), block.shortcut.weight, block.shortcut.bias)


def double(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(True)


def same_with_gradients(ours: Callable[..., Tensor], plain: Callable[..., Tensor], *inputs: Tensor) -> None:
    mine, expected = ours(*inputs), plain(*inputs)
    torch.testing.assert_close(mine, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(mine, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


sizes = st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))


@settings(max_examples=30, deadline=None)
@given(sizes)
def test_one_convolution_for_two_operations(sizes: tuple[int, ...]) -> None:
    n, before, after, rows, columns, seed = sizes
    weight, bias = double(after, before, 3, 3, seed=seed), double(after, seed=seed)
    same_with_gradients(
        convolve_and_halve,
        lambda x, w, b: F.avg_pool2d(F.conv2d(x, w, b, padding=1), 2),
        double(n, before, 2 * rows, 2 * columns, seed=seed + 1),
        weight,
        bias,
    )
    same_with_gradients(
        double_and_convolve,
        lambda x, w: F.conv2d(F.interpolate(x, scale_factor=2.0), w, padding=1),
        double(n, before, rows, columns, seed=seed + 1),
        weight,
    )
    same_with_gradients(
        convolve,
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
        double(n, before, rows, columns, seed=seed + 1),
        weight,
        bias,
    )


@settings(max_examples=30, deadline=None)
@given(sizes)
def test_layer_norm_is_torchs_twice_differentiated(sizes: tuple[int, ...]) -> None:
    n, channels, wide, rows, columns, seed = sizes
    channels += 15 * (wide - 1)  # either side of where the kernels change
    layer = LayerNormReLU(channels).double()
    with torch.no_grad():
        layer.weight.copy_(double(channels, seed=seed))
        layer.bias.copy_(double(channels, seed=seed + 1))
    x = double(n, channels, rows + 1, columns, seed=seed + 2)
    upstream, direction = double(*x.shape, seed=seed + 3), double(*x.shape, seed=seed + 4).detach()

    def plain(x: Tensor) -> Tensor:
        normalised = F.layer_norm(x, x.shape[1:])
        return F.relu(normalised * layer.weight[:, None, None] + layer.bias[:, None, None])

    inputs = (x, layer.weight, layer.bias)
    same_with_gradients(lambda x, *_: layer(x), lambda x, *_: plain(x), *inputs)
    slopes = [torch.autograd.grad(f(x), x, upstream, create_graph=True)[0] for f in (layer, plain)]
    torch.testing.assert_close(*slopes)
    again = [torch.autograd.grad(slope, (x, upstream, layer.weight), direction) for slope in slopes]
    torch.testing.assert_close(*again, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_penalty_and_its_gradients_are_those_of_the_plain_critic(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    critic = Critic(TINY).to(dtype)
    real, fake = (torch.randn(3, 1, 32, 32, dtype=dtype) for _ in range(2))
    mix = torch.rand(3, 1, 1, 1, dtype=dtype)
    found = []
    for forward in (critic, lambda x: plain_critic(critic, x)):
        critic.zero_grad()
        total = forward(fake).mean() + losses.gradient_penalty(forward, real, fake, mix)
        total.backward()
        found.append([total, *(parameter.grad for parameter in critic.parameters())])
    # ReLUs within rounding of 0 may go either way, so float32 is held to its usual precision only.
    torch.testing.assert_close(*found, **({"rtol": 2e-3, "atol": 1e-5} if dtype is torch.float32 else {}))


def test_doubling_block_is_the_plain_one() -> None:
    block = ResidualUp(3, 2).double()
    same_with_gradients(
        lambda x, *_: block(x), lambda x, *_: plain_up(block, x), double(2, 3, 4, 4), *block.parameters()
    )


def test_batch_norm_relu_is_both() -> None:
    layer, plain = BatchNormReLU(3), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(layer(x), plain(x))
    assert (layer.running_mean == plain[0].running_mean).all()


def test_bfloat16_stays_close_and_is_used() -> None:
    torch.manual_seed(0)
    critic, generator = Critic(TINY), Generator(TINY)
    fake, real = generator(torch.randn(4, 16)).detach(), torch.randn(4, 1, 32, 32)
    totals = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            values = critic(torch.cat([fake, real]))
            totals.append(losses.gradient_penalty(critic, real, fake, torch.rand(4, 1, 1, 1) * 0 + 0.5))
        assert values.dtype == (torch.bfloat16 if enabled else torch.float32)
    assert totals[1].item() == pytest.approx(totals[0].item(), rel=0.03)


def test_no_weight_gradient_while_the_gradient_of_images_is_taken() -> None:
    x, weight = double(1, 2, 4, 4), double(2, 2, 3, 3)
    slope, missing = torch.autograd.grad(
        convolve(x, weight).square().sum(), (x, weight), create_graph=True, allow_unused=True
    )
    assert missing is None
    assert torch.autograd.grad(slope.square().sum(), weight)[0].abs().sum() > 0
