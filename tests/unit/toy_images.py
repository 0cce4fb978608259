"""A toy for tests of trained detectors: smooth blobs are normal, a bright square is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import RunContext


def run_context(folder: Path, seed: int = 0, precision: str = "float32") -> RunContext:
    return RunContext(seed, "cpu", folder, precision)  # type: ignore[arg-type]


def blobs(n: int, seed: int, square: bool = False, size: int = 32, channels: int = 1) -> NDArray[np.uint8]:
    """Smooth images, uint8 (n, size, size, channels); with a bright square where asked for."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((size, size)) / size
    images = np.empty((n, size, size, channels), np.uint8)
    for image in images:
        y, x = rng.uniform(0.3, 0.7, 2)
        pixels = 60 + 120 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.05) + rng.normal(0, 3, (size, size))
        if square:
            top, left = rng.integers(0, size // 2, 2)
            pixels[top : top + size // 3, left : left + size // 3] = 250
        image[:] = np.clip(pixels, 0, 255)[..., None]
    return images
