"""GANomaly as a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.ganomaly.config import GanomalyConfig
from baselines.ganomaly.losses import anomaly_score
from baselines.ganomaly.networks import Generator, build
from baselines.ganomaly.train import train
from bench import Detector, RunContext
from bench.contracts import Images
from bench.torchkit import (
    ScoringCopy,
    autocast,
    isolated_seed,
    load_module_arrays,
    module_arrays,
    require_fitted,
    score_in_batches,
)


class GanomalyDetector(Detector[GanomalyConfig]):
    """Akcay et al., ACCV 2018.

    Unlike the released code it scores with batch norm in evaluation mode, keeps the weights of the last epoch, and
    rescales nothing over the test set.
    """

    _generator: ScoringCopy[Generator] | None = None

    def fit(self, normal: Images, run: RunContext) -> Self:
        """Train on uint8 (n, s, s, c).

        Raises:
            DetectorError: training diverged.

        """
        self.check_images(normal)
        with isolated_seed(run.seed) as shuffle:
            self._generator = ScoringCopy(train(self.config, normal, run, shuffle))
        return self

    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """Mean squared difference of z and ẑ: float64 (n,), at least 0."""
        self.check_images(images)
        generator = require_fitted(self._generator, self).on(run)

        def compute(x: Tensor) -> Tensor:
            with autocast(run):
                _, z, again = generator(x)
            return anomaly_score(z, again)

        return score_in_batches(images, run, compute, self.config.batch_size)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """The generator; the discriminator takes no part in scoring."""
        return module_arrays(require_fitted(self._generator, self).network, "generator")

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over the generator."""
        generator, _ = build(self.config, "cpu")
        load_module_arrays(generator, state, "generator")
        self._generator = ScoringCopy(generator)
        return self
