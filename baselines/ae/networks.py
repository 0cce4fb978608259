"""Network of the autoencoder: DCGAN blocks down to a vector and up again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.ae.config import AeConfig
from bench.torchkit import DcganDecoder, DcganEncoder, dcgan_initialise


class Autoencoder(nn.Module):
    """Image (n, c, s, s) in [-1, 1] to its reconstruction, of the same shape and range."""

    def __init__(self, config: AeConfig) -> None:
        super().__init__()
        sizes = (config.channels, config.image_size, config.width, config.latent)
        self.encoder, self.decoder = DcganEncoder(*sizes), DcganDecoder(*sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction."""
        again: Tensor = self.decoder(self.encoder(x))
        return again


def build(config: AeConfig, device: str) -> Autoencoder:
    """Build a freshly initialised network on a device, channels last in memory."""
    network = Autoencoder(config).apply(dcgan_initialise).to(device)
    return network.to(memory_format=torch.channels_last)
