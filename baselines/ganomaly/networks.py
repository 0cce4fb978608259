"""Networks of GANomaly (Akcay et al., ACCV 2018, section 3 and figure 2): DCGAN blocks without biases."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.ganomaly.config import GanomalyConfig
from bench.torchkit import DcganDecoder, DcganEncoder, dcgan_initialise


def _encoder(config: GanomalyConfig, outputs: int) -> DcganEncoder:
    return DcganEncoder(config.channels, config.image_size, config.width, outputs)


class Generator(nn.Module):
    """Encoder, decoder and a second encoder of the same architecture with weights of its own."""

    def __init__(self, config: GanomalyConfig) -> None:
        super().__init__()
        self.encoder = _encoder(config, config.latent)
        self.decoder = DcganDecoder(config.channels, config.image_size, config.width, config.latent)
        self.second_encoder = _encoder(config, config.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x̂ (n, c, s, s), z and ẑ (n, latent)."""
        z = self.encoder(x)
        fake = self.decoder(z)
        return fake, z, self.second_encoder(fake)


class Discriminator(DcganEncoder):
    """The encoder's architecture with a single output; its features are those before the last convolution."""

    def __init__(self, config: GanomalyConfig) -> None:
        super().__init__(config.channels, config.image_size, config.width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return logits (n,), whose sigmoid is the probability of being real, and features (n, channels, 4, 4)."""
        features = self.pyramid(x)
        return self.last(features).flatten(), features


def build(config: GanomalyConfig, device: str) -> tuple[Generator, Discriminator]:
    """Build freshly initialised networks on a device, channels last in memory."""
    generator, discriminator = Generator(config), Discriminator(config)
    for module in (generator, discriminator):
        module.apply(dcgan_initialise).to(device).to(memory_format=torch.channels_last)
    return generator, discriminator
