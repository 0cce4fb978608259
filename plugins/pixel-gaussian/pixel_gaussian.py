"""A detector with anomaly maps: each pixel is compared with the same pixel of the normal images.

A pixel of the normal images has a mean and a standard deviation; a new image's map is how many deviations it lies
away from the mean. Nothing but numpy is needed, so this is also the shortest complete example of the contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import bench

Floats = NDArray[np.float64]

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


class PixelGaussianConfig(bench.DetectorConfig):
    """``image_size`` and ``channels`` are inherited; the harness decodes images as they say."""

    smoothing: int = Field(1, ge=0, le=32, description="how often images and maps are smoothed over 5 × 5 pixels")
    least_deviation: float = Field(
        2.0, gt=0, le=255, description="grey levels; pixels that vary less among normal images count as varying so much"
    )
    top: float = Field(0.02, gt=0, le=1, description="share of the map's highest pixels whose mean is the score")


def smooth(array: Floats, times: int) -> Floats:
    """Smooth float64 (h, w, …) along its first two axes with a binomial filter; edges are repeated outwards."""
    for _ in range(times):
        for axis in (0, 1):
            widths = [(2, 2) if axis == which else (0, 0) for which in range(array.ndim)]
            padded = np.pad(array, widths, mode="edge")
            size = array.shape[axis]
            shifted = [np.take(padded, range(start, start + size), axis) for start in range(len(BINOMIAL))]
            array = np.sum([weight * part for weight, part in zip(BINOMIAL, shifted, strict=True)], axis=0)
    return array


class PixelGaussianDetector(bench.Detector[PixelGaussianConfig]):
    """The score is the mean of the highest pixels of the map, so that a small lesion is not averaged away."""

    _mean: Floats | None = None
    _deviation: Floats | None = None

    def fit(self, normal: NDArray[np.uint8], run: bench.RunContext) -> Self:
        """Learn mean and standard deviation of each pixel.

        Args:
            normal: uint8 (n, h, w, c), n ≥ 1.
            run: told how far the fit has come.

        Raises:
            ValueError: another type or shape, or no image.

        """
        self.check_images(normal)
        if len(normal) == 0:
            raise ValueError("fit needs at least one normal image")
        mean, squares = np.zeros(normal.shape[1:]), np.zeros(normal.shape[1:])
        # Image by image (Welford 1962): the images are a memory map, perhaps larger than the memory.
        for done, image in enumerate(normal, start=1):
            pixels = self._pixels(image)
            before = pixels - mean
            mean += before / done
            squares += before * (pixels - mean)
            run.progress("fit", done, len(normal))
        self._mean = mean
        # Without a floor, a pixel that never varies (a black border) would make scores infinite.
        self._deviation = np.maximum(np.sqrt(squares / len(normal)), self.config.least_deviation)
        return self

    def anomaly_scores(self, images: NDArray[np.uint8], run: bench.RunContext) -> Floats:
        """Mean of the highest pixels of each image's map.

        Args:
            images: uint8 (n, h, w, c), of the configured size.
            run: told how far scoring has come.

        Returns:
            float64 (n,), finite, at least 0.

        Raises:
            NotFittedError: before ``fit`` or ``load_state``.
            ValueError: another type or shape.

        """
        scores = np.empty(len(images))
        for index, one in enumerate(self.anomaly_maps(images, run)):
            count = max(1, round(self.config.top * one.size))
            scores[index] = np.sort(one, axis=None)[-count:].mean(dtype=np.float64)
            run.progress("score", index + 1, len(images))
        return scores

    def anomaly_maps(
        self,
        images: NDArray[np.uint8],
        run: bench.RunContext,  # noqa: ARG002
    ) -> Iterator[NDArray[np.float32]]:
        """Yield how many standard deviations each pixel lies off, averaged over channels and smoothed.

        Args:
            images: uint8 (n, h, w, c), of the configured size.
            run: not used.

        Returns:
            an iterator over float32 (h, w), finite, at least 0.

        Raises:
            NotFittedError: before ``fit`` or ``load_state``.
            ValueError: another type or shape.

        """
        mean, deviation = self._learned()
        self.check_images(images)
        # Returned, not yielded: a generator function would raise only when its first map is asked for. One image at
        # a time, so that no sum's rounding depends on the images beside it.
        return (self._map(image, mean, deviation) for image in images)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """``mean`` and ``deviation`` in grey levels, both float64 (h, w, c)."""
        mean, deviation = self._learned()
        return {"mean": mean.copy(), "deviation": deviation.copy()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over mean and deviation.

        Raises:
            ValueError: they are not of one shape (h, w, c).

        """
        mean, deviation = (np.array(state[name], np.float64) for name in ("mean", "deviation"))
        if mean.ndim != 3 or mean.shape != deviation.shape:
            raise ValueError(f"mean {mean.shape} and deviation {deviation.shape} are not of one shape (h, w, c)")
        self._mean, self._deviation = mean, deviation
        return self

    def _map(self, image: NDArray[np.uint8], mean: Floats, deviation: Floats) -> NDArray[np.float32]:
        off = np.abs(self._pixels(image) - mean) / deviation
        return smooth(off.mean(axis=2), self.config.smoothing).astype(np.float32)

    def _pixels(self, image: NDArray[np.uint8]) -> Floats:
        """Copy uint8 (h, w, c) to smoothed float64."""
        return smooth(np.array(image, np.float64, order="C"), self.config.smoothing)

    def _learned(self) -> tuple[Floats, Floats]:
        if self._mean is None or self._deviation is None:
            raise bench.NotFittedError("PixelGaussianDetector has learned nothing yet: call fit or load_state first")
        return self._mean, self._deviation


@bench.hookimpl
def bench_detectors() -> Sequence[bench.DetectorSpec]:
    """Offer the detector."""
    return [
        bench.DetectorSpec(
            name="pixel-gaussian",
            version="1",
            summary="how many standard deviations each pixel lies off the normal images, with maps",
            citation="an example, not a published method",
            config=lambda: PixelGaussianConfig,
            load=lambda: PixelGaussianDetector,
            presets={"smoke": {"image_size": 32}},
            stochastic=False,
            maps=True,
            torch=False,
        )
    ]
