"""MemAE as a detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.memae.config import MemaeConfig
from baselines.memae.losses import anomaly_score, error_map
from baselines.memae.networks import MemoryAutoencoder, build
from baselines.memae.train import reconstruct, train
from bench import Detector, RunContext
from bench.contracts import Images
from bench.torchkit import (
    ScoringCopy,
    isolated_seed,
    load_module_arrays,
    maps_in_batches,
    module_arrays,
    require_fitted,
    score_in_batches,
)


class MemaeDetector(Detector[MemaeConfig]):
    """Gong et al., ICCV 2019.

    Similarity is the paper's cosine by default, where the released code has the inner product (field ``similarity``).
    Encoder and decoder are DCGAN's: kernels of 4 (published: 3), leaky ReLU while encoding, tanh at the end, and 4 × 4
    queries an image whatever its size (published for CIFAR-10: four halvings, to 2 × 2).
    """

    _network: ScoringCopy[MemoryAutoencoder] | None = None

    def fit(self, normal: Images, run: RunContext) -> Self:
        """Train on uint8 (n, s, s, c).

        Raises:
            DetectorError: training diverged, or the memory was never used.

        """
        self.check_images(normal)
        with isolated_seed(run.seed) as shuffle:
            self._network = ScoringCopy(train(self.config, normal, run, shuffle))
        return self

    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """Mean squared error of the reconstruction, pixels in [-1, 1]: float64 (n,) in [0, 4]."""
        self.check_images(images)
        network = require_fitted(self._network, self).on(run)

        def compute(x: Tensor) -> Tensor:
            again, _ = reconstruct(network, x, run)
            return anomaly_score(x, again)

        return score_in_batches(images, run, compute, self.config.batch_size)

    def anomaly_maps(self, images: Images, run: RunContext) -> Iterator[NDArray[np.float32]]:
        """Squared error of each pixel, not smoothed: float32 (s, s) in [0, 4], whose mean is the score."""
        self.check_images(images)
        network = require_fitted(self._network, self).on(run)

        def compute(x: Tensor) -> Tensor:
            again, _ = reconstruct(network, x, run)
            return error_map(x, again)

        return maps_in_batches(images, run, compute, self.config.batch_size)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Encoder, memory and decoder."""
        return module_arrays(require_fitted(self._network, self).network, "network")

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over encoder, memory and decoder."""
        network = build(self.config, "cpu")
        load_module_arrays(network, state, "network")
        self._network = ScoringCopy(network)
        return self
