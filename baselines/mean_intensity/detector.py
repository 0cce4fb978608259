"""The mean pixel value as an anomaly score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from baselines.mean_intensity.config import MeanIntensityConfig
from bench import Detector, NotFittedError, RunContext


class MeanIntensityDetector(Detector[MeanIntensityConfig]):
    """Brighter is more anomalous. It learns nothing; the direction is fixed, not chosen on any data."""

    _fitted = False

    def fit(self, normal: NDArray[np.uint8], run: RunContext) -> Self:  # noqa: ARG002
        """Learn nothing."""
        self.check_images(normal)
        self._fitted = True
        return self

    def anomaly_scores(self, images: NDArray[np.uint8], run: RunContext) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the mean of each image of uint8 (n, h, w, c): float64 (n,) in [0, 255]."""
        self.check_images(images)
        self._require_fitted()
        # Sums of bytes are exact in float64, so no image's mean depends on how many are averaged at a time.
        means: NDArray[np.float64] = images.mean(axis=(1, 2, 3), dtype=np.float64)
        return means

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Empty: there is nothing to remember."""
        self._require_fitted()
        return {}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:  # noqa: ARG002
        """Take over nothing."""
        self._fitted = True
        return self

    def _require_fitted(self) -> None:
        # Nothing is missing, but a detector that scores before fit would hide a harness that forgot to call it.
        if not self._fitted:
            raise NotFittedError("MeanIntensityDetector has not been fitted: call fit or load_state first")
