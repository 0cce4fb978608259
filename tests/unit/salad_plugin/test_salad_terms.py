"""The score: distances against scikit-learn, tail probabilities against scipy, each term by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.covariance import LedoitWolf

from salad_plugin.losses import ssim_scales
from salad_plugin.pretext import blanked_quarters, most_altered, symmetry
from salad_plugin.terms import Gaussian, Normality, measure, measure_once, pretext_error
from tests.unit.salad_plugin.tiny import built, picture, tiny
from tests.unit.toy_images import run_context

TERMS = ("consistency", "center", "ssim", "pretext")


@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(2, 20), st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_distances_are_those_of_scikit_learn(seed: int, n: int, k: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    features = scale * (rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + rng.normal(size=k))
    others = scale * rng.normal(size=(7, k))
    expected = LedoitWolf().fit(features).mahalanobis(others)
    np.testing.assert_allclose(Gaussian.of(features[:, None]).distance(others[:, None]), expected, rtol=0.02)


def test_the_distance_in_two_spaces_is_their_geometric_mean() -> None:
    rng = np.random.default_rng(0)
    features, others = rng.normal(size=(60, 2, 3)), rng.normal(size=(5, 2, 3))
    expected = [LedoitWolf().fit(features[:, space]).mahalanobis(others[:, space]) for space in (0, 1)]
    np.testing.assert_allclose(Gaussian.of(features).distance(others), np.sqrt(expected[0] * expected[1]), rtol=1e-3)


def test_a_constant_feature_makes_no_distance_explode() -> None:
    features = np.random.default_rng(0).normal(size=(50, 1, 3))
    features[..., 1] = 4.0
    distances = Gaussian.of(features).distance(features)
    assert np.isfinite(distances).all()
    assert distances.min() >= 0 and distances.max() < 50
    assert (Gaussian.of(np.full((10, 1, 3), 2.0)).distance(np.full((2, 1, 3), 2.0)) < 1e-6).all()


def test_a_distance_does_not_depend_on_the_images_beside_it() -> None:
    rng = np.random.default_rng(0)
    gaussian, others = Gaussian.of(rng.normal(size=(90, 2, 61))), rng.normal(size=(37, 2, 61))
    alone = np.concatenate([gaussian.distance(others[i : i + 1]) for i in range(37)])
    np.testing.assert_array_equal(gaussian.distance(others), alone)
    assert gaussian.distance(others[:0]).shape == (0,)


def positive(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"center": rng.normal(size=(n, 1, 4)), "ssim": rng.lognormal(size=n), "pretext": rng.lognormal(1, 2, n)}


def test_surprise_is_the_negative_logarithm_of_each_terms_tail_probability() -> None:
    training, held_out, images = positive(80, 0), positive(40, 1), positive(30, 2)
    images["ssim"][0] = 1e6  # far out
    gaussian = LedoitWolf().fit(training["center"][:, 0])

    def logarithms(given: dict[str, np.ndarray]) -> np.ndarray:
        return np.log(np.stack([gaussian.mahalanobis(given["center"][:, 0]), given["ssim"], given["pretext"]], axis=1))

    normal = logarithms(held_out)
    deviations = (logarithms(images) - normal.mean(axis=0)) / normal.std(axis=0)
    expected = -stats.norm.logsf(deviations)
    normality = Normality.of(training, held_out)
    np.testing.assert_allclose(normality.surprise(images), expected, rtol=1e-3)
    assert normality.surprise(images).sum(axis=1).argmax() == 0
    assert normality.surprise(images).min() >= 0


def test_what_one_term_finds_is_not_made_up_for_by_another() -> None:
    normality = Normality.of({}, {"a": np.exp([-1.0, 1.0]), "b": np.exp([-1.0, 1.0])})
    odd, smooth, usual = normality.surprise({"a": np.exp([4.0, 4.0, 0.0]), "b": np.exp([0.0, -4.0, 0.0])}).sum(axis=1)
    assert smooth > odd - 1 > usual + 5


def test_normality_survives_the_way_through_arrays() -> None:
    normality, images = Normality.of(positive(80, 0), positive(40, 1)), positive(30, 2)
    arrays = normality.state()
    assert all(name.startswith("normality.") for name in arrays)
    np.testing.assert_array_equal(Normality.load(arrays).surprise(images), normality.surprise(images))


def test_a_term_of_nothing_but_zeros_is_finite() -> None:
    zeros = {"ssim": np.zeros(10)}
    assert np.isfinite(Normality.of(zeros, zeros).surprise(zeros)).all()


@torch.no_grad()
def test_each_term_by_hand(tmp_path: Path) -> None:
    networks, x = built(tiny()), picture(3)
    networks.encoder.eval(), networks.decoder.eval()
    measured = measure_once(networks, TERMS, x, run_context(tmp_path))
    assert tuple(measured) == TERMS
    z, features = networks.encoder(x)
    translated = networks.decoder(z)
    again = networks.encoder(translated)[1]
    away = [(a - b).abs().mean(dim=(2, 3)) for a, b in zip(features, again, strict=True)]
    absolute, relative = measured["consistency"].unbind(dim=1)
    torch.testing.assert_close(absolute, torch.cat(away, dim=1))
    torch.testing.assert_close(relative, torch.cat(away, dim=1).log())
    assert absolute.shape == (3, sum(networks.encoder.channels))
    torch.testing.assert_close(measured["center"][:, 0], torch.cat([f.mean(dim=(2, 3)) for f in features], dim=1))
    torch.testing.assert_close(measured["ssim"], (1 - ssim_scales(x, translated)).prod(dim=1) ** (1 / 2))
    assert networks.locate_head is not None
    torch.testing.assert_close(measured["pretext"], most_altered(networks.locate_head(features)[0]))


def test_terms_come_in_the_order_that_is_asked_for_and_no_others(tmp_path: Path) -> None:
    networks = built(tiny())
    assert tuple(measure_once(networks, ("pretext", "ssim"), picture(3), run_context(tmp_path))) == ("pretext", "ssim")


@torch.no_grad()
def test_image_and_mirror_image_are_averaged_where_training_mirrors(tmp_path: Path) -> None:
    config, x, run = tiny(), picture(3), run_context(tmp_path)
    networks = built(config)
    for network in networks.learned().values():
        network.eval()
    one, other, both = (
        measure_once(networks, config.terms, x, run),
        measure_once(networks, config.terms, x.flip(3), run),
        measure(networks, config, x, run),
    )
    for term, values in both.items():
        torch.testing.assert_close(values, (one[term] + other[term]) / 2, rtol=1e-3, atol=1e-4)
    plain = measure(networks, tiny(augment=False), x, run)
    assert all(torch.equal(plain[term], one[term]) for term in one)


@torch.no_grad()
def test_the_error_of_telling_symmetries_apart_by_hand(tmp_path: Path) -> None:
    config, x = tiny(pretext="transform"), picture(3)
    networks = built(config)
    networks.encoder.eval()
    errors = pretext_error(networks, networks.encoder(x)[1], x, run_context(tmp_path))
    assert networks.transform_head is not None
    expected = torch.zeros(3)
    for label in range(8):
        guesses = networks.transform_head(networks.encoder(symmetry(x, label))[0])
        expected -= guesses.log_softmax(dim=1)[:, label] / 8
    torch.testing.assert_close(errors, expected)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_the_error_of_restoring_by_hand(tmp_path: Path, channels: int) -> None:
    config, x = tiny(pretext="restore", channels=channels), picture(3, channels)
    networks = built(config)
    networks.encoder.eval(), networks.decoder.eval()
    errors = pretext_error(networks, networks.encoder(x)[1], x, run_context(tmp_path))
    expected = torch.zeros(3)
    for blanked, mask in blanked_quarters(x):
        away = (networks.decoder(networks.encoder(blanked)[0]) - x).abs()
        expected += away[:, :, mask.bool()].mean(dim=(1, 2)) / 4
    torch.testing.assert_close(errors, expected)
