"""Detectors compared across tasks, each task counting once: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05


class Across(NamedTuple):
    """Mean ranks over tasks.

    Attributes:
        ranks: float64 (detectors,), 1 is best, ties share the mean of their ranks.
        p: of Friedman's test that all detectors rank alike.
        critical: mean ranks must differ by more than this to be told apart at 5 %.
        tasks: how many tasks there are.

    """

    ranks: NDArray[np.float64]
    p: float
    critical: float
    tasks: int


def across_tasks(areas: NDArray[np.float64]) -> Across:
    """Compare detectors over tasks.

    Args:
        areas: float64 (tasks, detectors), AUROC of each on each; at least two tasks and three detectors.

    Raises:
        ValueError: fewer of either, or a value that is not finite.

    Source: Demšar, Journal of Machine Learning Research 2006, "Statistical comparisons of classifiers over multiple
    data sets", section 3.2.

    """
    tasks, detectors = areas.shape
    if tasks < 2 or detectors < 3 or not np.isfinite(areas).all():
        raise ValueError(f"ranks across tasks need 2 tasks and 3 detectors, not {tasks} and {detectors}")
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    ranks = rankdata(-areas, axis=1).mean(axis=0)
    p = 1.0 if np.all(areas == areas[:, :1]) else float(friedmanchisquare(*areas.T).pvalue)
    spread = float(studentized_range.ppf(1 - ALPHA, detectors, np.inf)) / math.sqrt(2)
    return Across(ranks, p, spread * math.sqrt(detectors * (detectors + 1) / (6 * tasks)), tasks)
