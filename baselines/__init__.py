"""Baselines: published detectors and the floors that every table needs."""

from collections.abc import Sequence

import bench


@bench.hookimpl
def bench_detectors() -> Sequence[bench.DetectorSpec]:
    """Offer every baseline of this package."""
    from baselines import fanogan, ganomaly, knn, mean_intensity, pca, random_score

    return [random_score.SPEC, mean_intensity.SPEC, pca.SPEC, knn.SPEC, ganomaly.SPEC, fanogan.SPEC]
