"""What a ranking of images is worth: AUROC, average precision, points of the ROC curve.

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


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that an anomalous image outscores a normal one, ties counting half.

    The Mann-Whitney statistic; equal to the trapezoidal area below :func:`roc_curve`.

    Returns:
        a number in [0, 1]; 0.5 is chance. Exactly 1 (0) only where every pair is ranked right (wrong).

    Raises:
        ValueError: see :func:`checked`.

    Source: Hanley & McNeil, Radiology 1982, "The meaning and use of the area under a ROC curve".

    """
    return float(auroc_of_counts(*counts(labels, scores)))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the ROC curve, with a point for every distinct score and none left out.

    Returns:
        false-positive rate and true-positive rate, float64 (distinct scores + 1,), from (0, 0) to (1, 1).

    Raises:
        ValueError: see :func:`checked`.

    """
    tp, fp = counts(labels, scores)
    return np.append(0.0, fp / fp[-1]), np.append(0.0, tp / tp[-1])


def partial_auroc(labels: ArrayLike, scores: ArrayLike, max_fpr: float) -> float:
    """Area below the ROC curve up to a false-positive rate, scaled so that 0.5 is chance and 1 is perfect.

    The curve is interpolated at the limit.

    Args:
        labels: (n,), see :func:`checked`.
        scores: (n,).
        max_fpr: in (0, 1].

    Returns:
        a number in [0, 1]: ½ (1 + (area − chance) / (perfect − chance)).

    Raises:
        ValueError: a limit outside (0, 1]; see also :func:`checked`.

    Source: McClish, Medical Decision Making 1989, "Analyzing a portion of the ROC curve"; what scikit-learn computes.

    """
    return float(partial_auroc_of_counts(*counts(labels, scores), max_fpr))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean of the precision over the anomalous images, each at its own score as the threshold.

    The step-wise area below the precision-recall curve, without interpolation: what scikit-learn computes.

    Returns:
        a number in (0, 1]; chance is the share of anomalous images, so compare it within one task only.

    Raises:
        ValueError: see :func:`checked`.

    """
    return float(average_precision_of_counts(*counts(labels, scores)))


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
    return float(sensitivity_of_counts(*counts(labels, scores), specificity))


def specificity_at_sensitivity(labels: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """Highest specificity among the points of the ROC curve whose sensitivity is at least the one given.

    One minus it is the false-positive rate at that true-positive rate. The threshold is taken from these very images.

    Args:
        labels: (n,), see :func:`checked`.
        scores: (n,).
        sensitivity: in [0, 1].

    Raises:
        ValueError: a sensitivity outside [0, 1]; see also :func:`checked`.

    """
    return float(specificity_of_counts(*counts(labels, scores), sensitivity))


def oracle_f1(labels: ArrayLike, scores: ArrayLike) -> float:
    """Highest F1 at any threshold, chosen by the test labels: an upper bound that no user can reach knowingly.

    Raises:
        ValueError: see :func:`checked`.

    """
    return float(oracle_f1_of_counts(*counts(labels, scores)))


def auroc_of_counts(tp: Counts, fp: Counts) -> NDArray[np.float64]:
    """AUROC from true and false positives; like all functions here of (…, thresholds) at every distinct score, falling.

    The last threshold calls every image anomalous, so that the classes' sizes stand there. Returns float64 (…,).
    """
    # Whole numbers, so exact up to the last division.
    steps = (fp[..., 1:] - fp[..., :-1]) * (tp[..., 1:] + tp[..., :-1])
    twice = steps.sum(axis=-1) + fp[..., 0] * tp[..., 0]
    area: NDArray[np.float64] = twice / (2.0 * tp[..., -1] * fp[..., -1])
    return area


def partial_auroc_of_counts(tp: Counts, fp: Counts, max_fpr: float) -> NDArray[np.float64]:
    """Standardised partial AUROC; see :func:`partial_auroc`."""
    if not 0 < max_fpr <= 1:
        raise ValueError(f"a false-positive rate to stop at lies in (0, 1], not at {max_fpr}")
    x, y = fp / fp[..., -1:], tp / tp[..., -1:]
    x0, y0 = x - np.diff(x, axis=-1, prepend=0), y - np.diff(y, axis=-1, prepend=0)
    width = np.clip(max_fpr - x0, 0, x - x0)
    # A vertical step has no width; any slope will do.
    slope = (y - y0) / np.where(x > x0, x - x0, 1)
    area = (width * (y0 + slope * width / 2)).sum(axis=-1)
    chance = max_fpr**2 / 2
    return np.asarray((1 + (area - chance) / (max_fpr - chance)) / 2)


def average_precision_of_counts(tp: Counts, fp: Counts) -> NDArray[np.float64]:
    """Average precision; see :func:`average_precision`."""
    gained = np.diff(tp, axis=-1, prepend=0)
    # Above its first image a resample has neither true nor false positives: no precision, but no gain either.
    mean: NDArray[np.float64] = (gained * (tp / np.maximum(tp + fp, 1))).sum(axis=-1) / tp[..., -1]
    return mean


def sensitivity_of_counts(tp: Counts, fp: Counts, specificity: float) -> NDArray[np.float64]:
    """Sensitivity at a specificity; see :func:`sensitivity_at_specificity`."""
    if not 0 <= specificity <= 1:
        raise ValueError(f"a specificity lies in [0, 1], not at {specificity}")
    allowed = fp <= (1 - specificity + SLACK) * fp[..., -1:]
    best: NDArray[np.float64] = np.where(allowed, tp, 0).max(axis=-1) / tp[..., -1]
    return best


def specificity_of_counts(tp: Counts, fp: Counts, sensitivity: float) -> NDArray[np.float64]:
    """Specificity at a sensitivity; see :func:`specificity_at_sensitivity`."""
    if not 0 <= sensitivity <= 1:
        raise ValueError(f"a sensitivity lies in [0, 1], not at {sensitivity}")
    if sensitivity == 0:  # reached before any image is called anomalous
        return np.ones(fp.shape[:-1])
    reached = tp >= (sensitivity - SLACK) * tp[..., -1:]
    return np.asarray(1 - np.where(reached, fp, fp[..., -1:]).min(axis=-1) / fp[..., -1])


def oracle_f1_of_counts(tp: Counts, fp: Counts) -> NDArray[np.float64]:
    """Best F1; see :func:`oracle_f1`."""
    return np.asarray((2 * tp / (tp + fp + tp[..., -1:])).max(axis=-1))


def counts(labels: ArrayLike, scores: ArrayLike) -> tuple[Counts, Counts]:
    """Cumulative true and false positives, int64 (distinct scores,), with each score as threshold, falling.

    Raises:
        ValueError: see :func:`checked`.

    """
    positive, values = checked(labels, scores)
    levels, group = np.unique(-values, return_inverse=True)
    tp = np.bincount(group[positive], minlength=len(levels)).cumsum()
    fp = np.bincount(group[~positive], minlength=len(levels)).cumsum()
    return tp, fp
