"""SALAD: what is refused, what a weight of 0 leaves out of the score, and the preset for a quick look."""

from pathlib import Path

import numpy as np
import pytest
import torch

import salad_plugin.detector
from bench import DetectorError
from bench.metrics import auroc
from salad_plugin import SPEC
from salad_plugin.config import SaladConfig
from salad_plugin.detector import SaladDetector
from salad_plugin.networks import Networks
from tests.unit.toy_images import blobs, run_context

TINY = SaladConfig(image_size=32, width=4, latent=8, epochs=2, batch_size=16, held_out=0.25)


def constant_embeddings(config: SaladConfig, networks: Networks, *_: object) -> torch.Tensor:
    """Stand in for a training that ended in the trivial solution."""
    torch.nn.init.zeros_(networks.encoder.to_latent.weight)
    return torch.full((config.latent,), 0.1)


def test_collapsed_embeddings_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salad_plugin.detector, "train", constant_embeddings)
    with pytest.raises(DetectorError, match="collapsed"):
        SaladDetector(TINY).fit(blobs(40, 0), run_context(tmp_path))


def test_equal_images_are_no_collapse(tmp_path: Path) -> None:
    equal = np.full((40, 32, 32, 1), 100, np.uint8)
    run = run_context(tmp_path)
    assert np.isfinite(SaladDetector(TINY).fit(equal, run).anomaly_scores(equal, run)).all()


def test_pretext_weight_of_zero_removes_head_and_score_term(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"pretext_weight": 0.0})
    assert Networks.build(config, "cpu").transform_head is None
    assert Networks.build(TINY, "cpu").transform_head is not None
    assert config.terms == ("consistency", "center", "ssim")
    run = run_context(tmp_path)
    without = SaladDetector(config).fit(blobs(40, 0), run)
    assert "pretext" not in without._columns()
    assert np.isfinite(without.anomaly_scores(blobs(8, 1), run)).all()


def test_restoring_keeps_its_score_term_at_weight_zero() -> None:
    assert "pretext" in SaladConfig(pretext="restore", pretext_weight=0).terms


def test_a_score_without_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="no pretext task"):
        SaladConfig(pretext="none", score_terms=("pretext",))


def test_a_configuration_that_learns_nothing_is_refused() -> None:
    names = ("pixel", "ssim", "consistency", "image_adversarial", "latent_adversarial", "pretext")
    nothing = {f"{name}_weight": 0.0 for name in names}
    with pytest.raises(ValueError, match="every weight"):
        SaladConfig.model_validate(nothing)
    assert SaladConfig.model_validate({**nothing, "ssim_weight": 1.0}).learns


def test_no_images_have_no_scores(tmp_path: Path) -> None:
    run = run_context(tmp_path)
    scores = SaladDetector(TINY).fit(blobs(40, 0), run).anomaly_scores(blobs(1, 1)[:0], run)
    assert scores.shape == (0,)
    assert scores.dtype == np.float64


def test_smoke_preset_separates_the_toy(tmp_path: Path) -> None:
    config, run = SaladConfig.model_validate(SPEC.presets["smoke"]), run_context(tmp_path)
    detector = SaladDetector(config).fit(blobs(120, 0, size=64), run)
    test = np.concatenate([blobs(24, 1, size=64), blobs(24, 2, square=True, size=64)])
    assert auroc(np.repeat([0, 1], 24).astype(np.int8), detector.anomaly_scores(test, run)) > 0.6
