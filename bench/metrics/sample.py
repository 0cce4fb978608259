"""The scores of one detector on one task, as every metric is given them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.metrics.ranking import checked


@dataclass(frozen=True)
class Sample:
    """Scores of the same images by one or several seeds.

    Attributes:
        labels: int8 (n,), 0 normal and 1 anomalous, both present.
        scores: float64 (seeds, n), finite, of the test images; higher is more anomalous.
        tune: float64 (seeds, m), m ≥ 0, of held-out normals.
        clusters: int64 (n,), images of one patient share a number; None where each image stands for itself.
        tune_clusters: int64 (m,), likewise.

    Raises:
        ValueError: arrays that do not fit; see also :func:`bench.metrics.ranking.checked`.

    """

    labels: NDArray[np.int8]
    scores: NDArray[np.float64]
    tune: NDArray[np.float64]
    clusters: NDArray[np.int64] | None = None
    tune_clusters: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        checked(self.labels, self.scores, ndim=2)
        if self.tune.ndim != 2 or len(self.tune) != len(self.scores) or not np.isfinite(self.tune).all():
            raise ValueError(f"tune has shape {self.tune.shape}; expected finite values ({len(self.scores)}, m)")
        for codes, length in ((self.clusters, len(self.labels)), (self.tune_clusters, self.tune.shape[1])):
            if codes is not None and codes.shape != (length,):
                raise ValueError(f"there must be a cluster for each of {length} images, not {codes.shape}")

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Bool (n,), True where anomalous."""
        positive: NDArray[np.bool_] = np.asarray(self.labels) == 1
        return positive

    def sizes(self) -> tuple[int, int]:
        """Independent units of the anomalous and of the normal class: patients where known, else images."""
        positive = self.positive
        if self.clusters is None:
            return int(positive.sum()), int((~positive).sum())
        return len(np.unique(self.clusters[positive])), len(np.unique(self.clusters[~positive]))

    def only(self, chosen: NDArray[np.bool_]) -> Sample:
        """Return the sample of some test images, bool (n,); held-out normals stay."""
        clusters = None if self.clusters is None else self.clusters[chosen]
        return replace(self, labels=self.labels[chosen], scores=self.scores[:, chosen], clusters=clusters)
