"""The variational autoencoder: bound by hand, both scores, and what it does on a toy."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.vae import SPEC, losses, train
from baselines.vae.config import VaeConfig
from baselines.vae.detector import VaeDetector
from baselines.vae.networks import Vae, build, sample
from bench import DetectorError
from tests.unit.toy_images import blobs, run_context

TINY = VaeConfig(image_size=32, width=8, latent=8, epochs=12, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> VaeDetector:
    return VaeDetector(TINY).fit(blobs(128, 0), run_context(tmp_path_factory.mktemp("scratch")))


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    network = Vae(VaeConfig(image_size=size, channels=channels, width=4, latent=10))
    x = torch.zeros(2, channels, size, size)
    mean, log_variance = network.encode(x)
    assert mean.shape == log_variance.shape == (2, 10)
    assert network.decode(mean).shape == x.shape


def test_sizes_and_weights_as_published() -> None:
    config = SPEC.config().model_validate(SPEC.presets["paper"])
    assert (config.image_size, config.width, config.latent, config.learning_rate) == (128, 32, 128, 1e-4)
    # An untouched bound, and the residual with z at its mean.
    assert (VaeConfig().beta, VaeConfig().score) == (1.0, "reconstruction")


def test_kl_divergence_is_torchs_and_zero_for_the_prior() -> None:
    mean, log_variance = torch.randn(3, 4), torch.randn(3, 4)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(losses.kl_divergence(mean, log_variance), expected)
    assert losses.kl_divergence(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_likelihood_is_torchs_but_for_its_constant() -> None:
    x, again = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    log_density = torch.distributions.Normal(again, 1.0).log_prob(x).sum(dim=(1, 2, 3))
    constant = 32 * 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(losses.negative_log_likelihood(x, again), -log_density - constant)


def test_reconstruction_score_by_hand() -> None:
    x, again = torch.zeros(2, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]], [[[0.0, 0.0]]]])
    assert losses.reconstruction_score(x, again).tolist() == [5.0, 0.0]
    assert losses.error_map(x, again).tolist() == [[[1.0, 9.0]], [[0.0, 0.0]]]


def test_draws_have_the_posteriors_mean_and_deviation() -> None:
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    drawn = sample(torch.full((20_000, 1), 3.0), torch.full((20_000, 1), math.log(4.0)), noise)
    assert drawn.mean().item() == pytest.approx(3.0, abs=0.1)
    assert drawn.std().item() == pytest.approx(2.0, abs=0.1)


def test_step_is_the_weighted_bound_and_reaches_every_parameter(tmp_path: Path) -> None:
    config, network = TINY.model_copy(update={"beta": 3.0}), build(TINY, "cpu")
    step = train.elbo_step(config, network, torch.rand(4, 1, 32, 32), torch.randn(4, 8), run_context(tmp_path))
    assert step.kl.item() > 0
    assert step.total.item() == pytest.approx((step.reconstruction + 3 * step.kl).item(), rel=1e-6)
    step.total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_noise_takes_part_in_training_and_not_in_scoring(fitted: VaeDetector, tmp_path: Path) -> None:
    network, run, x = build(TINY, "cpu"), run_context(tmp_path), torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        quiet, loud = (train.elbo_step(TINY, network, x, torch.full((4, 8), level), run) for level in (0.0, 2.0))
    assert quiet.reconstruction != loud.reconstruction
    images = blobs(5, 4)
    assert fitted.anomaly_scores(images, run).tobytes() == fitted.anomaly_scores(images, run).tobytes()


def test_squares_are_found_by_both_scores_and_mapped(fitted: VaeDetector, tmp_path: Path) -> None:
    run, test, state = run_context(tmp_path), blobs(32, 2, square=True), fitted.state()
    scores = {}
    for score in ("reconstruction", "elbo"):
        detector = VaeDetector(TINY.model_copy(update={"score": score})).load_state(state)
        normal, scores[score] = detector.anomaly_scores(blobs(32, 1), run), detector.anomaly_scores(test, run)
        assert (scores[score][:, None] > normal[None]).mean() > 0.9
    # The bound is half the summed error and a KL divergence, which no posterior of these has at 0.
    assert (scores["elbo"] > 0.5 * 32 * 32 * scores["reconstruction"]).all()
    maps = np.stack(list(fitted.anomaly_maps(test, run)))
    square = test[..., 0] == 250
    assert maps[square].mean() > 3 * maps[~square].mean()
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), scores["reconstruction"], rtol=1e-5)


def test_divergence_is_an_error_not_a_score(tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DetectorError, match="lower learning_rate"):
        VaeDetector(wild).fit(blobs(48, 0), run_context(tmp_path))
