"""f-AnoGAN as a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.train import Networks, reconstruction_error, train
from bench import Detector, RunContext
from bench.contracts import Images
from bench.torchkit import isolated_seed, load_module_arrays, module_arrays, require_fitted, score_in_batches


class FanoganDetector(Detector[FanoganConfig]):
    """Schlegl et al., MedIA 2019. Unlike the released code it mirrors no test image and scores every one of them."""

    _networks: Networks | None = None

    def fit(self, normal: Images, run: RunContext) -> Self:
        """Train on uint8 (n, s, s, c).

        Raises:
            DetectorError: training diverged.

        """
        self.check_images(normal)
        with isolated_seed(run.seed) as draws:
            networks = Networks.build(self.config, run.device)
            train(self.config, networks, normal, run, draws)
        self._networks = _frozen(networks)
        return self

    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """Squared error in pixels plus κ times that in critic features: float64 (n,), at least 0."""
        self.check_images(images)
        networks = require_fitted(self._networks, self)
        for module in networks.named().values():
            module.to(run.device)

        def compute(x: Tensor) -> Tensor:
            return reconstruction_error(self.config, networks, x, run)

        return score_in_batches(images, run, compute, self.config.batch_size, concurrent=True)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """All three networks: the critic's features are part of the score."""
        networks = require_fitted(self._networks, self)
        arrays: dict[str, NDArray[Any]] = {}
        for name, module in networks.named().items():
            arrays |= module_arrays(module, name)
        return arrays

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over all three networks."""
        networks = Networks.build(self.config, "cpu")
        for name, module in networks.named().items():
            load_module_arrays(module, state, name)
        self._networks = _frozen(networks)
        return self


def _frozen(networks: Networks) -> Networks:
    for module in networks.named().values():
        module.eval().requires_grad_(False)
    return networks
