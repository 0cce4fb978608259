"""Normals held out of a detector's own training, and what they are for: putting score terms on one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images


def split_normal(normal: Images, fraction: float, seed: int) -> tuple[Images, Images]:
    """Split the normal images into (training, held-out), at random from ``seed``, at least one image in each.

    The harness's own ``tune`` normals are not touched by this: a detector never sees those.

    Raises:
        ValueError: fewer than two images, or a fraction outside (0, 1).

    """
    if len(normal) < 2 or not 0 < fraction < 1:
        raise ValueError(f"cannot hold out {fraction:.0%} of {len(normal)} images")
    order = np.random.default_rng(seed).permutation(len(normal))
    held_out = min(max(round(len(normal) * fraction), 1), len(normal) - 1)
    return normal[np.sort(order[held_out:])], normal[np.sort(order[:held_out])]


@dataclass(frozen=True)
class Standardiser:
    """Mean and standard deviation of score terms on held-out normals; float64 (k,) each."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def of(cls, terms: NDArray[np.float64]) -> Self:
        """Measure terms (n, k). A term that does not vary gets a standard deviation of 1, not 0."""
        mean, std = terms.mean(axis=0), terms.std(axis=0)
        # Rounding of the mean alone spreads a constant term by some 1e-16 of its size.
        varies = std > 1e-12 * np.maximum(np.abs(mean), 1.0)
        return cls(mean, np.where(varies, std, 1.0))

    def __call__(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (terms − mean) / std, (n, k)."""
        return (terms - self.mean) / self.std
