"""Networks of MemAE (Gong et al., ICCV 2019, section 3): encoder, memory, decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.memae.config import MemaeConfig
from bench.torchkit import dcgan_channels, dcgan_initialise, dcgan_mirror, dcgan_pyramid

EPSILON = 1e-12


def hard_shrink(weights: Tensor, threshold: float) -> Tensor:
    """Equation 7: what is above the threshold stays, the rest is 0, written with a ReLU so that gradients pass."""
    return F.relu(weights - threshold) * weights / ((weights - threshold).abs() + EPSILON)


class Memory(nn.Module):
    """N items (N, c), each a feature of normal images, that queries are put together from (section 3.3).

    Call it in float32: weights are about 1 / N, and so is the threshold that they are compared with.
    """

    def __init__(self, items: int, features: int, shrinkage: float, *, cosine: bool = True) -> None:
        super().__init__()
        self.cosine = cosine
        self.threshold = shrinkage / items
        # As released: uniform in ± 1 / √c.
        self.items = nn.Parameter(torch.empty(items, features).uniform_(-(features**-0.5), features**-0.5))

    def address(self, queries: Tensor) -> Tensor:
        """Queries (m, c) to weights (m, N) ≥ 0, which add up to 1 unless all were shrunk to 0."""
        if self.cosine:
            similarity = F.normalize(queries, dim=1) @ F.normalize(self.items, dim=1).T  # equation 5
        else:
            similarity = queries @ self.items.T
        weights = similarity.softmax(dim=1)  # equation 4
        if self.threshold == 0:
            return weights
        return F.normalize(hard_shrink(weights, self.threshold), p=1.0, dim=1, eps=EPSILON)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, c, h, w), each position a query, to remembered ones (n, c, h, w) and weights (n · h · w, N)."""
        n, c, h, w = features.shape
        weights = self.address(features.permute(0, 2, 3, 1).reshape(-1, c))
        remembered = weights @ self.items  # equation 3
        return remembered.reshape(n, h, w, c).permute(0, 3, 1, 2), weights


class MemoryAutoencoder(nn.Module):
    """Encoder to features (n, channels, 4, 4), a memory of such features, and a decoder that sees nothing else."""

    def __init__(self, config: MemaeConfig) -> None:
        super().__init__()
        self.encoder = dcgan_pyramid(config.channels, config.image_size, config.width)
        features = dcgan_channels(config.image_size, config.width)[-1]
        self.memory = Memory(config.items, features, config.shrinkage, cosine=config.similarity == "cosine")
        self.decoder = dcgan_mirror(config.channels, config.image_size, config.width)


def build(config: MemaeConfig, device: str) -> MemoryAutoencoder:
    """Build freshly initialised networks on a device, channels last in memory."""
    network = MemoryAutoencoder(config).apply(dcgan_initialise).to(device)
    return network.to(memory_format=torch.channels_last)
