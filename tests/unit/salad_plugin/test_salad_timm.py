"""SALAD on a frozen encoder: its weights stay as they came, and are no part of what is learned."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.torchkit import load_backbone
from salad_plugin.config import SaladTimmConfig
from salad_plugin.detector import SaladDetector
from salad_plugin.networks import BackboneEncoder, Networks
from salad_plugin.train import train, translation
from tests.unit.toy_images import blobs, run_context

CONFIG = SaladTimmConfig(image_size=32, width=4, latent=8, steps=3, batch_size=8, held_out=0.25)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> SaladDetector:
    return SaladDetector(CONFIG).fit(blobs(24, 0, channels=3), run_context(tmp_path_factory.mktemp("scratch")))


def encoder_of(networks: Networks) -> BackboneEncoder:
    assert isinstance(networks.encoder, BackboneEncoder)
    return networks.encoder


def test_training_leaves_the_backbone_as_it_came(tmp_path: Path) -> None:
    networks, generator = Networks.build(CONFIG, "cpu"), torch.Generator().manual_seed(0)
    encoder = encoder_of(networks)
    latent = encoder.to_latent.weight.clone()
    train(CONFIG, networks, blobs(16, 0, channels=3), run_context(tmp_path), generator)
    came = load_backbone(CONFIG.backbone, "cpu", (-4, -3, -2, -1)).state_dict()
    now = encoder.backbone.state_dict()
    assert set(now) == set(came)
    assert all(torch.equal(now[name], came[name]) for name in came)
    assert not any(p.requires_grad for p in encoder.backbone.parameters())
    assert not any(module.training for module in encoder.backbone.modules())
    assert not torch.equal(encoder.to_latent.weight, latent)


def test_no_parameter_of_the_backbone_is_handed_to_the_optimizer() -> None:
    networks = Networks.build(CONFIG, "cpu")
    frozen = {id(p) for p in encoder_of(networks).backbone.parameters()}
    assert frozen
    assert not frozen & {id(p) for p in networks.translation()}
    assert encoder_of(networks).to_latent in networks.learned().values()


def test_consistency_reaches_the_decoder_through_the_frozen_encoder(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"consistency_weight": 1.0})
    networks = Networks.build(config, "cpu")
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    translated = translation(config, networks, x, run_context(tmp_path), torch.Generator().manual_seed(0))
    assert translated.again is not None
    (translated.z.detach() - translated.again).square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in networks.decoder.parameters())


def test_the_state_has_no_weight_of_the_backbone_and_gives_the_same_scores(
    fitted: SaladDetector, tmp_path: Path
) -> None:
    state, images, run = fitted.state(), blobs(11, 1, channels=3), run_context(tmp_path)
    assert not [name for name in state if "backbone" in name]
    assert [name for name in state if name.startswith("encoder.")] == ["encoder.weight"]
    other = SaladDetector(CONFIG).load_state({name: array.copy() for name, array in state.items()})
    np.testing.assert_array_equal(other.anomaly_scores(images, run), fitted.anomaly_scores(images, run))
    pairs = zip(other.anomaly_maps(images, run), fitted.anomaly_maps(images, run), strict=True)
    assert all(np.array_equal(made, expected) for made, expected in pairs)


def test_scores_and_maps_do_not_depend_on_companions(fitted: SaladDetector, tmp_path: Path) -> None:
    images, run = blobs(11, 1, channels=3), run_context(tmp_path)
    together = fitted.anomaly_scores(images, run)
    assert np.isfinite(together).all() and len(set(together)) == 11
    parts = [fitted.anomaly_scores(images[start:stop], run) for start, stop in ((0, 3), (3, 11))]
    np.testing.assert_array_equal(np.concatenate(parts), together)
    maps = list(fitted.anomaly_maps(images, run))
    assert {made.shape for made in maps} == {(32, 32)}
    np.testing.assert_array_equal(next(iter(fitted.anomaly_maps(images[7:8], run))), maps[7])


@pytest.mark.parametrize("pretext", ["none", "transform", "restore"])
def test_the_other_pretext_tasks_run_on_it(tmp_path: Path, pretext: str) -> None:
    config = CONFIG.model_validate({**CONFIG.model_dump(), "pretext": pretext, "steps": 1})
    run = run_context(tmp_path)
    detector = SaladDetector(config).fit(blobs(16, 0, channels=3), run)
    assert np.isfinite(detector.anomaly_scores(blobs(5, 1, channels=3), run)).all()
