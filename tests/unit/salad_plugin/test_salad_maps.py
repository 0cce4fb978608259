"""Anomaly maps: in place, standardised, and higher where something is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.torchkit import to_tensor
from salad_plugin.config import ScoreTerm
from salad_plugin.detector import SaladDetector
from salad_plugin.losses import ssim_map
from salad_plugin.maps import MapScale, raw_maps, raw_maps_once
from tests.unit.salad_plugin.tiny import built, picture, tiny
from tests.unit.toy_images import blobs, run_context


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> SaladDetector:
    config = tiny(steps=80, learning_rate=2e-2, batch_size=8)
    return SaladDetector(config).fit(blobs(80, 0), run_context(tmp_path_factory.mktemp("scratch")))


def maps_of(detector: SaladDetector, images: np.ndarray, folder: Path) -> list[np.ndarray]:
    return list(detector.anomaly_maps(images, run_context(folder)))


def test_maps_are_higher_inside_of_a_pasted_square(fitted: SaladDetector, tmp_path: Path) -> None:
    images = blobs(20, 1)
    images[:, 6:16, 4:14] = 250
    maps = np.stack(maps_of(fitted, images, tmp_path))
    inside = maps[:, 6:16, 4:14].mean(axis=(1, 2))
    outside = np.concatenate([maps[:, 20:].reshape(20, -1), maps[:, :20, 20:].reshape(20, -1)], axis=1).mean(axis=1)
    assert (inside > outside).mean() >= 0.9
    assert inside.mean() > outside.mean() + 0.5


def test_one_finite_map_an_image_in_their_order_whoever_comes_along(fitted: SaladDetector, tmp_path: Path) -> None:
    images = blobs(37, 1)  # more than two batches
    together = maps_of(fitted, images, tmp_path)
    assert len(together) == 37
    for made in together:
        assert made.shape == (32, 32)
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
    for made, again in zip(maps_of(fitted, images[::-1], tmp_path)[::-1], together, strict=True):
        np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(maps_of(fitted, images[5:6], tmp_path)[0], together[5])
    assert maps_of(fitted, images[:0], tmp_path) == []


def test_maps_of_normal_images_are_about_zero(fitted: SaladDetector, tmp_path: Path) -> None:
    assert abs(np.stack(maps_of(fitted, blobs(40, 3), tmp_path)).mean()) < 0.5


@pytest.mark.parametrize(
    ("terms", "pretext", "count"),
    [
        (("consistency", "center", "ssim", "pretext"), "locate", 3),
        (("ssim",), "locate", 1),
        (("pretext",), "locate", 1),
        (("center",), "locate", 3),  # it has no place: all there are
        (("center",), "none", 2),
        (("ssim", "pretext"), "transform", 1),
        (("pretext",), "restore", 2),
    ],
)
def test_a_map_for_each_term_that_has_a_place(
    tmp_path: Path, terms: tuple[ScoreTerm, ...], pretext: str, count: int
) -> None:
    maps = raw_maps_once(built(tiny(pretext=pretext)), terms, picture(3), run_context(tmp_path))
    assert maps.shape == (3, count, 32, 32)
    assert torch.isfinite(maps).all()
    assert maps.min() >= -1e-6


@torch.no_grad()
def test_the_map_of_ssim_lies_where_it_was_measured(tmp_path: Path) -> None:
    networks, x = built(tiny()), picture(2)
    networks.encoder.eval(), networks.decoder.eval()
    (made,) = raw_maps_once(networks, ("ssim",), x, run_context(tmp_path)).unbind(dim=1)
    expected = 1 - ssim_map(x, networks.decoder(networks.encoder(x)[0]))[:, 0]
    torch.testing.assert_close(made[:, 5:-5, 5:-5], expected)


def test_held_out_maps_have_mean_zero_and_deviation_one(tmp_path: Path) -> None:
    config, images, run = tiny(score_terms=["ssim"]), blobs(32, 0), run_context(tmp_path)
    networks = built(config)
    networks.encoder.eval(), networks.decoder.eval()
    scale = MapScale.of(networks, config, images, run)
    with torch.no_grad():
        fused = scale.fuse(raw_maps(networks, config, to_tensor(images, "cpu"), run))
    assert fused.mean().item() == pytest.approx(0, abs=1e-3)
    assert fused.std().item() == pytest.approx(1, abs=1e-2)


def test_fusing_is_the_mean_of_standardised_maps() -> None:
    from bench.torchkit import Standardiser

    scale = MapScale(Standardiser(np.array([1.0, 10.0]), np.array([2.0, 5.0])))
    maps = torch.stack([torch.full((1, 2, 2), 3.0), torch.full((1, 2, 2), 20.0)], dim=1)
    torch.testing.assert_close(scale.fuse(maps), torch.full((1, 2, 2), 1.5))


@torch.no_grad()
@pytest.mark.parametrize("augment", [True, False])
def test_a_mirrored_image_has_the_mirrored_map_where_training_mirrors(tmp_path: Path, augment: bool) -> None:
    config, x, run = tiny(augment=augment), picture(3), run_context(tmp_path)
    networks = built(config)
    for network in networks.learned().values():
        network.eval()
    maps = [raw_maps(networks, config, given, run) for given in (x, x.flip(3))]
    assert torch.allclose(maps[0], maps[1].flip(3), atol=1e-4) == augment
