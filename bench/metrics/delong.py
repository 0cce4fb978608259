"""The covariance of AUROCs measured on the same images, in O(k n log n)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.ranking import checked

Floats = NDArray[np.float64]


def delong(labels: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """Compute the AUROC of k scores of the same images, and the covariance of these AUROCs.

    With placement values V10 (the share of normal images that an anomalous image outscores, ties half) and V01 (the
    share of anomalous images that outscore a normal one), the covariance is S10 / m + S01 / n for m anomalous and n
    normal images, S10 and S01 being unbiased sample covariances. Images of one patient are alike; with ``clusters``
    the placement values are summed by patient first, and patients with images of both classes add a term. Where every
    patient has one image both are the same.

    Args:
        labels: int8 (n,), 1 anomalous and 0 normal.
        scores: float64 (k, n), finite, higher is more anomalous.
        clusters: int64 (n,), images of one patient share a number; None: each image stands for itself.

    Returns:
        AUROCs float64 (k,) in [0, 1] and covariance float64 (k, k), symmetric; positive semi-definite without clusters.

    Raises:
        ValueError: a class with fewer than two images (or patients); see also
            :func:`bench.metrics.ranking.checked`.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988, section 2; with clusters Obuchowski, Biometrics 1997,
    "Nonparametric analysis of clustered ROC curve data", equations 2 to 6.

    """
    positive, values = checked(labels, scores, ndim=2)
    areas, v10, v01 = _placements(positive, values)
    codes = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    first, units, found = _sums(v10 - areas[:, None], None if codes is None else codes[positive], codes)
    second, others, also = _sums(v01 - areas[:, None], None if codes is None else codes[~positive], codes)
    if min(found, also) < 2:
        what = "images" if codes is None else "patients"
        raise ValueError(f"a variance needs two {what} of each class, not {found} anomalous and {also} normal")
    covariance = first @ first.T * (found / (found - 1) / units**2) + second @ second.T * (
        also / (also - 1) / others**2
    )
    if codes is not None:
        every = codes.max() + 1
        both = first @ second.T * (every / (every - 1) / (units * others))
        covariance += both + both.T
    return areas, covariance


def _placements(positive: NDArray[np.bool_], values: Floats) -> tuple[Floats, Floats, Floats]:
    """AUROCs (k,), V10 (k, anomalous) and V01 (k, normal), each from one sort of its row."""
    anomalous, normal = int(np.count_nonzero(positive)), int(np.count_nonzero(~positive))
    areas, v10, v01 = np.empty(len(values)), np.empty((len(values), anomalous)), np.empty((len(values), normal))
    for row, one in enumerate(values):
        order = np.argsort(one)
        ordered, hits = one[order], positive[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(one))))
        tied = np.add.reduceat(hits.astype(np.int64), starts)
        others = np.diff(np.append(starts, len(one))) - tied
        place = np.empty(len(one), np.int64)
        place[order] = group
        # Ties count half: the images of the other class below, and half of those beside.
        below = (np.cumsum(others) - others / 2)[place[positive]]
        areas[row] = below.sum() / (anomalous * normal)  # halves add up exactly
        v10[row] = below / normal
        v01[row] = (1 - (np.cumsum(tied) - tied / 2) / anomalous)[place[~positive]]
    return areas, v10, v01


def _sums(centred: Floats, own: NDArray[np.int64] | None, every: NDArray[np.int64] | None) -> tuple[Floats, int, int]:
    """Sum centred placements (k, images) by cluster: (k, clusters), with how many images and clusters there are."""
    images = centred.shape[1]
    if own is None or every is None:
        return centred, images, images
    size = int(every.max()) + 1
    sums: Floats = np.stack([np.bincount(own, weights=row, minlength=size) for row in centred]).astype(np.float64)
    return sums, images, len(np.unique(own))
