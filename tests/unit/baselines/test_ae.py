"""The autoencoder: architecture, error by hand, maps, and what it does on a toy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baselines.ae import SPEC, losses, train
from baselines.ae.config import AeConfig
from baselines.ae.detector import AeDetector
from baselines.ae.networks import Autoencoder, build
from bench import DetectorError
from tests.unit.toy_images import blobs, run_context

TINY = AeConfig(image_size=32, width=8, latent=8, epochs=12, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> AeDetector:
    return AeDetector(TINY).fit(blobs(128, 0), run_context(tmp_path_factory.mktemp("scratch")))


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    config = AeConfig(image_size=size, channels=channels, width=4, latent=10)
    network, x = Autoencoder(config), torch.zeros(2, channels, size, size)
    assert network.encoder(x).shape == (2, 10)
    assert network(x).shape == x.shape


def test_sizes_of_the_comparative_study() -> None:
    config = SPEC.config().model_validate(SPEC.presets["paper"])
    assert (config.image_size, config.width, config.latent) == (128, 32, 128)
    assert (config.batch_size, config.learning_rate) == (128, 1e-4)
    network = build(config, "cpu")
    assert network.encoder.pyramid[0].out_channels == 32
    assert network.encoder.last.out_channels == 128
    assert isinstance(network.decoder.layers[-1], nn.Tanh)


def test_sides_that_are_no_power_of_two_are_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        AeConfig(image_size=48)


def test_losses_by_hand() -> None:
    x = torch.tensor([[[[1.0, -1.0]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    again = torch.tensor([[[[0.0, -1.0]], [[2.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 1.0]]]])
    assert losses.error_map(x, again).tolist() == [[[2.5, 0.0]], [[0.0, 0.5]]]
    assert losses.anomaly_score(x, again).tolist() == [1.25, 0.25]
    assert losses.reconstruction(x, again).item() == 0.75


def test_losses_are_computed_in_float32() -> None:
    x, again = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 0.498, dtype=torch.bfloat16)
    assert losses.error_map(x, again).dtype == torch.float32


def test_step_reaches_every_parameter(tmp_path: Path) -> None:
    network = build(TINY, "cpu")
    train.reconstruction_step(network, torch.rand(4, 1, 32, 32), run_context(tmp_path)).total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_squares_are_found_and_mapped(fitted: AeDetector, tmp_path: Path) -> None:
    run, test = run_context(tmp_path), blobs(32, 2, square=True)
    normal, anomalous = fitted.anomaly_scores(blobs(32, 1), run), fitted.anomaly_scores(test, run)
    assert (anomalous[:, None] > normal[None]).mean() > 0.9
    maps = np.stack(list(fitted.anomaly_maps(test, run)))
    square = test[..., 0] == 250
    assert maps[square].mean() > 3 * maps[~square].mean()
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), anomalous, rtol=1e-5)


def test_training_lowers_the_error(fitted: AeDetector, tmp_path: Path) -> None:
    run, images = run_context(tmp_path), blobs(32, 0)
    untrained = AeDetector(TINY.model_copy(update={"epochs": 1})).fit(images, run)
    assert fitted.anomaly_scores(images, run).mean() < 0.5 * untrained.anomaly_scores(images, run).mean()


def test_state_brings_back_scores_and_maps(fitted: AeDetector, tmp_path: Path) -> None:
    run, images = run_context(tmp_path), blobs(5, 3)
    loaded = AeDetector(TINY).load_state(fitted.state())
    assert loaded.anomaly_scores(images, run).tobytes() == fitted.anomaly_scores(images, run).tobytes()
    assert np.array_equal(list(loaded.anomaly_maps(images, run)), list(fitted.anomaly_maps(images, run)))


def test_divergence_is_an_error_not_a_score(tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DetectorError, match="lower learning_rate"):
        AeDetector(wild).fit(blobs(48, 0), run_context(tmp_path))
