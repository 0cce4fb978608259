"""A metric whose threshold is fixed before a test image is seen, as it would be in a clinic.

``sensitivity_at_95_specificity``, which is built in, takes its threshold from the normal *test* images. Here it comes
from the tune images: normal images that no detector learned from and that are not tested on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import bench

QUANTILE = 0.95


def sensitivity_at_tune_95(labels: NDArray[np.int8], scores: NDArray[np.float64], tune: NDArray[np.float64]) -> float:
    """Share of the anomalous test images that score above the 95 % quantile of the tune scores.

    The threshold is one of the tune scores: the lowest that at most 5 % of the tune scores exceed. Ties count against
    the detector: an image that scores exactly the threshold is not found, so constant scores give 0.

    Args:
        labels: int8 (n,), 1 anomalous and 0 normal, at least one 1.
        scores: float64 (n,), higher is more anomalous.
        tune: float64 (m,), scores of held-out normal images, m ≥ 1. The harness's bootstrap leaves them as they are,
            so the interval says nothing of how uncertain the threshold is.

    Returns:
        in [0, 1].

    Raises:
        ValueError: there are no tune images, or no anomalous ones.

    """
    if len(tune) == 0:
        raise ValueError("the task has no tune images to take a threshold from")
    anomalous = scores[labels == 1]
    if len(anomalous) == 0:
        raise ValueError("there are no anomalous test images")
    # "higher" rather than interpolating: between two tune scores more than 5 % of them could lie above.
    threshold = np.quantile(tune, QUANTILE, method="higher")
    return float(np.mean(anomalous > threshold))


@bench.hookimpl
def bench_metrics() -> Sequence[bench.MetricSpec]:
    """Offer the metric; the harness adds a bootstrap interval."""
    return [
        bench.MetricSpec(
            name="sensitivity_at_tune_95",
            version="1",
            summary="share of anomalous images above the 95 % quantile of held-out normal images",
            higher_is_better=True,
            compute=sensitivity_at_tune_95,
        )
    ]
