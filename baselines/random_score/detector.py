"""One uniform random number per image, drawn from the seed and the image's own bytes."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from baselines.random_score.config import RandomConfig
from bench import Detector, NotFittedError, RunContext


class RandomDetector(Detector[RandomConfig]):
    """Scores uniform in [0, 1).

    A hash, not a generator: a drawn number would depend on an image's place among the others.
    """

    _seed: int | None = None

    def fit(self, normal: NDArray[np.uint8], run: RunContext) -> Self:
        """Remember the run's seed; the images are not looked at."""
        self.check_images(normal)
        self._seed = run.seed
        return self

    def anomaly_scores(self, images: NDArray[np.uint8], run: RunContext) -> NDArray[np.float64]:  # noqa: ARG002
        """Hash each image of uint8 (n, h, w, c) under the seed of ``fit``: float64 (n,) in [0, 1)."""
        self.check_images(images)
        key = self._fitted_seed().to_bytes(8, "little", signed=True)
        scores = np.empty(len(images))
        for index, image in enumerate(images):
            digest = blake2b(image.tobytes(), digest_size=8, key=key).digest()
            # The top 53 bits: all that a float64 in [0, 1) holds, so that none rounds up to 1.
            scores[index] = (int.from_bytes(digest, "big") >> 11) * 2.0**-53
        return scores

    def state(self) -> Mapping[str, NDArray[Any]]:
        """``seed``: int64 (1,)."""
        return {"seed": np.array([self._fitted_seed()], np.int64)}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over the seed."""
        self._seed = int(state["seed"][0])
        return self

    def _fitted_seed(self) -> int:
        if self._seed is None:
            raise NotFittedError("RandomDetector has no seed yet: call fit or load_state first")
        return self._seed
