"""What both phantoms share: smooth fields, soft edges, exposure. Everything is float64 until the last step."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.data.phantoms import SIDE

Field = NDArray[np.float64]


def noise(rng: Generator, sigma: float | tuple[float, float]) -> Field:
    """Gaussian noise (SIDE, SIDE) blurred by ``sigma`` pixels (vertical, horizontal); mean 0, variance 1."""
    return _standardise(gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma, mode="wrap", truncate=3.0))


def clouds(rng: Generator, terms: int) -> Field:
    """Slow variation (SIDE, SIDE): a random sum of cosines up to ``terms`` / 2 periods a side; mean 0, variance 1.

    Far cheaper than blurring noise by as many pixels.
    """
    waves = _cosines(terms)
    return _standardise(waves.T @ rng.standard_normal((terms, terms)) @ waves)


def wobble(rng: Generator, terms: int) -> Field:
    """Slow variation along a line, (SIDE,): the same in one dimension; mean 0, variance 1."""
    return _standardise(rng.standard_normal(terms) @ _cosines(terms))


def _cosines(terms: int) -> Field:
    return np.cos(np.pi * np.arange(terms)[:, None] * (np.arange(SIDE) + 0.5) / SIDE)


def step(distance: Field, softness: float) -> Field:
    """Rise from 0 (distance ≪ 0) to 1 (distance ≫ 0) within about ± 2 · ``softness``: the logistic function."""
    return 0.5 * (1.0 + np.tanh(0.5 * distance / softness))


def expose(image: Field, mean: float, deviation: float) -> Field:
    """Scale to a given mean and standard deviation in grey levels, cut off at 0 and 255.

    What the lesion adds to either is taken away again, so that no detector can tell it by overall brightness.
    """
    for _ in range(3):  # cutting off moves both a little: again, until it no longer matters
        image = np.clip(_standardise(image) * deviation + mean, 0.0, 255.0)
    return image


def to_uint8(image: Field) -> NDArray[np.uint8]:
    """Round to whole grey levels, cutting off what is below 0 or above 255."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def to_mask(weight: Field) -> NDArray[np.uint8]:
    """Lesion mask: 255 where ``weight`` is above one half, else 0."""
    return np.where(weight > 0.5, 255, 0).astype(np.uint8)


def sign(rng: Generator) -> Literal[-1, 1]:
    """Left or right, evenly."""
    return -1 if rng.random() < 0.5 else 1


def _standardise(field: Field) -> Field:
    standardised: Field = (field - field.mean()) / field.std()
    return standardised
