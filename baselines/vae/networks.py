"""Networks of the variational autoencoder: DCGAN blocks around a normal latent vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.vae.config import VaeConfig
from bench.torchkit import DcganDecoder, DcganEncoder, dcgan_initialise


class Vae(nn.Module):
    """Recognition model q(z | x), a normal distribution with diagonal covariance, and decoder p(x | z)."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.encoder = DcganEncoder(config.channels, config.image_size, config.width, 2 * config.latent)
        self.decoder = DcganDecoder(config.channels, config.image_size, config.width, config.latent)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Image (n, c, s, s) in [-1, 1] to mean and logarithm of the variance of z, float32 (n, latent) each."""
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """z (n, latent) to the mean of p(x | z), (n, c, s, s) in [-1, 1]."""
        image: Tensor = self.decoder(z)
        return image


def sample(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Reparameterised draw from q(z | x): mean + σ · noise (Kingma & Welling 2014, section 2.4)."""
    return mean + torch.exp(0.5 * log_variance) * noise


def build(config: VaeConfig, device: str) -> Vae:
    """Build freshly initialised networks on a device, channels last in memory."""
    network = Vae(config).apply(dcgan_initialise).to(device)
    return network.to(memory_format=torch.channels_last)
