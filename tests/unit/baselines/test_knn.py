"""Nearest neighbours on frozen features."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from baselines.knn import SPEC
from baselines.knn.config import KnnConfig
from baselines.knn.detector import KnnDetector, mean_nearest_distance, pooled_features
from bench import NotFittedError, RunContext
from bench.torchkit import load_backbone, to_tensor

SMALL = KnnConfig(image_size=32, k=3)


def draw(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def run(tmp_path: Path) -> RunContext:
    return RunContext(seed=0, device="cpu", scratch=tmp_path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> KnnDetector:
    return KnnDetector(SMALL).fit(draw(20), RunContext(0, "cpu", tmp_path_factory.mktemp("scratch")))


def brute_force(queries: NDArray[Any], bank: NDArray[Any], k: int) -> NDArray[np.float64]:
    distances = np.sqrt(((queries[:, None].astype(np.float64) - bank[None]) ** 2).sum(axis=2))
    return np.asarray(np.sort(distances, axis=1)[:, :k].mean(axis=1))


def test_listing_it_imports_no_network_library() -> None:
    program = """
import sys
from baselines.knn import SPEC
(weights,) = SPEC.pretrained(SPEC.config()())
assert weights.sha256() == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
heavy = {"torch", "timm", "scipy", "sklearn", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_its_presets_are_valid_and_its_images_are_of_three_channels() -> None:
    assert "smoke" in SPEC.presets
    for values in SPEC.presets.values():
        SPEC.config()(**values)
    with pytest.raises(ValidationError):
        SPEC.config()(channels=1)


def test_scores_are_brute_force_distances_between_the_pooled_features(fitted: KnnDetector, run: RunContext) -> None:
    backbone = load_backbone("tf_efficientnet_lite0", "cpu", (-3, -2, -1))
    features: Mapping[int, NDArray[Any]] = {
        seed: pooled_features(backbone, to_tensor(draw(count, seed), "cpu")).numpy()
        for seed, count in ((0, 20), (1, 7))
    }
    assert features[0].shape == (20, 40 + 112 + 320)
    np.testing.assert_allclose(fitted.state()["features"], features[0], rtol=1e-3, atol=1e-5)
    expected = brute_force(features[1], features[0], SMALL.k)
    np.testing.assert_allclose(fitted.anomaly_scores(draw(7, 1), run), expected, rtol=1e-4)


def test_distances_agree_with_brute_force_and_k_is_capped() -> None:
    rng = np.random.default_rng(0)
    queries, bank = rng.normal(size=(9, 30)).astype(np.float32), rng.normal(size=(6, 30)).astype(np.float32)
    for k in (1, 4, 6, 50):
        found = mean_nearest_distance(torch.from_numpy(queries), torch.from_numpy(bank), k)
        np.testing.assert_allclose(found.numpy(), brute_force(queries, bank, min(k, 6)), rtol=1e-5)


def test_an_image_of_the_bank_is_its_own_nearest_neighbour(run: RunContext) -> None:
    detector = KnnDetector(KnnConfig(image_size=32, k=1)).fit(draw(5), run)
    np.testing.assert_array_equal(detector.anomaly_scores(draw(5), run), 0)
    assert detector.anomaly_scores(draw(5, 1), run).min() > 0


def test_a_score_does_not_depend_on_the_images_beside_it(fitted: KnnDetector, run: RunContext) -> None:
    images = draw(70, 1)  # more than one batch
    together = fitted.anomaly_scores(images, run)
    assert together.dtype == np.float64
    parts = [fitted.anomaly_scores(images[start:stop], run) for start, stop in ((0, 1), (1, 33), (33, 70))]
    np.testing.assert_array_equal(np.concatenate(parts), together)
    np.testing.assert_array_equal(fitted.anomaly_scores(images[::-1], run)[::-1], together)


def test_precision_and_seed_do_not_change_a_score(fitted: KnnDetector, run: RunContext) -> None:
    other = RunContext(seed=9, device="cpu", scratch=run.scratch, precision="bfloat16")
    again = KnnDetector(SMALL).fit(draw(20), other).anomaly_scores(draw(4, 1), other)
    np.testing.assert_array_equal(again, fitted.anomaly_scores(draw(4, 1), run))


def test_its_state_is_the_features_alone_and_makes_another_instance_score_the_same(
    fitted: KnnDetector, run: RunContext
) -> None:
    state = fitted.state()
    assert {name: array.shape for name, array in state.items()} == {"features": (20, 472)}
    other = KnnDetector(SMALL).load_state(state)
    np.testing.assert_array_equal(other.anomaly_scores(draw(4, 1), run), fitted.anomaly_scores(draw(4, 1), run))


def test_it_refuses_to_score_before_fit(run: RunContext) -> None:
    with pytest.raises(NotFittedError, match="KnnDetector"):
        KnnDetector(SMALL).anomaly_scores(draw(1), run)
    with pytest.raises(NotFittedError, match="KnnDetector"):
        KnnDetector(SMALL).state()


def test_fitting_reports_its_progress_as_fitting(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    run = RunContext(
        0, "cpu", tmp_path, progress=lambda phase, done, total, **scalars: heard.append((phase, done, total))
    )
    KnnDetector(SMALL).fit(draw(65), run)
    assert heard == [("fit", 64, 65), ("fit", 65, 65)]
