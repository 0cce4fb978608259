"""The covariance of AUROCs measured on the same images, in O(k n log n)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.ranking import auroc_of_ranks, checked, midranks


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the AUROC of k scores of the same images, and the covariance of these AUROCs.

    With placement values V10 (the share of normal images that an anomalous image outscores, ties half) and V01 (the
    share of anomalous images that outscore a normal one), the covariance is S10 / m + S01 / n for m anomalous and n
    normal images, S10 and S01 being unbiased sample covariances.

    Args:
        labels: int8 (n,), 1 anomalous and 0 normal, at least two of each.
        scores: float64 (k, n), finite, higher is more anomalous.

    Returns:
        AUROCs float64 (k,) in [0, 1] and covariance float64 (k, k), symmetric, positive semi-definite.

    Raises:
        ValueError: a class with fewer than two images; see also :func:`bench.metrics.ranking.checked`.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988, section 2; the placement values from midranks as in Sun &
    Xu, IEEE Signal Processing Letters 2014, algorithm 2.

    """
    positive, values = checked(labels, scores, ndim=2)
    anomalous, normal = np.count_nonzero(positive), np.count_nonzero(~positive)
    if min(anomalous, normal) < 2:
        raise ValueError(f"a variance needs two images of each class, not {anomalous} anomalous and {normal} normal")
    areas = np.empty(len(values))
    v10, v01 = np.empty((len(values), anomalous)), np.empty((len(values), normal))
    for row, one in enumerate(values):
        ranks = midranks(one)
        areas[row] = auroc_of_ranks(ranks, positive)
        # A rank among all images less the rank within the own class is the number of the other class below.
        v10[row] = (ranks[positive] - midranks(one[positive])) / normal
        v01[row] = 1 - (ranks[~positive] - midranks(one[~positive])) / anomalous
    covariance = np.atleast_2d(np.cov(v10)) / anomalous + np.atleast_2d(np.cov(v01)) / normal
    return areas, covariance
