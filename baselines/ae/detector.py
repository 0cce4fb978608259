"""The autoencoder as a detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.ae.config import AeConfig
from baselines.ae.losses import anomaly_score, error_map
from baselines.ae.networks import Autoencoder, build
from baselines.ae.train import train
from bench import Detector, RunContext
from bench.contracts import Images
from bench.torchkit import (
    ScoringCopy,
    autocast,
    isolated_seed,
    load_module_arrays,
    maps_in_batches,
    module_arrays,
    require_fitted,
    score_in_batches,
)


class AeDetector(Detector[AeConfig]):
    """A plain convolutional autoencoder with a dense bottleneck (Sakurada & Yairi, MLSDA 2014, for images).

    Sizes of the preset ``paper`` follow the dense autoencoder of Baur et al. 2021. Unlike theirs it has DCGAN blocks
    (they: 5 × 5 kernels, at most 128 channels), a squared error (they: an absolute one) and no early stopping.
    """

    _network: ScoringCopy[Autoencoder] | None = None

    def fit(self, normal: Images, run: RunContext) -> Self:
        """Train on uint8 (n, s, s, c).

        Raises:
            DetectorError: training diverged.

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
            with autocast(run):
                again = network(x)
            return anomaly_score(x, again)

        return score_in_batches(images, run, compute, self.config.batch_size)

    def anomaly_maps(self, images: Images, run: RunContext) -> Iterator[NDArray[np.float32]]:
        """Squared error of each pixel, not smoothed: float32 (s, s) in [0, 4], whose mean is the score."""
        self.check_images(images)
        network = require_fitted(self._network, self).on(run)

        def compute(x: Tensor) -> Tensor:
            with autocast(run):
                again = network(x)
            return error_map(x, again)

        return maps_in_batches(images, run, compute, self.config.batch_size)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Encoder and decoder."""
        return module_arrays(require_fitted(self._network, self).network, "network")

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over encoder and decoder."""
        network = build(self.config, "cpu")
        load_module_arrays(network, state, "network")
        self._network = ScoringCopy(network)
        return self
