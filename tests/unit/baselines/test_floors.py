"""The detectors that every other one has to beat: random, mean intensity and PCA."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from baselines import mean_intensity, pca, random_score
from baselines.pca.detector import principal_axes
from bench import Detector, DetectorSpec, NotFittedError, RunContext

Images = NDArray[np.uint8]
FLOORS = [random_score.SPEC, mean_intensity.SPEC, pca.SPEC]
every_floor = pytest.mark.parametrize("spec", FLOORS, ids=lambda spec: spec.name)


def draw(count: int, seed: int = 0, size: int = 16, channels: int = 1) -> Images:
    """Smooth random images, no two alike."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, size)
    waves = np.stack([np.outer(np.sin(ramp * f), np.cos(ramp * g)) for f in range(1, 5) for g in range(1, 5)])
    pixels = 128 + np.tensordot(rng.normal(0, 12, (count, 16)), waves, 1) + rng.normal(0, 2, (count, size, size))
    return np.repeat(np.clip(pixels, 0, 255).astype(np.uint8)[..., None], channels, axis=3)


def context(tmp_path: Path, seed: int = 0) -> RunContext:
    return RunContext(seed=seed, device="cpu", scratch=tmp_path)


def make(spec: DetectorSpec, **values: Any) -> Detector[Any]:
    return spec.load()(spec.config()(**{"image_size": 16, **values}))


