"""The variational autoencoder as a detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.vae import losses
from baselines.vae.config import VaeConfig
from baselines.vae.networks import Vae, build
from baselines.vae.train import train
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


class VaeDetector(Detector[VaeConfig]):
    """Kingma & Welling, ICLR 2014, as Baur et al. 2021 use it for anomalies.

    Unlike in Baur et al. the blocks are DCGAN's, the likelihood is normal (they: absolute error), z is at its mean
    while scoring, so that an image has one score, and nothing is chosen by a validation set.
    """

    _network: ScoringCopy[Vae] | None = None

    def fit(self, normal: Images, run: RunContext) -> Self:
        """Train on uint8 (n, s, s, c).

        Raises:
            DetectorError: training diverged.

        """
        self.check_images(normal)
        with isolated_seed(run.seed) as draws:
            self._network = ScoringCopy(train(self.config, normal, run, draws))
        return self

    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """What the field ``score`` says, pixels in [-1, 1]: float64 (n,), at least 0."""
        self.check_images(images)
        network = require_fitted(self._network, self).on(run)

        def compute(x: Tensor) -> Tensor:
            with autocast(run):
                mean, log_variance = network.encode(x)
                again = network.decode(mean)
            if self.config.score == "reconstruction":
                return losses.reconstruction_score(x, again)
            return losses.negative_log_likelihood(x, again) + self.config.beta * losses.kl_divergence(
                mean, log_variance
            )

        return score_in_batches(images, run, compute, self.config.batch_size)

    def anomaly_maps(self, images: Images, run: RunContext) -> Iterator[NDArray[np.float32]]:
        """Squared error of each pixel with z at its mean, not smoothed: float32 (s, s) in [0, 4].

        The KL divergence belongs to no pixel, so maps are the same for both scores.
        """
        self.check_images(images)
        network = require_fitted(self._network, self).on(run)

        def compute(x: Tensor) -> Tensor:
            with autocast(run):
                again = network.decode(network.encode(x)[0])
            return losses.error_map(x, again)

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
