"""Deep SVDD as a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.deepsvdd.config import DeepSvddConfig
from baselines.deepsvdd.losses import anomaly_score
from baselines.deepsvdd.networks import build_encoder
from baselines.deepsvdd.train import Learned, train
from bench import Detector, RunContext
from bench.contracts import Images
from bench.torchkit import isolated_seed, load_module_arrays, module_arrays, require_fitted, score_in_batches


class DeepSvddDetector(Detector[DeepSvddConfig]):
    """Ruff et al., ICML 2018, with the one-class objective (not the soft boundary).

    Blocks are DCGAN's, not LeNet's (5 × 5 kernels with max pooling, leaky ReLU of slope 0.1), so the first one has no
    batch norm; the decoder of the pre-training has biases; images are in [-1, 1], without the global contrast
    normalisation per image.
    """

    _learned: Learned | None = None

    def fit(self, normal: Images, run: RunContext) -> Self:
        """Train on uint8 (n, s, s, c).

        Raises:
            DetectorError: training diverged, or collapsed to one point.

        """
        self.check_images(normal)
        with isolated_seed(run.seed) as shuffle:
            self._learned = train(self.config, normal, run, shuffle)
        return self

    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """Squared distance of the embedding to the centre, computed in float32: float64 (n,), at least 0."""
        self.check_images(images)
        learned = require_fitted(self._learned, self)
        encoder, centre = learned.encoder.to(run.device), learned.centre.to(run.device)

        def compute(x: Tensor) -> Tensor:
            return anomaly_score(encoder(x), centre)

        return score_in_batches(images, run, compute, self.config.batch_size)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """The encoder, and ``centre``: float32 (latent,)."""
        learned = require_fitted(self._learned, self)
        return {**module_arrays(learned.encoder, "encoder"), "centre": learned.centre.cpu().numpy().copy()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over encoder and centre.

        Raises:
            ValueError: a centre of another length than the embeddings.

        """
        encoder, centre = build_encoder(self.config, "cpu"), np.array(state["centre"], np.float32)
        if centre.shape != (self.config.latent,):
            raise ValueError(f"the centre has shape {centre.shape}; embeddings have {self.config.latent} numbers")
        load_module_arrays(encoder, state, "encoder")
        self._learned = Learned(encoder.eval(), torch.from_numpy(centre))
        return self
