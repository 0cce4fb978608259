"""The convolutional blocks of DCGAN (Radford, Metz, Chintala, ICLR 2016) that many detectors are built from.

Each block halves or doubles the side of its features with a 4 × 4 convolution of stride 2 and padding 1, down to and up
from 4 pixels. Channels double with every halving. Nothing has a bias: batch norm has one of its own.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from bench.torchkit.convolutions import Doubling, FromVector, Halving, ToVector


def dcgan_channels(image_size: int, width: int) -> list[int]:
    """Channels after each halving of the side, from ``width`` after the first to those of the 4 × 4 features.

    Args:
        image_size: side in pixels, a power of two, at least 8.
        width: channels after the first halving.

    Raises:
        ValueError: a side that cannot be halved down to 4.

    """
    halvings = int(math.log2(image_size)) - 2 if image_size > 0 else 0
    if halvings < 1 or 4 * 2**halvings != image_size:
        raise ValueError(f"image_size {image_size} is no power of two from 8 on")
    return [width * 2**scale for scale in range(halvings)]


def dcgan_pyramid(channels: int, image_size: int, width: int, *, affine: bool = True) -> nn.Sequential:
    """Image (n, channels, s, s) to features (n, width · s / 8, 4, 4): convolution, batch norm, leaky ReLU of slope 0.2.

    The first block has no batch norm. ``affine=False`` takes weight and bias from the others, for detectors that
    must not have a bias anywhere.
    """
    after_each = dcgan_channels(image_size, width)
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(zip([channels, *after_each], after_each, strict=False)):
        layers.append(Halving(before, after))
        layers += [nn.BatchNorm2d(after, affine=affine)] if number else []
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers)


def dcgan_mirror(channels: int, image_size: int, width: int) -> nn.Sequential:
    """Features (n, width · s / 8, 4, 4) to an image (n, channels, s, s) in [-1, 1]: the pyramid the other way round.

    Transposed convolution, batch norm and ReLU; the last block has tanh alone.
    """
    *inner, first = dcgan_channels(image_size, width)
    layers: list[nn.Module] = []
    for before, after in zip([first, *inner[::-1]], inner[::-1], strict=False):
        layers += [Doubling(before, after), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, Doubling(width, channels), nn.Tanh())


class DcganEncoder(nn.Module):
    """Image (n, channels, s, s) in [-1, 1] to a vector (n, latent), which has no activation."""

    def __init__(self, channels: int, image_size: int, width: int, latent: int, *, affine: bool = True) -> None:
        super().__init__()
        self.pyramid = dcgan_pyramid(channels, image_size, width, affine=affine)
        self.last = ToVector(dcgan_channels(image_size, width)[-1], latent)

    def forward(self, x: Tensor) -> Tensor:
        """Return the vector."""
        z: Tensor = self.last(self.pyramid(x)).flatten(1)
        return z


class DcganDecoder(nn.Module):
    """Vector (n, latent) to an image (n, channels, s, s) in [-1, 1]."""

    def __init__(self, channels: int, image_size: int, width: int, latent: int) -> None:
        super().__init__()
        first = dcgan_channels(image_size, width)[-1]
        self.layers = nn.Sequential(
            FromVector(latent, first),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            *dcgan_mirror(channels, image_size, width),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the image."""
        image: Tensor = self.layers(z[:, :, None, None])
        return image


def dcgan_initialise(module: nn.Module) -> None:
    """Draw weights anew, as published: N(0, 0.02) for convolutions, N(1, 0.02) for batch norm. Use with ``apply``."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