@every_floor
def test_listing_and_running_it_never_imports_torch(spec: DetectorSpec) -> None:
    module = spec.package or ""
    program = f"""
import sys
import {module} as package
heavy = {{"torch", "timm", "scipy", "sklearn", "pandas"}}
package.SPEC.config()()
assert not heavy & set(sys.modules), heavy & set(sys.modules)
import numpy, pathlib, bench
run = bench.RunContext(0, "cpu", pathlib.Path("."))
images = numpy.random.default_rng(0).integers(0, 256, (6, 64, 64, 1), dtype=numpy.uint8)
assert len(package.SPEC.load()(package.SPEC.config()()).fit(images, run).anomaly_scores(images, run)) == 6
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@every_floor
def test_its_presets_are_valid_and_smoke_is_there(spec: DetectorSpec) -> None:
    assert "smoke" in spec.presets
    for values in spec.presets.values():
        spec.config()(**values)
    assert spec.package is not None
    assert not spec.torch


@every_floor
def test_it_refuses_to_score_before_fit(spec: DetectorSpec, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        make(spec).anomaly_scores(draw(2), context(tmp_path))
    with pytest.raises(NotFittedError, match="fit"):
        make(spec).state()


@every_floor
def test_its_state_makes_another_instance_score_the_same(spec: DetectorSpec, tmp_path: Path) -> None:
    fitted = make(spec).fit(draw(20), context(tmp_path, seed=3))
    other = make(spec).load_state({name: array.copy() for name, array in fitted.state().items()})
    images = draw(9, seed=1)
    # The seed of the run that scores is another one: all that decides a score is in the state.
    expected = fitted.anomaly_scores(images, context(tmp_path, seed=3))
    np.testing.assert_array_equal(other.anomaly_scores(images, context(tmp_path, seed=8)), expected)


@every_floor
def test_a_score_does_not_depend_on_the_images_beside_it(spec: DetectorSpec, tmp_path: Path) -> None:
    run = context(tmp_path)
    detector, images = make(spec).fit(draw(20), run), draw(13, seed=1)
    together = detector.anomaly_scores(images, run)
    assert together.dtype == np.float64
    assert len(np.unique(together)) == 13
    order = np.random.default_rng(0).permutation(13)
    np.testing.assert_array_equal(detector.anomaly_scores(images[order], run), together[order])
    parts = [detector.anomaly_scores(images[start : start + 4], run) for start in range(0, 13, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), together)


@every_floor
def test_it_takes_read_only_views_and_leaves_them_alone(spec: DetectorSpec, tmp_path: Path) -> None:
    grey = draw(8)
    colour = np.broadcast_to(grey, (8, 16, 16, 3))
    before = grey.copy()
    run = context(tmp_path)
    scores = make(spec, channels=3).fit(colour, run).anomaly_scores(colour, run)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(grey, before)


@every_floor
def test_the_seed_changes_the_scores_of_stochastic_detectors_only(spec: DetectorSpec, tmp_path: Path) -> None:
    images = draw(6)
    first, second = (
        make(spec).fit(images, context(tmp_path, seed)).anomaly_scores(images, context(tmp_path, seed))
        for seed in (0, 1)
    )
    assert np.array_equal(first, second) is not spec.stochastic


def test_random_scores_are_uniform_and_unrelated_between_seeds(tmp_path: Path) -> None:
    from scipy.stats import kstest

    images = np.random.default_rng(0).integers(0, 256, (4000, 8, 8, 1), dtype=np.uint8)
    scores = []
    for seed in (0, 1):
        run = context(tmp_path, seed)
        scores.append(make(random_score.SPEC, image_size=8).fit(images[:1], run).anomaly_scores(images, run))
    assert all(((s >= 0) & (s < 1)).all() for s in scores)
    assert all(kstest(s, "uniform").pvalue > 1e-3 for s in scores)
    assert abs(np.corrcoef(*scores)[0, 1]) < 0.06  # 4 standard errors


def test_random_scores_of_equal_images_are_equal_and_one_pixel_changes_everything(tmp_path: Path) -> None:
    images = np.zeros((3, 16, 16, 1), np.uint8)
    images[2, 7, 7] = 1
    run = context(tmp_path)
    same, again, other = make(random_score.SPEC).fit(images, run).anomaly_scores(images, run)
    assert same == again != other


def test_mean_intensity_is_the_mean_of_the_pixels_and_brighter_is_higher(tmp_path: Path) -> None:
    images, run = draw(10), context(tmp_path)
    detector = make(mean_intensity.SPEC).fit(images, run)
    scores = detector.anomaly_scores(images, run)
    np.testing.assert_allclose(scores, [image.mean() for image in images], rtol=1e-12)
    np.testing.assert_allclose(detector.anomaly_scores(255 - images, run), 255 - scores, rtol=1e-12)
    np.testing.assert_array_equal(detector.anomaly_scores(images[:, :, ::-1], run), scores)  # mirrored
    assert detector.anomaly_scores(np.full((1, 16, 16, 1), 255, np.uint8), run)[0] == 255


@pytest.mark.parametrize("count", [40, 400], ids=["fewer images than pixels", "more images than pixels"])
def test_pca_has_the_reconstruction_error_of_scikit_learn(count: int, tmp_path: Path) -> None:
    from sklearn.decomposition import PCA

    normal, images, run = draw(count), draw(25, seed=1), context(tmp_path)
    scores = make(pca.SPEC, components=12).fit(normal, run).anomaly_scores(images, run)
    reference = PCA(n_components=12, svd_solver="full").fit(normal.reshape(count, -1) / 255.0)
    pixels = images.reshape(25, -1) / 255.0
    rebuilt = reference.inverse_transform(reference.transform(pixels))
    np.testing.assert_allclose(scores, ((pixels - rebuilt) ** 2).mean(axis=1), rtol=1e-6)


def test_pca_rebuilds_what_it_has_seen_and_not_what_it_has_not(tmp_path: Path) -> None:
    normal, run = draw(10), context(tmp_path)
    detector = make(pca.SPEC, components=32).fit(normal, run)  # more than ten images can span
    assert detector.state()["axes"].shape == (9, 256)
    assert detector.anomaly_scores(normal, run).max() < 1e-12
    stranger = normal[:1].copy()
    stranger[0, 4:8, 4:8] = 255
    assert detector.anomaly_scores(stranger, run)[0] > 1e-3


@pytest.mark.parametrize("shape", [(6, 50), (50, 6)])
def test_principal_axes_are_orthonormal_and_strongest_first(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape)
    rows -= rows.mean(axis=0)
    axes = principal_axes(rows, 4)
    np.testing.assert_allclose(axes @ axes.T, np.eye(4), atol=1e-9)
    spread = np.linalg.norm(rows @ axes.T, axis=0)
    np.testing.assert_allclose(spread, np.linalg.svd(rows, compute_uv=False)[:4])


def test_pca_of_identical_images_scores_the_distance_to_them(tmp_path: Path) -> None:
    normal, run = np.full((4, 16, 16, 1), 100, np.uint8), context(tmp_path)
    detector = make(pca.SPEC).fit(normal, run)
    assert detector.state()["axes"].shape == (0, 256)
    np.testing.assert_allclose(detector.anomaly_scores(normal + np.uint8(51), run), 0.2**2)
