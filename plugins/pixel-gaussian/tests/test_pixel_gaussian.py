"""What this detector promises beyond the contract; ``test_contract`` runs the checks of ``bench check``."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pixel_gaussian import PixelGaussianConfig, PixelGaussianDetector, bench_detectors, smooth
from pydantic import ValidationError

import bench
from bench.conformance import parametrize_with_checks

SIZE = 24
Pixels = NDArray[np.uint8]


def images(number: int, seed: int, channels: int = 1, lesions: bool = False) -> Pixels:
    """Draw uint8 (number, SIZE, SIZE, channels): noise with a black border, and bright squares if asked for."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(80, 140, (number, SIZE, SIZE, channels), dtype=np.uint8)
    drawn[:, :3] = 0
    if lesions:
        for image in drawn:
            row, column = rng.integers(5, SIZE - 6, 2)
            image[row : row + 4, column : column + 4] = 220
    drawn.flags.writeable = False
    return drawn


@pytest.fixture
def run(tmp_path: Path) -> bench.RunContext:
    """What the harness gives a detector."""
    return bench.RunContext(seed=0, device="cpu", scratch=tmp_path)


@pytest.fixture
def fitted(run: bench.RunContext) -> PixelGaussianDetector:
    """A detector that has learned from 30 normal images."""
    return PixelGaussianDetector(PixelGaussianConfig(image_size=SIZE)).fit(images(30, seed=0), run)


@parametrize_with_checks(["pixel-gaussian"])
def test_contract(check: Callable[[], None]) -> None:
    """Every check of the conformance kit."""
    check()


def test_local_lesions_are_found(fitted: PixelGaussianDetector, run: bench.RunContext) -> None:
    """AUROC, counted pair by pair, is far above chance."""
    normal = fitted.anomaly_scores(images(20, seed=1), run)
    anomalous = fitted.anomaly_scores(images(20, seed=2, lesions=True), run)
    assert (anomalous[:, None] > normal[None, :]).mean() > 0.9


def test_the_map_is_highest_on_the_lesion(fitted: PixelGaussianDetector, run: bench.RunContext) -> None:
    """A map has the image's size, and its highest pixel lies on the bright square."""
    one = images(1, seed=3).copy()
    one[0, 10:14, 15:19] = 220
    (found,) = fitted.anomaly_maps(one, run)
    assert found.shape == (SIZE, SIZE)
    assert found.dtype == np.float32
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 10 <= row < 14
    assert 15 <= column < 19


def test_companions_and_chunks_change_no_bit(run: bench.RunContext) -> None:
    """An image alone, in a chunk, and in reverse order has the same score, also as a grey view of three channels."""
    grey = images(9, seed=4, lesions=True)
    view = np.broadcast_to(grey, (*grey.shape[:3], 3))
    detector = PixelGaussianDetector(PixelGaussianConfig(image_size=SIZE, channels=3)).fit(view, run)
    together = detector.anomaly_scores(view, run)
    alone = np.concatenate([detector.anomaly_scores(view[index : index + 1], run) for index in range(9)])
    assert together.dtype == np.float64
    assert together.tobytes() == alone.tobytes()
    assert together.tobytes() == detector.anomaly_scores(view[::-1], run)[::-1].tobytes()
    assert together.tobytes() == detector.anomaly_scores(view.copy(), run).tobytes()
    assert detector.anomaly_scores(view[:0], run).shape == (0,)


def test_scores_are_finite_where_pixels_never_vary(run: bench.RunContext) -> None:
    """One constant normal image leaves every deviation at its floor."""
    constant = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    detector = PixelGaussianDetector(PixelGaussianConfig(image_size=SIZE)).fit(constant, run)
    assert np.isfinite(detector.anomaly_scores(np.full((1, SIZE, SIZE, 1), 255, np.uint8), run)).all()


def test_state_brings_back_the_same_scores(fitted: PixelGaussianDetector, run: bench.RunContext) -> None:
    """State is a copy, and another instance scores the same with it."""
    test = images(5, seed=5)
    expected = fitted.anomaly_scores(test, run)
    state = {name: array.copy() for name, array in fitted.state().items()}
    fitted.state()["mean"][:] = 0
    assert fitted.anomaly_scores(test, run).tobytes() == expected.tobytes()
    loaded = PixelGaussianDetector(PixelGaussianConfig(image_size=SIZE)).load_state(state)
    assert loaded.anomaly_scores(test, run).tobytes() == expected.tobytes()
    with pytest.raises(ValueError, match="one shape"):
        loaded.load_state({"mean": state["mean"], "deviation": state["deviation"][:2]})


def test_nothing_works_before_fit(run: bench.RunContext) -> None:
    """Scores, maps and state name the fault at once."""
    detector = PixelGaussianDetector(PixelGaussianConfig(image_size=SIZE))
    for ask in (lambda: detector.anomaly_scores(images(1, 0), run), lambda: detector.anomaly_maps(images(1, 0), run)):
        with pytest.raises(bench.NotFittedError, match="fit or load_state"):
            ask()
    with pytest.raises(bench.NotFittedError, match="fit or load_state"):
        detector.state()


def test_fit_refuses_what_it_cannot_learn_from(run: bench.RunContext) -> None:
    """No image, or images that are not uint8."""
    detector = PixelGaussianDetector(PixelGaussianConfig(image_size=SIZE))
    with pytest.raises(ValueError, match="at least one"):
        detector.fit(images(0, seed=0), run)
    with pytest.raises(ValueError, match="float64"):
        detector.fit(np.zeros((2, SIZE, SIZE, 1)), run)  # type: ignore[arg-type]


def test_smoothing_keeps_constants_and_spreads_points() -> None:
    """The filter's weights sum to one; an inner point spreads over 5 × 5 pixels."""
    assert np.allclose(smooth(np.full((6, 7, 2), 3.0), 3), 3.0)
    point = np.zeros((9, 9))
    point[4, 4] = 256
    spread = smooth(point, 1)
    assert spread[4].tolist() == [0, 0, 6, 24, 36, 24, 6, 0, 0]
    assert (smooth(point, 0) == point).all()


def test_the_offer_matches_the_class() -> None:
    """The preset is a valid configuration, and unknown fields are refused."""
    (spec,) = bench_detectors()
    assert spec.maps
    assert spec.load() is PixelGaussianDetector
    for preset in spec.presets.values():
        spec.config()(**preset)
    with pytest.raises(ValidationError):
        PixelGaussianConfig(smoothness=2)  # type: ignore[call-arg]
