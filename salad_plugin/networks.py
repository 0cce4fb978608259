"""Encoders, decoder, pretext heads, and the discriminators of images and of latent vectors.

The layer tables are inference: DCGAN blocks, as in the GAN-based detectors that the paper compares with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.torchkit import Doubling, FromVector, Halving, ToVector, load_backbone
from salad_plugin.config import SaladConfig, SaladTimmConfig

TRANSFORMS = 8
_STAGES = (-4, -3, -2, -1)
_HEAD_WIDTH = 32
_STEM_WIDTH = 8


def _channels(config: SaladConfig, width: int) -> list[int]:
    """Channels after each halving down to 4 pixels: doubled at each, at most eight times the width."""
    return [width * min(2**scale, 8) for scale in range(int(math.log2(config.image_size)) - 2)]


class Encoder(nn.Module):
    """Image (n, c, s, s) in [-1, 1] to a latent vector (n, latent) and the features of every scale.

    Attributes:
        channels: of the features, finest scale (s / 2) first.

    """

    def __init__(self, config: SaladConfig) -> None:
        super().__init__()
        self.channels = _channels(config, config.width)
        # At full resolution, so that fine detail is still there when features are first compared.
        self.stem = nn.Sequential(nn.Conv2d(config.channels, _STEM_WIDTH, 3, padding=1), nn.LeakyReLU(0.2))
        self.stages = nn.ModuleList(_pyramid([_STEM_WIDTH, *self.channels]))
        self.to_latent = ToVector(self.channels[-1], config.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the latent vector and the features, finest scale first."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self.to_latent(x).flatten(1), features

    def learned(self) -> nn.Module:
        """What training changes: all of it."""
        return self


class BackboneEncoder(nn.Module):
    """The same on frozen features of a network that was trained on ImageNet, whose finest scale is s / 4."""

    def __init__(self, config: SaladTimmConfig, device: str) -> None:
        super().__init__()
        self.backbone = load_backbone(config.backbone, device, _STAGES)
        self.channels = list(self.backbone.channels)
        self.to_latent = ToVector(self.channels[-1], config.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the latent vector and the features, finest scale first."""
        features = self.backbone(x)
        return self.to_latent(F.adaptive_avg_pool2d(features[-1], 4)).flatten(1), features

    def learned(self) -> nn.Module:
        """What training changes: the step from features to the latent vector."""
        return self.to_latent


def _pyramid(channels: list[int]) -> list[nn.Sequential]:
    """DCGAN's blocks, from one number of channels to the next at half the side; an image's has no batch norm."""
    blocks = []
    for before, after in pairwise(channels):
        norm = [nn.BatchNorm2d(after)] if before > 3 else []
        blocks.append(nn.Sequential(Halving(before, after), *norm, nn.LeakyReLU(0.2)))
    return blocks


class Decoder(nn.Module):
    """Latent vector (n, latent) to an image (n, c, s, s) in [-1, 1]: the encoder backwards."""

    def __init__(self, config: SaladConfig) -> None:
        super().__init__()
        channels = _channels(config, config.width)[::-1]
        layers: list[nn.Module] = [FromVector(config.latent, channels[0]), nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for before, after in pairwise(channels):
            layers += [Doubling(before, after), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, Doubling(channels[-1], config.channels), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Return the image."""
        image: Tensor = self.layers(z[:, :, None, None])
        return image


class LocateHead(nn.Module):
    """Features of several scales to logits of what was altered: a map at the finest of them, and one for the image."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(given, _HEAD_WIDTH, 1) for given in channels])
        self.map = nn.Sequential(
            nn.Conv2d(_HEAD_WIDTH, _HEAD_WIDTH, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(_HEAD_WIDTH, 1, 1)
        )
        self.image = nn.Linear(channels[-1], 1)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits (n, h, w) and (n,)."""
        features = features[-len(self.lateral) :]
        size = features[0].shape[2:]
        scales = [F.interpolate(layer(given), size=size) for layer, given in zip(self.lateral, features, strict=True)]
        joined = F.leaky_relu(torch.stack(scales).sum(dim=0), 0.2)
        return self.map(joined)[:, 0], self.image(features[-1].mean(dim=(2, 3)))[:, 0]


def image_discriminator(config: SaladConfig) -> nn.Module:
    """Image (n, c, s, s) to a value (n, 1): half the encoder's width, so that it does not run ahead."""
    channels = _channels(config, max(config.width // 2, 4))
    return nn.Sequential(*_pyramid([config.channels, *channels]), ToVector(channels[-1], 1), nn.Flatten())


def latent_discriminator(config: SaladConfig) -> nn.Module:
    """Latent vector (n, latent) to a value (n, 1), as in an adversarial autoencoder (Makhzani et al. 2015)."""
    return nn.Sequential(
        nn.Linear(config.latent, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
    )


@dataclass(frozen=True)
class Networks:
    """All networks of a configuration; those whose term has no weight do not exist."""

    encoder: Encoder | BackboneEncoder
    decoder: Decoder
    image_discriminator: nn.Module | None
    latent_discriminator: nn.Module | None
    transform_head: nn.Linear | None
    locate_head: LocateHead | None

    @classmethod
    def build(cls, config: SaladConfig, device: str) -> Networks:
        """Build freshly initialised networks on a device."""
        encoder = BackboneEncoder(config, device) if isinstance(config, SaladTimmConfig) else Encoder(config)
        coarse = encoder.channels if isinstance(encoder, BackboneEncoder) else encoder.channels[1:]
        networks = cls(
            encoder,
            Decoder(config),
            image_discriminator(config) if config.image_adversarial_weight else None,
            latent_discriminator(config) if config.latent_adversarial_weight else None,
            nn.Linear(config.latent, TRANSFORMS) if config.task == "transform" else None,
            LocateHead(coarse) if config.task == "locate" else None,
        )
        for module in (*networks.learned().values(), *networks.discriminators()):
            module.to(device).to(memory_format=torch.channels_last)
        return networks

    def learned(self) -> dict[str, nn.Module]:
        """What is learned and takes part in scoring, by name."""
        heads = {"transform_head": self.transform_head, "locate_head": self.locate_head}
        present = {name: head for name, head in heads.items() if head is not None}
        return {"encoder": self.encoder.learned(), "decoder": self.decoder, **present}

    def trained(self) -> dict[str, nn.Module]:
        """All that training changes, by name."""
        judges = {"image_discriminator": self.image_discriminator, "latent_discriminator": self.latent_discriminator}
        return {**self.learned(), **{name: judge for name, judge in judges.items() if judge is not None}}

    def translation(self) -> list[nn.Parameter]:
        """Parameters of encoder, decoder and pretext head, which learn together."""
        return [parameter for module in self.learned().values() for parameter in module.parameters()]

    def discriminators(self) -> list[nn.Module]:
        """The discriminators that exist."""
        return [module for module in (self.image_discriminator, self.latent_discriminator) if module is not None]
