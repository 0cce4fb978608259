"""What every trained detector must do, checked on a toy: smooth blobs are normal, a bright square is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import DetectorSpec, NotFittedError, RunContext
from bench.metrics import auroc

N = 24


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


def check_detector(spec: DetectorSpec, config: Any, folder: Path) -> None:
    """Fit, score, and hold the contract."""
    detector_class = spec.load()
    run = run_context(folder)
    normal, test = blobs(48, 0), np.concatenate([blobs(N, 1), blobs(N, 2, square=True)])
    with pytest.raises(NotFittedError):
        detector_class(config).anomaly_scores(test, run)
    with pytest.raises(NotFittedError):
        detector_class(config).state()
    normal.flags.writeable = test.flags.writeable = False
    fitted = detector_class(config).fit(normal, run)
    scores = fitted.anomaly_scores(test, run)
    assert scores.shape == (2 * N,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert auroc(np.repeat([0, 1], N).astype(np.int8), scores) > 0.6
    check_companions(fitted, test, scores, run)
    assert np.array_equal(detector_class(config).fit(normal, run).anomaly_scores(test, run), scores), "same seed"
    other = detector_class(config).fit(normal, run_context(folder, seed=1)).anomaly_scores(test, run)
    assert not np.array_equal(other, scores), "another seed"
    restored = detector_class(config).load_state(fitted.state())
    assert np.array_equal(restored.anomaly_scores(test, run), scores), "state"
    assert np.array_equal(fitted.fit(normal, run).anomaly_scores(test, run), scores), "an earlier fit is forgotten"


def check_companions(fitted: Any, test: NDArray[np.uint8], scores: NDArray[np.float64], run: RunContext) -> None:
    """An image's score depends neither on its companions nor on their order."""
    tolerance = 1e-3 * np.subtract(*np.percentile(scores, [75, 25]))
    assert np.abs(fitted.anomaly_scores(test[:5], run) - scores[:5]).max() <= tolerance
    order = np.random.default_rng(0).permutation(len(test))
    assert np.abs(fitted.anomaly_scores(test[order], run) - scores[order]).max() <= tolerance
