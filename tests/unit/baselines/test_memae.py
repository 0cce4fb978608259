"""MemAE: addressing, shrinkage and entropy by the paper's equations, and what it does on a toy."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.memae import SPEC, losses, train
from baselines.memae.config import MemaeConfig
from baselines.memae.detector import MemaeDetector
from baselines.memae.networks import Memory, MemoryAutoencoder, build, hard_shrink
from bench import DetectorError
from tests.unit.toy_images import blobs, run_context

TINY = MemaeConfig(image_size=32, width=8, items=50, epochs=15, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> MemaeDetector:
    return MemaeDetector(TINY).fit(blobs(128, 0), run_context(tmp_path_factory.mktemp("scratch")))


def memory(shrinkage: float, *items: list[float]) -> Memory:
    made = Memory(len(items), len(items[0]), shrinkage)
    made.items.data = torch.tensor(items)
    return made


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int, tmp_path: Path) -> None:
    network = MemoryAutoencoder(MemaeConfig(image_size=size, channels=channels, width=4, items=7))
    again, weights = train.reconstruct(network, torch.zeros(2, channels, size, size), run_context(tmp_path))
    assert again.shape == (2, channels, size, size)
    assert weights.shape == (2 * 16, 7)


def test_facts_of_the_paper() -> None:
    config = SPEC.config().model_validate(SPEC.presets["paper"])
    assert (config.image_size, config.width, config.items) == (32, 64, 500)
    assert (config.entropy_weight, config.learning_rate) == (2e-4, 1e-4)
    network = build(config, "cpu")
    assert network.memory.items.shape == (500, 256)
    assert 1 / 500 <= network.memory.threshold <= 3 / 500


def test_addressing_by_hand() -> None:
    """Equations 4 and 5: a softmax over cosines, so that lengths of query and items count for nothing."""
    weights = memory(0, [2.0, 0.0], [0.0, 0.5], [-1.0, 0.0]).address(torch.tensor([[7.0, 0.0]]))
    exponentials = [math.e, 1.0, 1 / math.e]
    assert weights[0].tolist() == pytest.approx([value / sum(exponentials) for value in exponentials], rel=1e-5)


def test_inner_product_as_released() -> None:
    made = memory(0, [2.0, 0.0], [0.0, 0.5])
    made.cosine = False
    weights = made.address(torch.tensor([[1.0, 4.0]]))
    assert weights.tolist() == [[0.5, 0.5]]
    assert not build(TINY.model_copy(update={"similarity": "inner"}), "cpu").memory.cosine
    assert build(TINY, "cpu").memory.cosine


def test_shrinkage_by_hand() -> None:
    """Equation 7: not a soft threshold, which would take something from the weights that stay."""
    assert hard_shrink(torch.tensor([0.1, 0.3, 0.6]), 0.2).tolist() == pytest.approx([0.0, 0.3, 0.6])
    assert hard_shrink(torch.tensor([0.2]), 0.2).item() == 0


def test_shrunk_weights_add_up_to_one_and_gradients_pass() -> None:
    made = memory(1, [2.0, 0.0], [1.0, 1.0], [-1.0, 0.0])
    query = torch.tensor([[1.0, 0.1]], requires_grad=True)
    weights = made.address(query)
    cosines = torch.nn.functional.cosine_similarity(query, made.items)
    kept = cosines.softmax(0) * torch.tensor([1.0, 1.0, 0.0])  # the last is below a third
    torch.testing.assert_close(weights[0], kept / kept.sum())
    weights[0, 0].backward()
    assert query.grad is not None and query.grad.any()


def test_shrinkage_of_everything_gives_nothing_and_no_nan() -> None:
    same = memory(3, [1.0, 0.0], [1.0, 0.0])
    remembered, weights = same(torch.ones(1, 2, 1, 1))
    assert not weights.any()
    assert not remembered.any()


def test_each_position_is_a_query_of_its_own() -> None:
    made = memory(1, [3.0, 0.0], [0.0, 5.0])
    features = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])  # (1, 2, 1, 3): the first item twice
    remembered, weights = made(features)
    assert weights.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert remembered.tolist() == [[[[3.0, 3.0, 0.0]], [[0.0, 0.0, 5.0]]]]


def test_losses_by_hand() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert losses.entropy(weights).item() == pytest.approx(math.log(2) / 2)
    x, again = torch.zeros(2, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]], [[[0.0, 0.0]]]])
    assert losses.error_map(x, again).tolist() == [[[1.0, 9.0]], [[0.0, 0.0]]]
    assert losses.anomaly_score(x, again).tolist() == [5.0, 0.0]
    assert losses.reconstruction(x, again).item() == 2.5


def test_step_is_equation_10_and_reaches_encoder_memory_and_decoder(tmp_path: Path) -> None:
    config, network = TINY.model_copy(update={"entropy_weight": 0.5}), build(TINY, "cpu")
    step = train.memory_step(config, network, torch.rand(4, 1, 32, 32), run_context(tmp_path))
    assert step.entropy.item() > 0
    assert step.total.item() == pytest.approx((step.reconstruction + 0.5 * step.entropy).item(), rel=1e-6)
    assert 0 < step.items_used.item() < TINY.items
    step.total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_memory_computes_in_float32_whatever_the_precision(tmp_path: Path) -> None:
    network = build(TINY, "cpu")
    _, weights = train.reconstruct(network, torch.rand(2, 1, 32, 32), run_context(tmp_path, precision="bfloat16"))
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(32), rtol=0, atol=1e-5)


def test_squares_are_found_and_mapped(fitted: MemaeDetector, tmp_path: Path) -> None:
    run, test = run_context(tmp_path), blobs(32, 2, square=True)
    normal, anomalous = fitted.anomaly_scores(blobs(32, 1), run), fitted.anomaly_scores(test, run)
    assert (anomalous[:, None] > normal[None]).mean() > 0.9
    maps = np.stack(list(fitted.anomaly_maps(test, run)))
    square = test[..., 0] == 250
    assert maps[square].mean() > 3 * maps[~square].mean()
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), anomalous, rtol=1e-5)


def test_state_brings_back_scores_and_maps(fitted: MemaeDetector, tmp_path: Path) -> None:
    run, images = run_context(tmp_path), blobs(5, 3)
    loaded = MemaeDetector(TINY).load_state(fitted.state())
    assert loaded.anomaly_scores(images, run).tobytes() == fitted.anomaly_scores(images, run).tobytes()
    assert np.array_equal(list(loaded.anomaly_maps(images, run)), list(fitted.anomaly_maps(images, run)))


def test_divergence_is_an_error_not_a_score(tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DetectorError, match="lower learning_rate"):
        MemaeDetector(wild).fit(blobs(48, 0), run_context(tmp_path))


def test_memory_that_is_never_used_is_an_error(tmp_path: Path) -> None:
    # Of two items none can have a weight above 3 / 2.
    starved = TINY.model_copy(update={"items": 2, "shrinkage": 3.0})
    with pytest.raises(DetectorError, match="lower shrinkage"):
        MemaeDetector(starved).fit(blobs(32, 0), run_context(tmp_path))
