"""SALAD: the contract, every switch, the score, the center."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import DetectorError
from bench.conformance import CHECKS, run_check
from bench.conformance.subject import Subject
from bench.registry import Offer, Plugin
from salad_plugin import SPEC
from salad_plugin.config import SaladConfig
from salad_plugin.detector import SaladDetector
from salad_plugin.networks import Decoder, Encoder, Networks
from salad_plugin.train import discriminator_step, generator_step, measure_center
from tests.unit.toy_images import blobs, run_context

TINY = SaladConfig(image_size=32, width=4, latent=8, epochs=10, batch_size=16, held_out=0.25, learning_rate=1e-3)


PRETEXT_CHECKS = {
    "score-shape",
    "companions",
    "order",
    "repeat",
    "same-seed",
    "state",
    "global-state",
    "inputs-unmodified",
}


@pytest.mark.parametrize("pretext", ["none", "restore"])
def test_contract_with_every_pretext(pretext: str) -> None:
    # The default, "transform", is what tests/conformance runs; these are the checks that a pretext could break.
    config = TINY.model_copy(update={"pretext": pretext})
    subject = Subject(Offer(SPEC, Plugin("salad", "salad_plugin", "salad-bench", "0", "ok")), config)
    results = [run_check(check, subject) for check in CHECKS if check.name in PRETEXT_CHECKS]
    assert {result.check: result.why for result in results if result.status == "fail"} == {}


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    config = SaladConfig(image_size=size, channels=channels, width=4, latent=10)
    x = torch.zeros(2, channels, size, size)
    z, features = Encoder(config)(x)
    assert z.shape == (2, 10)
    assert [feature.shape[2] for feature in features] == [size // 2**k for k in range(1, len(features) + 1)]
    assert features[-1].shape[2] == 4
    assert Decoder(config)(z).shape == x.shape


def test_weight_of_zero_removes_the_network() -> None:
    networks = Networks.build(
        SaladConfig(width=4, image_adversarial_weight=0, latent_adversarial_weight=0, pretext="none"), "cpu"
    )
    assert networks.discriminators() == []
    assert networks.transform_head is None
    assert set(networks.scoring()) == {"encoder", "decoder"}
    assert len(Networks.build(SaladConfig(width=4), "cpu").discriminators()) == 2


@pytest.mark.parametrize(
    ("field", "loss"),
    [
        ("ssim_weight", "ssim"),
        ("consistency_weight", "consistency"),
        ("center_weight", "center"),
        ("pixel_weight", "pixel"),
    ],
)
def test_weight_of_zero_removes_the_term(tmp_path: Path, field: str, loss: str) -> None:
    x, center = torch.rand(4, 1, 32, 32), torch.ones(8)

    def step(config: SaladConfig) -> float:
        torch.manual_seed(0)
        networks = Networks.build(config, "cpu")
        made, _ = generator_step(config, networks, x, center, run_context(tmp_path), torch.Generator().manual_seed(0))

        return float(getattr(made, loss).detach())

    assert step(TINY) > 0
    assert step(TINY.model_copy(update={field: 0.0})) == 0


def test_total_is_the_weighted_sum(tmp_path: Path) -> None:
    networks = Networks.build(TINY, "cpu")
    made, translated = generator_step(
        TINY, networks, torch.rand(4, 1, 32, 32), torch.ones(8), run_context(tmp_path), torch.Generator().manual_seed(0)
    )
    expected = 50 * made.pixel + 10 * made.ssim + made.consistency + 0.1 * made.center + made.pretext + made.adversarial
    assert made.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert not translated.images.requires_grad
    judged = discriminator_step(networks, torch.rand(4, 1, 32, 32), translated, run_context(tmp_path))
    assert judged.total.item() == pytest.approx((judged.image + judged.latent).item())


def test_cycle_is_a_switch(tmp_path: Path) -> None:
    def total(weight: float) -> float:
        torch.manual_seed(0)
        config = TINY.model_copy(update={"cycle_weight": weight})
        networks = Networks.build(config, "cpu")
        x, run = torch.full((4, 1, 32, 32), 0.5), run_context(tmp_path)
        return generator_step(config, networks, x, None, run, torch.Generator().manual_seed(0))[0].total.item()

    assert total(1.0) > total(0.0)


def test_center_is_the_guarded_mean_embedding(tmp_path: Path) -> None:
    networks, images = Networks.build(TINY, "cpu"), blobs(20, 0)
    center = measure_center(networks, images, TINY, run_context(tmp_path))
    assert center.shape == (8,)
    assert (center.abs() >= 0.1 - 1e-6).all()
    assert networks.encoder.training


def test_score_is_the_sum_of_standardised_terms(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"score_terms": ("consistency", "ssim"), "feature_levels": 2})
    detector = SaladDetector(config).fit(blobs(48, 0), run_context(tmp_path))
    assert detector._columns() == ["consistency"] * 3 + ["ssim"]
    standardised = np.array([[1.0, 2.0, 3.0, 10.0]])
    assert detector._combine(standardised).tolist() == [12.0]


@pytest.mark.parametrize("term", ["consistency", "center", "ssim", "pretext"])
def test_each_score_term_alone(tmp_path: Path, term: str) -> None:
    config = TINY.model_copy(update={"score_terms": (term,), "epochs": 1})
    run = run_context(tmp_path)
    scores = SaladDetector(config).fit(blobs(40, 0), run).anomaly_scores(blobs(30, 1), run)
    assert np.isfinite(scores).all()
    assert scores.std() > 0


def test_normal_images_score_about_zero(tmp_path: Path) -> None:
    run = run_context(tmp_path)
    scores = SaladDetector(TINY).fit(blobs(80, 0), run).anomaly_scores(blobs(80, 1), run)
    assert abs(np.median(scores)) < 4


def test_pretext_term_needs_a_pretext_task() -> None:
    assert SaladConfig(pretext="none").terms == ("consistency", "center", "ssim")


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        SaladConfig(image_size=48)
    with pytest.raises(ValueError, match="twice"):
        SaladConfig(score_terms=("ssim", "ssim"))


def test_divergence_is_an_error_not_a_score(tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e30, "epochs": 20})
    with pytest.raises(DetectorError, match="learning_rate"):
        SaladDetector(wild).fit(blobs(48, 0), run_context(tmp_path))
