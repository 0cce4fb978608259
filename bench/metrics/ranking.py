"""What a ranking of images is worth: AUROC, average precision, sensitivity at a specificity, the ROC curve.

Everywhere ``labels`` are int8 (n,), 1 anomalous and 0 normal, ``scores`` float64 (n,), higher is more anomalous, and
an image is called anomalous when its score is at least the threshold. Images of equal score are never told apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]

# 1 - 0.9 is a little less than 0.1: without slack, one false positive in ten would miss a specificity of 0.9.
SLACK = 1e-9


def checked(labels: ArrayLike, scores: ArrayLike, ndim: int = 1) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Validate labels and scores once, for all metrics.

    Args:
        labels: (n,), 0 normal and 1 anomalous, both present.
        scores: (n,), or (k, n) if ``ndim`` is 2: k scores of the same images. Finite.
        ndim: the number of axes that ``scores`` must have.

    Returns:
        bool (n,), True where anomalous, and the scores as float64.

    Raises:
        ValueError: wrong shapes, a label other than 0 and 1, only one class, or a score that is not finite.

    """
    marks, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    shape = "(n,)" if ndim == 1 else "(k, n)"
    if marks.ndim != 1 or values.ndim != ndim or values.shape[-1] != len(marks) or values.size == 0:
        raise ValueError(
            f"labels must be (n,) and scores {shape}, not empty, but they are {marks.shape} and {values.shape}"
        )
    positive: NDArray[np.bool_] = marks == 1
    if not np.all(positive | (marks == 0)):
        raise ValueError("labels must be 0 (normal) or 1 (anomalous)")
    if positive.all() or not positive.any():
        raise ValueError(f"both classes are needed, but all {len(marks)} images are labelled {int(positive[0])}")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {values.size} scores are not finite")
    return positive, values


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks 1…n of values (n,), equal values sharing the mean of their ranks; float64 (n,)."""
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(size) - (size - 1) / 2)[group]
    return ranks


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that an anomalous image outscores a normal one, ties counting half.

    The Mann-Whitney statistic from midranks; equal to the trapezoidal area below :func:`roc_curve`.

    Returns:
        a number in [0, 1]; 0.5 is chance. Exactly 1 (0) only where every pair is ranked right (wrong).

    Raises:
        ValueError: see :func:`checked`.

    Source: Hanley & McNeil, Radiology 1982, "The meaning and use of the area under a ROC curve".

    """
    positive, values = checked(labels, scores)
    return auroc_of_ranks(midranks(values), positive)


def auroc_of_ranks(ranks: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """AUROC from the midranks (n,) of all images; sums of half-integers, so exact up to the last division."""
    anomalous, normal = _sizes(positive)
    return float((ranks[positive].sum() - anomalous * (anomalous + 1) / 2) / (anomalous * normal))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the ROC curve, with a point for every distinct score and none left out.

    Returns:
        false-positive rate and true-positive rate, float64 (distinct scores + 1,), from (0, 0) to (1, 1).

    Raises:
        ValueError: see :func:`checked`.

    """
    positive, values = checked(labels, scores)
    tp, fp = _counts(positive, values)
    return np.append(0.0, fp / fp[-1]), np.append(0.0, tp / tp[-1])


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean of the precision over the anomalous images, each at its own score as the threshold.

    The step-wise area below the precision-recall curve, without interpolation: what scikit-learn computes.

    Returns:
        a number in (0, 1]; chance is the share of anomalous images, so compare it within one task only.

    Raises:
        ValueError: see :func:`checked`.

    """
    positive, values = checked(labels, scores)
    return float(average_precision_of_counts(*_counts(positive, values)))


def sensitivity_at_specificity(labels: ArrayLike, scores: ArrayLike, specificity: float) -> float:
    """Highest sensitivity among the points of the ROC curve whose specificity is at least the one given.

    No interpolation: each point can be reached with an actual threshold. The threshold is taken from these very
    images, which flatters; an honest operating point takes it from held-out normal images.

    Args:
        labels: (n,), see :func:`checked`.
        scores: (n,).
        specificity: in [0, 1].

    Returns:
        a number in [0, 1]; 0 where even the highest score calls too many normal images anomalous.

    Raises:
        ValueError: a specificity outside [0, 1]; see also :func:`checked`.

    """
    positive, values = checked(labels, scores)
    return float(sensitivity_of_counts(*_counts(positive, values), _sizes(positive)[1], specificity))


def average_precision_of_counts(tp: Counts, fp: Counts) -> NDArray[np.float64]:
    """Average precision from true and false positives (…, thresholds) at falling thresholds; float64 (…,)."""
    gained = np.diff(tp, axis=-1, prepend=0)
    # Above its first image a resample has neither true nor false positives: no precision, but no gain either.
    precision = tp / np.maximum(tp + fp, 1)
    mean: NDArray[np.float64] = (gained * precision).sum(axis=-1) / tp[..., -1]
    return mean


def sensitivity_of_counts(tp: Counts, fp: Counts, normal: int, specificity: float) -> NDArray[np.float64]:
    """Sensitivity at a specificity from positives (…, thresholds) among ``normal`` normal images; float64 (…,)."""
    if not 0 <= specificity <= 1:
        raise ValueError(f"a specificity lies in [0, 1], not at {specificity}")
    allowed = fp <= (1 - specificity + SLACK) * normal
    best: NDArray[np.float64] = np.where(allowed, tp, 0).max(axis=-1) / tp[..., -1]
    return best


def _counts(positive: NDArray[np.bool_], values: NDArray[np.float64]) -> tuple[Counts, Counts]:
    """Cumulative true and false positives at each distinct score as threshold, from the highest down."""
    levels, group = np.unique(-values, return_inverse=True)
    tp = np.bincount(group[positive], minlength=len(levels)).cumsum()
    fp = np.bincount(group[~positive], minlength=len(levels)).cumsum()
    return tp, fp


def _sizes(positive: NDArray[np.bool_]) -> tuple[int, int]:
    anomalous = int(np.count_nonzero(positive))
    return anomalous, len(positive) - anomalous
