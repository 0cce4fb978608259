"""k nearest neighbours in the feature space of a frozen network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.knn.config import KnnConfig
from bench import Detector, RunContext
from bench.torchkit import Backbone, load_backbone, require_fitted, score_in_batches

_STAGES = (-3, -2, -1)


def pooled_features(backbone: Backbone, images: Tensor) -> Tensor:
    """Average each stage's features over the image and put the stages side by side: (n, 3, h, w) to (n, d)."""
    return torch.cat([stage.mean(dim=(2, 3)) for stage in backbone(images)], dim=1)


def mean_nearest_distance(queries: Tensor, bank: Tensor, k: int) -> Tensor:
    """Mean Euclidean distance from each query (n, d) to its k nearest rows of ``bank`` (m, d): (n,)."""
    # Differences, not the expanded square, which cancels: an image of the bank is at distance 0 from itself.
    distances = torch.cdist(queries, bank, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(min(k, len(bank)), dim=1, largest=False).values.mean(dim=1)


class KnnDetector(Detector[KnnConfig]):
    """Mean Euclidean distance to the k nearest normal images, on average-pooled features of the last three stages.

    After Bergman, Cohen and Hoshen (2020), section 3, with distances in place of their squares (as in Angiulli and
    Pizzuti, PKDD 2002) and three stages in place of the last. As there, features are neither L2-normalised nor
    whitened. All in float32, whatever the run's precision: rounding to bfloat16 would reorder close scores.
    """

    _bank: NDArray[np.float32] | None = None
    _backbone: Backbone | None = None

    def fit(self, normal: NDArray[np.uint8], run: RunContext) -> Self:
        """Remember the features of uint8 (n, h, w, 3)."""
        self.check_images(normal)
        backbone = self._network(run)
        features = score_in_batches(normal, run, lambda batch: pooled_features(backbone, batch), phase="fit")
        self._bank = features.astype(np.float32)
        return self

    def anomaly_scores(self, images: NDArray[np.uint8], run: RunContext) -> NDArray[np.float64]:
        """Return the mean distance of each image of uint8 (n, h, w, 3) to its nearest normals: float64 (n,), ≥ 0."""
        self.check_images(images)
        bank = torch.from_numpy(require_fitted(self._bank, self)).to(run.device)
        backbone = self._network(run)

        def distance(batch: Tensor) -> Tensor:
            return mean_nearest_distance(pooled_features(backbone, batch), bank, self.config.k)

        return score_in_batches(images, run, distance)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """``features``: float32 (n, d). The network's weights are not learned here, so they are not in it."""
        return {"features": require_fitted(self._bank, self)}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over the features."""
        self._bank = np.array(state["features"], np.float32)
        return self

    def _network(self, run: RunContext) -> Backbone:
        if self._backbone is None:
            self._backbone = load_backbone(self.config.backbone, run.device, _STAGES)
        return self._backbone.to(run.device)
