"""What fit refuses to return: networks that collapsed, and scores that are no numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

import salad_plugin.detector
from bench import DetectorError
from salad_plugin.config import SaladConfig
from salad_plugin.detector import SaladDetector
from salad_plugin.networks import Networks
from tests.unit.salad_plugin.tiny import tiny
from tests.unit.toy_images import blobs, run_context


def constant_embeddings(_: SaladConfig, networks: Networks, *__: object) -> None:
    """Stand in for a training that ended in the trivial solution."""
    torch.nn.init.zeros_(networks.encoder.to_latent.weight)


def no_numbers(_: SaladConfig, networks: Networks, *__: object) -> None:
    """Stand in for a training that diverged after its last report."""
    torch.nn.init.constant_(networks.decoder.layers[0].weight, float("nan"))


def test_collapsed_embeddings_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salad_plugin.detector, "train", constant_embeddings)
    with pytest.raises(DetectorError, match="collapsed"):
        SaladDetector(tiny()).fit(blobs(40, 0), run_context(tmp_path))


def test_scores_that_are_not_finite_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salad_plugin.detector, "train", no_numbers)
    with pytest.raises(DetectorError, match="learning_rate"):
        SaladDetector(tiny(score_terms=("ssim",))).fit(blobs(40, 0), run_context(tmp_path))
    with pytest.raises(DetectorError, match="learning_rate"):
        SaladDetector(tiny()).fit(blobs(40, 0), run_context(tmp_path))


def test_equal_images_are_no_collapse(tmp_path: Path) -> None:
    equal, run = np.full((40, 32, 32, 1), 100, np.uint8), run_context(tmp_path)
    detector = SaladDetector(tiny(steps=2)).fit(equal, run)
    assert np.isfinite(detector.anomaly_scores(equal, run)).all()
    assert all(np.isfinite(made).all() for made in detector.anomaly_maps(equal[:3], run))


def test_divergence_is_an_error_not_a_score(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="learning_rate"):
        SaladDetector(tiny(learning_rate=1e30, steps=20)).fit(blobs(48, 0), run_context(tmp_path))
