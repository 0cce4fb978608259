"""One step: what is in the loss, what its switches take out, whose statistics and weights it changes."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench import DetectorError
from salad_plugin.config import SaladConfig
from salad_plugin.losses import fools, squared_distance, ssim_scales
from salad_plugin.networks import Networks
from salad_plugin.train import (
    GeneratorLosses,
    augment,
    discriminator_losses,
    generator_losses,
    measure_center,
    running_statistics,
    train,
    translation,
)
from tests.unit.salad_plugin.tiny import buffers, built, picture, tiny
from tests.unit.toy_images import blobs, run_context

CENTER = torch.ones(8)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def step(config: SaladConfig, folder: Path, center: torch.Tensor | None = CENTER) -> GeneratorLosses:
    """Losses of freshly built networks, the same for every configuration as far as they share terms."""
    networks, run, generator = built(config), run_context(folder), seeded()
    translated = translation(config, networks, picture(), run, generator)
    return generator_losses(config, networks, translated, center, run, generator)


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("pretext", ["none", "transform", "restore", "locate"])
def test_the_total_is_the_weighted_sum(tmp_path: Path, pretext: str) -> None:
    made = step(tiny(pretext=pretext), tmp_path)
    expected = made.pixel + 0.5 * made.ssim + 0.2 * made.consistency + 0.1 * made.center
    expected = expected + 0.7 * made.pretext + made.adversarial
    assert made.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (made.pretext.item() > 0) == (pretext != "none")


@pytest.mark.parametrize(
    ("field", "loss"),
    [
        ("pixel_weight", "pixel"),
        ("ssim_weight", "ssim"),
        ("consistency_weight", "consistency"),
        ("center_weight", "center"),
        ("pretext_weight", "pretext"),
    ],
)
def test_a_weight_of_zero_removes_the_term(tmp_path: Path, field: str, loss: str) -> None:
    center = None if field == "center_weight" else CENTER  # what train() hands over then
    made, without = step(tiny(), tmp_path), step(tiny(**{field: 0}), tmp_path, center)
    assert getattr(made, loss).item() > 0
    assert getattr(without, loss).item() == 0
    assert without.total.item() != made.total.item()


def test_losses_are_what_they_are_called(tmp_path: Path) -> None:
    config, run = tiny(pretext="none"), run_context(tmp_path)
    networks = built(config)
    translated = translation(config, networks, picture(), run, seeded())
    made = generator_losses(config, networks, translated, CENTER, run, seeded())
    assert made.pixel.item() == pytest.approx((translated.fake - translated.x).abs().mean().item(), rel=1e-5)
    assert made.ssim.item() == pytest.approx(1 - ssim_scales(translated.x, translated.fake).mean().item(), rel=1e-5)
    assert translated.again is not None
    again = squared_distance(translated.z, translated.again).mean().item()
    assert made.consistency.item() == pytest.approx(again, rel=1e-5)
    assert made.center.item() == pytest.approx((translated.z - 1).square().mean().item(), rel=1e-5)
    assert networks.image_discriminator is not None and networks.latent_discriminator is not None
    adversarial = 0.03 * fools(networks.image_discriminator(translated.fake))
    adversarial = adversarial + 0.02 * fools(networks.latent_discriminator(translated.z))
    assert made.adversarial.item() == pytest.approx(adversarial.item(), rel=1e-3)


def test_each_adversarial_weight_is_a_switch(tmp_path: Path) -> None:
    image = step(tiny(latent_adversarial_weight=0), tmp_path).adversarial.item()
    latent = step(tiny(image_adversarial_weight=0), tmp_path).adversarial.item()
    neither = step(tiny(image_adversarial_weight=0, latent_adversarial_weight=0), tmp_path).adversarial.item()
    assert image > 0 and latent > 0 and neither == 0


def test_without_a_consistency_weight_nothing_is_encoded_again(tmp_path: Path) -> None:
    config = tiny(consistency_weight=0)
    assert translation(config, built(config), picture(), run_context(tmp_path), seeded()).again is None


def test_cycle_is_a_switch(tmp_path: Path) -> None:
    off, on = (step(tiny(cycle_weight=weight), tmp_path).total.item() for weight in (0.0, 2.0))
    half = step(tiny(cycle_weight=1.0), tmp_path).total.item()
    assert on > half > off
    assert on - off == pytest.approx(2 * (half - off), rel=1e-3)


def test_before_the_center_is_measured_there_is_no_center_loss(tmp_path: Path) -> None:
    assert step(tiny(), tmp_path, None).center.item() == 0


def test_discriminators_see_values_alone(tmp_path: Path) -> None:
    config, run = tiny(), run_context(tmp_path)
    networks = built(config)
    translated = translation(config, networks, picture(), run, seeded())
    torch.manual_seed(0)
    judged = discriminator_losses(networks, translated, run)
    assert judged.image.item() > 0 and judged.latent.item() > 0
    assert judged.total.item() == pytest.approx((judged.image + judged.latent).item())
    judged.total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in networks.translation())
    assert all(p.grad is not None for module in networks.discriminators() for p in module.parameters())


def test_the_generators_gradients_reach_all_that_it_trains(tmp_path: Path) -> None:
    config, run = tiny(), run_context(tmp_path)
    networks = built(config)
    translated = translation(config, networks, picture(), run, seeded())
    generator_losses(config, networks, translated, CENTER, run, seeded()).total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in networks.translation())


# ---------------------------------------------------------------- statistics


def test_running_statistics_leave_batch_norm_as_it_is_and_gradients_flow() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    network(torch.randn(8, 1, 8, 8) + 3)
    before, x = buffers(network), torch.randn(8, 1, 8, 8).requires_grad_(True)
    with running_statistics(network):
        inside = network(x)
    inside.square().sum().backward()  # type: ignore[no-untyped-call]
    assert network.training and network[1].training
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not torch.allclose(inside, network(x))
    network.eval()
    with running_statistics(network):
        pass
    assert not network.training


def test_running_statistics_end_with_an_error_too() -> None:
    network = nn.BatchNorm2d(3)
    with pytest.raises(ZeroDivisionError), running_statistics(network):
        raise ZeroDivisionError
    assert network.training


@pytest.mark.parametrize("field", ["consistency_weight", "cycle_weight"])
def test_encoding_reconstructions_leaves_the_encoders_statistics_alone(tmp_path: Path, field: str) -> None:
    """They are smoother than images: learned from both, statistics fit neither, and scores of both are off."""

    def after(weight: float) -> dict[str, torch.Tensor]:
        config, run, generator = tiny(pretext="none", **{field: weight}), run_context(tmp_path), seeded()
        networks = built(config)
        translated = translation(config, networks, picture(), run, generator)
        generator_losses(config, networks, translated, CENTER, run, generator)
        return buffers(networks.encoder)

    without, with_weight, fresh = after(0), after(1), buffers(built(tiny(pretext="none")).encoder)
    assert any(not torch.equal(without[name], fresh[name]) for name in fresh)  # images do count
    assert all(torch.equal(without[name], with_weight[name]) for name in without)


def test_center_is_the_guarded_mean_embedding_of_each_coordinate(tmp_path: Path) -> None:
    networks, images = built(tiny()), blobs(20, 0)
    before = buffers(networks.encoder)
    center = measure_center(networks, images, tiny(), run_context(tmp_path))
    assert networks.encoder.training
    assert all(torch.equal(value, before[name]) for name, value in networks.encoder.named_buffers())
    networks.encoder.eval()
    mean = networks.encoder(torch.tensor(images).permute(0, 3, 1, 2) / 127.5 - 1)[0].mean(dim=0).detach()
    expected = torch.where(mean.abs() < 0.1, torch.where(mean < 0, -0.1, 0.1), mean)
    torch.testing.assert_close(center, expected, rtol=1e-3, atol=1e-4)
    assert center.shape == (8,)
    assert center.std() > 0


# ---------------------------------------------------------------- training


def test_augmenting_moves_whole_pixels_and_mirrors_some() -> None:
    x, generator = picture(12, size=32), torch.Generator().manual_seed(1)
    original = x.clone()
    mirrored, moved = 0, False
    for _ in range(3):
        made = augment(x, generator)
        assert made.shape == x.shape
        (down,) = {found[1] for found in (_find(a, b) for a, b in zip(made, x, strict=True))}
        moved |= down != (2, 2)
        mirrored += sum(_find(a, b)[0] for a, b in zip(made, x, strict=True))
    assert torch.equal(x, original)
    assert moved
    assert 6 < mirrored < 30


def _find(made: torch.Tensor, image: torch.Tensor) -> tuple[bool, tuple[int, int]]:
    """Whether it is mirrored, and where it was cut from the mirrored-out image, by trying all."""
    for flip in (False, True):
        padded = F.pad(image.flip(2) if flip else image, (2, 2, 2, 2), mode="reflect")
        for down, right in np.ndindex(5, 5):
            if torch.equal(made, padded[:, down : down + 32, right : right + 32]):
                return flip, (down, right)
    raise AssertionError("it is none of the image's own pixels moved")


def test_training_learns_to_reconstruct(tmp_path: Path) -> None:
    config, images, run = tiny(steps=60, learning_rate=2e-2, batch_size=8), blobs(64, 0), run_context(tmp_path)
    networks = built(config)

    def error() -> float:
        with torch.no_grad(), running_statistics(networks.encoder), running_statistics(networks.decoder):
            x = torch.tensor(images).permute(0, 3, 1, 2) / 127.5 - 1
            return F.l1_loss(networks.decoder(networks.encoder(x)[0]), x).item()

    before = error()
    train(config, networks, images, run, seeded())
    assert error() < 0.7 * before


def test_training_trains_every_network_and_tells_how_it_goes(tmp_path: Path) -> None:
    config, heard = tiny(steps=13), list[tuple[str, int, int]]()
    run = run_context(tmp_path)
    object.__setattr__(run, "progress", lambda phase, done, total, **_: heard.append((phase, done, total)))
    networks = built(config)
    before = copy.deepcopy(networks)
    train(config, networks, blobs(32, 0), run, seeded())
    for module, old in zip(_modules(networks), _modules(before), strict=True):
        pairs = zip(module.parameters(), old.parameters(), strict=True)
        assert all(not torch.equal(now, then) for now, then in pairs)
    assert heard == [("train", 10, 13), ("train", 13, 13)]


def _modules(networks: Networks) -> list[nn.Module]:
    return [*networks.learned().values(), *networks.discriminators()]


def test_training_without_discriminators_and_with_an_early_center(tmp_path: Path) -> None:
    config = tiny(image_adversarial_weight=0, latent_adversarial_weight=0, center_warmup=0, steps=2, augment=False)
    networks = built(config)
    train(config, networks, blobs(20, 0), run_context(tmp_path), seeded())
    assert all(torch.isfinite(p).all() for p in networks.translation())


def test_divergence_is_an_error_not_a_score(tmp_path: Path) -> None:
    config = tiny(learning_rate=1e30, steps=20)
    with pytest.raises(DetectorError, match="learning_rate"):
        train(config, built(config), blobs(48, 0), run_context(tmp_path), seeded())
