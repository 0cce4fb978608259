"""Baselines: published detectors and the floors that every table needs."""

from collections.abc import Sequence

import bench


@bench.hookimpl
def bench_detectors() -> Sequence[bench.DetectorSpec]:
    """Offer every baseline of this package."""
    from baselines import ae, deepsvdd, fanogan, ganomaly, knn, mean_intensity, memae, pca, random_score, vae

    floors = [random_score.SPEC, mean_intensity.SPEC, pca.SPEC, knn.SPEC]
    return [*floors, ae.SPEC, vae.SPEC, memae.SPEC, deepsvdd.SPEC, ganomaly.SPEC, fanogan.SPEC]
