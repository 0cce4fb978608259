"""The blocks of DCGAN: sizes, what stands in which block, and how weights are drawn."""

import pytest
import torch
from torch import nn

from bench.torchkit import (
    DcganDecoder,
    DcganEncoder,
    Doubling,
    Halving,
    ToVector,
    dcgan_channels,
    dcgan_initialise,
    dcgan_mirror,
    dcgan_pyramid,
)


def test_channels_double_down_to_four_pixels() -> None:
    assert dcgan_channels(8, 16) == [16]
    assert dcgan_channels(64, 16) == [16, 32, 64, 128]


@pytest.mark.parametrize("size", [-8, 0, 1, 4, 48, 65])
def test_sides_that_do_not_halve_down_to_four_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        dcgan_channels(size, 16)


@pytest.mark.parametrize("size", [8, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_down_and_up(size: int, channels: int) -> None:
    x = torch.zeros(2, channels, size, size)
    features = dcgan_pyramid(channels, size, 4)(x)
    assert features.shape == (2, 4 * size // 8, 4, 4)
    assert dcgan_mirror(channels, size, 4)(features).shape == x.shape
    z = DcganEncoder(channels, size, 4, 10)(x)
    assert z.shape == (2, 10)
    assert DcganDecoder(channels, size, 4, 10)(z).shape == x.shape


def test_pyramid_block_by_block() -> None:
    kinds = [type(layer) for layer in dcgan_pyramid(1, 32, 4)]
    block = [Halving, nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds == [Halving, nn.LeakyReLU, *block, *block]
    for layer in dcgan_pyramid(1, 32, 4).modules():
        if isinstance(layer, nn.Conv2d):
            assert (layer.kernel_size, layer.stride, layer.padding, layer.bias) == ((4, 4), (2, 2), (1, 1), None)
        if isinstance(layer, nn.LeakyReLU):
            assert layer.negative_slope == 0.2


def test_mirror_block_by_block() -> None:
    kinds = [type(layer) for layer in dcgan_mirror(1, 32, 4)]
    block = [Doubling, nn.BatchNorm2d, nn.ReLU]
    assert kinds == [*block, *block, Doubling, nn.Tanh]
    assert all(layer.bias is None for layer in dcgan_mirror(1, 32, 4) if isinstance(layer, nn.ConvTranspose2d))


def test_without_affine_no_parameter_but_convolutions_is_left() -> None:
    encoder = DcganEncoder(1, 32, 4, 10, affine=False)
    names = {type(module) for module in encoder.modules() if list(module.parameters(recurse=False))}
    assert names == {Halving, ToVector}
    encoder.apply(dcgan_initialise)  # must not stumble over the missing weights


def test_initialise_draws_as_published() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = DcganDecoder(1, 64, 16, 100).apply(dcgan_initialise)
    for module in decoder.modules():
        if isinstance(module, nn.ConvTranspose2d):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.15)
            assert abs(float(module.weight.detach().mean())) < 0.005
        if isinstance(module, nn.BatchNorm2d):
            assert float(module.weight.detach().mean()) == pytest.approx(1.0, abs=0.02)
            assert 0.005 < float(module.weight.detach().std()) < 0.04
            assert not module.bias.any()
