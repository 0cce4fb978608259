"""Networks of f-AnoGAN (Schlegl et al., MedIA 2019): the residual WGAN-GP of Gulrajani et al. 2017 at 64 px.

Other sizes have a block more or less.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.layers import BatchNormReLU, LayerNormReLU, convolve, convolve_and_halve, double_and_convolve

Norm = type[nn.Module]


def _blocks(config: FanoganConfig) -> int:
    """Halvings between the image and 4 pixels."""
    return int(math.log2(config.image_size)) - 2


def _generator_channels(config: FanoganConfig) -> list[int]:
    """Channels from 4 pixels to full size; at 64 px and width 64: 512, 512, 256, 128, 64."""
    blocks = _blocks(config)
    return [config.width * min(8, 2**scale) for scale in (blocks - 1, *range(blocks - 1, -1, -1))]


def _critic_channels(config: FanoganConfig) -> list[int]:
    """Channels from full size to 4 pixels; at 64 px and width 64: 64, 128, 256, 512, 512."""
    return [config.width * min(8, 2**scale) for scale in range(_blocks(config))] + [
        config.width * min(8, 2 ** (_blocks(config) - 1))
    ]


class ResidualUp(nn.Module):
    """Double the side: norm, ReLU, upsample, two 3 × 3 convolutions, beside an upsampled 1 × 1 shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = BatchNormReLU(before), BatchNormReLU(after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, 2h, 2w)."""
        y = self.norm2(double_and_convolve(self.norm1(x), self.conv1.weight))
        y = self.conv2(y)
        # A 1 × 1 convolution and repeating pixels commute; this order takes a quarter of the work.
        total: Tensor = y + F.interpolate(self.shortcut(x), scale_factor=2.0)
        return total


class ResidualDown(nn.Module):
    """Halve the side: norm, ReLU, two 3 × 3 convolutions, average, beside an averaged 1 × 1 shortcut."""

    def __init__(self, before: int, after: int, norm: Norm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(before), norm(before)
        self.conv1 = nn.Conv2d(before, before, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(before, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, h/2, w/2)."""
        y = self.norm2(convolve(self.norm1(x), self.conv1.weight))
        y = convolve_and_halve(y, self.conv2.weight, self.conv2.bias)
        return y + convolve(F.avg_pool2d(x, 2), self.shortcut.weight, self.shortcut.bias, padding=0)


class Generator(nn.Module):
    """Latent vector (n, latent) to an image (n, c, s, s) in [-1, 1]."""

    def __init__(self, config: FanoganConfig) -> None:
        super().__init__()
        channels = _generator_channels(config)
        self._first = channels[0]
        self.from_latent = nn.Linear(config.latent, 16 * channels[0])
        pairs = pairwise(channels)
        self.blocks = nn.Sequential(*(ResidualUp(before, after) for before, after in pairs))
        self.norm = BatchNormReLU(channels[-1])
        self.last = nn.Conv2d(channels[-1], config.channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Return the image."""
        x = self.blocks(self.from_latent(z).view(-1, self._first, 4, 4))
        image: Tensor = self.last(self.norm(x))
        return torch.tanh(image)


class Pyramid(nn.Module):
    """Image (n, c, s, s) to a flat feature vector: 8,192 values at 64 px and width 64."""

    def __init__(self, config: FanoganConfig, norm: Norm) -> None:
        super().__init__()
        channels = _critic_channels(config)
        self.first = nn.Conv2d(config.channels, channels[0], 3, padding=1)
        pairs = pairwise(channels)
        self.blocks = nn.Sequential(*(ResidualDown(before, after, norm) for before, after in pairs))
        self.features = 16 * channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, (n, features)."""
        features: Tensor = self.blocks(convolve(x, self.first.weight, self.first.bias)).flatten(1)
        return features


class Critic(nn.Module):
    """Image (n, c, s, s) to a value (n,), and the features that it comes from; layer norm throughout."""

    def __init__(self, config: FanoganConfig) -> None:
        super().__init__()
        self.pyramid = Pyramid(config, LayerNormReLU)
        self.last = nn.Linear(self.pyramid.features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the value; higher is more like a normal image."""
        value: Tensor = self.last(self.pyramid(x)).flatten()
        return value


class Encoder(nn.Module):
    """Image (n, c, s, s) to a latent vector (n, latent): the critic's architecture with batch norm."""

    def __init__(self, config: FanoganConfig) -> None:
        super().__init__()
        self.pyramid = Pyramid(config, BatchNormReLU)
        self.last = nn.Linear(self.pyramid.features, config.latent)
        self.tanh = config.encoder_tanh

    def forward(self, x: Tensor) -> Tensor:
        """Return the latent vector."""
        z: Tensor = self.last(self.pyramid(x))
        return torch.tanh(z) if self.tanh else z


def place(module: nn.Module, device: str) -> None:
    """He initialisation of convolutions, as in the WGAN-GP code; onto the device, channels last in memory."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    module.to(device).to(memory_format=torch.channels_last)
