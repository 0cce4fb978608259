"""Encoder, decoder, and the discriminators of images and of latent vectors.

The layer tables are inference: DCGAN blocks, as in the GAN-based detectors that the paper compares with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from salad_plugin.config import SaladConfig

TRANSFORMS = 8


def _scales(image_size: int) -> int:
    """How often a side is halved on the way to 4 pixels."""
    return int(math.log2(image_size)) - 2


def _channels(width: int, scales: int) -> list[int]:
    """Channels after each halving: doubled at each, at most eight times the width."""
    return [width * min(2**scale, 8) for scale in range(scales)]


class Encoder(nn.Module):
    """Image (n, c, s, s) in [-1, 1] to a latent vector (n, latent) and the features of every scale."""

    def __init__(self, config: SaladConfig) -> None:
        super().__init__()
        channels = _channels(config.width, _scales(config.image_size))
        stages = []
        for number, (before, after) in enumerate(zip([config.channels, *channels], channels, strict=False)):
            convolution = nn.Conv2d(before, after, 4, 2, 1, bias=number == 0)
            norm = nn.BatchNorm2d(after) if number else nn.Identity()
            stages.append(nn.Sequential(convolution, norm, nn.LeakyReLU(0.2)))
        self.stages = nn.ModuleList(stages)
        self.to_latent = nn.Linear(channels[-1] * 16, config.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the latent vector and the features, finest scale first."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        latent: Tensor = self.to_latent(x.flatten(1))
        return latent, features


class Decoder(nn.Module):
    """Latent vector (n, latent) to an image (n, c, s, s) in [-1, 1]: the encoder backwards."""

    def __init__(self, config: SaladConfig) -> None:
        super().__init__()
        channels = _channels(config.width, _scales(config.image_size))[::-1]
        self._first = channels[0]
        self.from_latent = nn.Linear(config.latent, channels[0] * 16)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for before, after in pairwise(channels):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels[-1], config.channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Return the image."""
        image: Tensor = self.layers(self.from_latent(z).view(-1, self._first, 4, 4))
        return image


def image_discriminator(config: SaladConfig) -> nn.Module:
    """Image (n, c, s, s) to a value (n, 1): half the encoder's width, so that it does not run ahead."""
    channels = _channels(max(config.width // 2, 4), _scales(config.image_size))
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(zip([config.channels, *channels], channels, strict=False)):
        layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=number == 0))
        layers += [nn.BatchNorm2d(after)] * bool(number) + [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * 16, 1))


def latent_discriminator(config: SaladConfig) -> nn.Module:
    """Latent vector (n, latent) to a value (n, 1), as in an adversarial autoencoder (Makhzani et al. 2015)."""
    return nn.Sequential(
        nn.Linear(config.latent, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
    )


@dataclass(frozen=True)
class Networks:
    """All networks of a configuration; those whose term has no weight do not exist."""

    encoder: Encoder
    decoder: Decoder
    image_discriminator: nn.Module | None
    latent_discriminator: nn.Module | None
    transform_head: nn.Module | None

    @classmethod
    def build(cls, config: SaladConfig, device: str) -> Networks:
        """Build freshly initialised networks on a device."""
        networks = cls(
            Encoder(config),
            Decoder(config),
            image_discriminator(config) if config.image_adversarial_weight else None,
            latent_discriminator(config) if config.latent_adversarial_weight else None,
            nn.Linear(config.latent, TRANSFORMS) if config.predicts else None,
        )
        for module in (*networks.scoring().values(), *networks.discriminators()):
            module.apply(_initialise).to(device).to(memory_format=torch.channels_last)
        return networks

    def scoring(self) -> dict[str, nn.Module]:
        """The networks that scores come from, by name."""
        head = {"transform_head": self.transform_head} if self.transform_head is not None else {}
        return {"encoder": self.encoder, "decoder": self.decoder, **head}

    def translation(self) -> list[nn.Parameter]:
        """Parameters of the encoder, the decoder and the pretext head, which learn together."""
        return [parameter for module in self.scoring().values() for parameter in module.parameters()]

    def discriminators(self) -> list[nn.Module]:
        """The discriminators that exist."""
        return [module for module in (self.image_discriminator, self.latent_discriminator) if module is not None]


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) for convolutions, as DCGAN does; linear layers keep torch's own."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
