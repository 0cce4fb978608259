"""Networks of Deep SVDD (Ruff et al., ICML 2018): an encoder without any bias, and a decoder for its pre-training.

With a bias in any layer, or with a bounded activation, the encoder could map every image onto the centre (propositions
2 and 3). So batch norm has neither weight nor bias of its own, and activations are leaky ReLUs, with none at the end.
"""

from __future__ import annotations

import torch

from baselines.deepsvdd.config import DeepSvddConfig
from bench.torchkit import DcganDecoder, DcganEncoder, dcgan_initialise


def build_encoder(config: DeepSvddConfig, device: str) -> DcganEncoder:
    """Image (n, c, s, s) in [-1, 1] to embeddings (n, latent); freshly initialised, channels last in memory."""
    encoder = DcganEncoder(config.channels, config.image_size, config.width, config.latent, affine=False)
    return encoder.apply(dcgan_initialise).to(device).to(memory_format=torch.channels_last)


def build_decoder(config: DeepSvddConfig, device: str) -> DcganDecoder:
    """Embeddings to images, for pre-training only; freshly initialised, channels last in memory."""
    decoder = DcganDecoder(config.channels, config.image_size, config.width, config.latent)
    return decoder.apply(dcgan_initialise).to(device).to(memory_format=torch.channels_last)
