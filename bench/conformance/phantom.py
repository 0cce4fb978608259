"""An easy phantom for the conformance kit: any working detector must rank it above chance within seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images

FIT, OTHER, TEST = 128, 32, 24


@dataclass(frozen=True)
class EasyPhantom:
    """Smooth blobs are normal; a square patch, much brighter or darker than what is around it, is a lesion.

    Attributes:
        normal: uint8 (128, s, s, c), to learn from.
        other: uint8 (32, s, s, c), normals of another look, for a fit that must be forgotten.
        test: uint8 (48, s, s, c), half of them with a lesion, in mixed order.
        labels: int8 (48,), 1 where there is a lesion.
        masks: bool (48, s, s), true on the lesion.

    """

    normal: Images
    other: Images
    test: Images
    labels: NDArray[np.int8]
    masks: NDArray[np.bool_]


def draw_easy_phantom(size: int, channels: int) -> EasyPhantom:
    """Draw the phantom at ``size`` pixels; the same on every machine and for every detector."""
    rng = np.random.default_rng(20210707)
    normal, other = _normals(rng, FIT, size), 255.0 - _normals(rng, OTHER, size)
    test = _normals(rng, 2 * TEST, size)
    labels = rng.permutation(np.repeat([0, 1], TEST)).astype(np.int8)
    masks = np.zeros(test.shape, np.bool_)
    for number, index in enumerate(np.flatnonzero(labels)):
        # Bright and dark ones in turn: the mean brightness of an image alone must not tell.
        masks[index] = _add_lesion(rng, test[index], 90.0 if number % 2 else -90.0)
    given, forgotten, scored = (_to_images(pixels, channels) for pixels in (normal, other, test))
    return EasyPhantom(given, forgotten, scored, labels, masks)


def _normals(rng: np.random.Generator, n: int, size: int) -> NDArray[np.float64]:
    """Float64 (n, size, size): a wide blob each, with brightness, place and a little noise of its own."""
    rows, columns = np.indices((size, size)) / size
    y, x, bright = (rng.uniform(low, high, (n, 1, 1)) for low, high in ((0.4, 0.6), (0.4, 0.6), (-20, 20)))
    blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.08)
    pixels: NDArray[np.float64] = 90 + bright + 50 * blob + rng.normal(0, 2, (n, size, size))
    return pixels


def _add_lesion(rng: np.random.Generator, pixels: NDArray[np.float64], contrast: float) -> NDArray[np.bool_]:
    """Draw a patch onto (size, size) in place; returns where it is."""
    size = len(pixels)
    side = max(3 * size // 8, 1)
    top, left = rng.integers(0, size - side + 1, 2)
    mask = np.zeros(pixels.shape, np.bool_)
    mask[top : top + side, left : left + side] = True
    pixels[mask] += contrast
    return mask


def _to_images(pixels: NDArray[np.float64], channels: int) -> Images:
    grey = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[..., None]
    return np.repeat(grey, channels, axis=3)
