"""Networks of GANomaly (Akcay et al., ACCV 2018, section 3 and figure 2): DCGAN blocks without biases."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from baselines.ganomaly.config import GanomalyConfig


def _channels(config: GanomalyConfig) -> list[int]:
    """Channels after each halving of the side, down to 4 pixels: doubled every time."""
    return [config.width * 2**scale for scale in range(int(math.log2(config.image_size)) - 2)]


def _pyramid(config: GanomalyConfig) -> nn.Sequential:
    """Image (n, c, s, s) to features (n, channels, 4, 4). The first block has no batch norm."""
    channels = _channels(config)
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(zip([config.channels, *channels], channels, strict=False)):
        layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(after)] if number else []
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Image (n, c, s, s) in [-1, 1] to a latent vector (n, latent)."""

    def __init__(self, config: GanomalyConfig) -> None:
        super().__init__()
        self.pyramid = _pyramid(config)
        self.last = nn.Conv2d(_channels(config)[-1], config.latent, 4, 1, 0, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the latent vector."""
        z: Tensor = self.last(self.pyramid(x)).flatten(1)
        return z


class Decoder(nn.Module):
    """Latent vector (n, latent) to an image (n, c, s, s) in [-1, 1]."""

    def __init__(self, config: GanomalyConfig) -> None:
        super().__init__()
        channels = _channels(config)[::-1]
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip([config.latent, *channels], channels, strict=False)):
            stride, padding = (2, 1) if number else (1, 0)
            layers.append(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(
            *layers, nn.ConvTranspose2d(channels[-1], config.channels, 4, 2, 1, bias=False), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the image."""
        image: Tensor = self.layers(z[:, :, None, None])
        return image


class Generator(nn.Module):
    """Encoder, decoder and a second encoder of the same architecture with weights of its own."""

    def __init__(self, config: GanomalyConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.second_encoder = Encoder(config)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x̂ (n, c, s, s), z and ẑ (n, latent)."""
        z = self.encoder(x)
        fake = self.decoder(z)
        return fake, z, self.second_encoder(fake)


class Discriminator(nn.Module):
    """The encoder's architecture with a single output; its features are those before the last convolution."""

    def __init__(self, config: GanomalyConfig) -> None:
        super().__init__()
        self.pyramid = _pyramid(config)
        self.last = nn.Conv2d(_channels(config)[-1], 1, 4, 1, 0, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n,), whose sigmoid is the probability of being real, and features (n, channels, 4, 4)."""
        features = self.pyramid(x)
        return self.last(features).flatten(), features


def initialise(module: nn.Module) -> None:
    """N(0, 0.02) for convolutions, N(1, 0.02) for batch-norm weights, as published."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def build(config: GanomalyConfig, device: str) -> tuple[Generator, Discriminator]:
    """Build freshly initialised networks on a device, channels last in memory."""
    generator, discriminator = Generator(config), Discriminator(config)
    for module in (generator, discriminator):
        module.apply(initialise).to(device).to(memory_format=torch.channels_last)
    return generator, discriminator
