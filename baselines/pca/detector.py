"""Reconstruction error of a linear autoencoder with an exact solution: principal component analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from baselines.pca.config import PcaConfig
from bench import Detector, NotFittedError, RunContext

Floats = NDArray[np.float64]


def principal_axes(centred: Floats, components: int) -> Floats:
    """Return the leading right singular vectors of a centred matrix, the strongest first.

    They come from the eigenvectors of the smaller of its two Gram matrices: exact, deterministic, and quick for a few
    thousand rows or columns. Directions in which the rows do not vary are left out.

    Args:
        centred: float64 (n, d).
        components: how many at most.

    Returns:
        float64 (k, d) with orthonormal rows, k ≤ components.

    """
    few_rows = len(centred) <= centred.shape[1]
    gram = centred @ centred.T if few_rows else centred.T @ centred
    size = len(gram)
    variances, vectors = eigh(gram, subset_by_index=(max(size - components, 0), size - 1))
    # A Gram matrix squares the condition number: what lies below this is rounding, not variance.
    spanned = variances > 1e-10 * max(float(np.trace(gram)), np.finfo(np.float64).tiny)
    axes = vectors[:, spanned]
    if few_rows:
        axes = centred.T @ axes / np.sqrt(variances[spanned])
    return np.ascontiguousarray(axes.T[::-1], np.float64)


class PcaDetector(Detector[PcaConfig]):
    """Mean squared residual of an image off the subspace of normal images, pixels in [0, 1].

    The Q statistic of Jackson and Mudholkar (1979), divided by the number of pixels.
    """

    _mean: Floats | None = None
    _axes: Floats | None = None

    def fit(self, normal: NDArray[np.uint8], run: RunContext) -> Self:
        """Find the mean image and the principal axes of uint8 (n, h, w, c)."""
        self.check_images(normal)
        pixels = np.reshape(normal, (len(normal), -1)) / 255.0
        self._mean = pixels.mean(axis=0)
        pixels -= self._mean
        self._axes = principal_axes(pixels, self.config.components)
        run.progress("fit", 1, 1)
        return self

    def anomaly_scores(self, images: NDArray[np.uint8], run: RunContext) -> NDArray[np.float64]:
        """Return the mean squared reconstruction error of uint8 (n, h, w, c): float64 (n,), at least 0."""
        self.check_images(images)
        mean, axes = self._learned()
        scores = np.empty(len(images))
        # One at a time: a matrix product's rounding depends on how many rows it has, and so would the scores.
        for index, image in enumerate(images):
            offset = image.ravel() / 255.0 - mean
            residual = offset - (axes @ offset) @ axes
            scores[index] = np.mean(residual * residual)
            run.progress("score", index + 1, len(images))
        return scores

    def state(self) -> Mapping[str, NDArray[Any]]:
        """``mean``: float64 (d,); ``axes``: float64 (k, d), d = h·w·c."""
        mean, axes = self._learned()
        return {"mean": mean, "axes": axes}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over mean and axes."""
        self._mean, self._axes = np.array(state["mean"], np.float64), np.array(state["axes"], np.float64)
        return self

    def _learned(self) -> tuple[Floats, Floats]:
        if self._mean is None or self._axes is None:
            raise NotFittedError("PcaDetector has learned nothing yet: call fit or load_state first")
        return self._mean, self._axes
