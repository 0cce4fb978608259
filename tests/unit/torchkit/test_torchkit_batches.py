"""Training batches that lose no image, and scoring batches that do not see one another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench import RunContext
from bench.torchkit import BatchStream, maps_in_batches, score_in_batches, to_tensor

RUN = RunContext(seed=0, device="cpu", scratch=Path())


def numbered(count: int) -> np.ndarray:
    """Images that carry their own index in every pixel."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 1))


def indices(batch: Tensor) -> list[int]:
    return [round((float(value) + 1) * 127.5) for value in batch[:, 0, 0, 0]]


def stream(count: int, size: int, seed: int = 0) -> BatchStream:
    return BatchStream(numbered(count), size, torch.Generator().manual_seed(seed), "cpu")


def test_to_tensor_scales_to_plus_minus_one_and_is_channels_last() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    images[0, 0, 0] = (0, 255, 51)
    tensor = to_tensor(images, "cpu")
    assert tensor.shape == (3, 3, 4, 5)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(tensor[0, :, 0, 0].numpy(), [-1, 1, -0.6], rtol=1e-6)
    np.testing.assert_allclose(tensor.numpy(), images.transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)


def test_to_tensor_copies_read_only_memory_maps(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.full((2, 4, 4, 1), 7, np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    to_tensor(mapped, "cpu").zero_()
    assert (mapped == 7).all()


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), size=st.integers(1, 50), epochs=st.integers(1, 3))
def test_every_image_is_shown_once_before_any_is_shown_again(count: int, size: int, epochs: int) -> None:
    batches = stream(count, size)
    shown: list[int] = []
    while len(shown) < count * epochs:
        batch = batches.next()
        assert len(batch) == size  # never a partial one
        shown += indices(batch)
    for epoch in range(epochs):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


@pytest.mark.parametrize(("count", "size", "expected"), [(10, 5, 2), (11, 5, 3), (3, 8, 1)])
def test_an_epoch_has_enough_batches_to_show_every_image(count: int, size: int, expected: int) -> None:
    batches = stream(count, size)
    assert batches.batches_per_epoch == expected
    shown = [index for _ in range(expected) for index in indices(batches.next())]
    assert set(shown) == set(range(count))


def test_the_order_is_the_generators_and_changes_between_epochs() -> None:
    first, again, other = (indices(stream(30, 30, seed).next()) for seed in (0, 0, 1))
    assert first == again != other
    batches = stream(30, 30)
    assert indices(batches.next()) != indices(batches.next())


def test_a_stream_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        stream(0, 4)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)
        ).eval()


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 37), max_size=4))
def test_scores_are_bitwise_the_same_for_any_chunking(cuts: list[int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (37, 16, 16, 1), dtype=np.uint8)
    model = network()

    def score(part: np.ndarray) -> np.ndarray:
        return score_in_batches(part, RUN, lambda batch: model(batch)[:, 0], batch_size=8)

    edges = [0, *sorted(cuts), 37]
    parts = [score(images[start:stop]) for start, stop in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), score(images))


def test_scoring_sees_batches_of_one_size_and_records_no_gradient() -> None:
    sizes: list[int] = []
    model = network()

    def compute(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        values: Tensor = model(batch)
        assert not values.requires_grad
        return values

    scores = score_in_batches(np.zeros((5, 16, 16, 1), np.uint8), RUN, compute, batch_size=4)
    assert sizes == [4, 4]
    assert scores.shape == (5, 1)
    assert scores.dtype == np.float64


def test_scoring_keeps_images_in_order_and_reports_progress() -> None:
    heard: list[tuple[str, int, int]] = []
    run = RunContext(0, "cpu", Path(), progress=lambda phase, done, total, **_: heard.append((phase, done, total)))
    scores = score_in_batches(numbered(5), run, lambda batch: batch.mean(dim=(1, 2, 3)), batch_size=2, phase="fit")
    np.testing.assert_allclose((scores + 1) * 127.5, range(5), atol=1e-4)
    assert heard == [("fit", 2, 5), ("fit", 4, 5), ("fit", 5, 5)]


def test_scoring_nothing_gives_nothing() -> None:
    assert score_in_batches(numbered(0), RUN, lambda batch: batch.mean(dim=(1, 2, 3))).shape == (0,)


def test_maps_come_one_by_one_in_order_and_computed_as_asked_for() -> None:
    sizes: list[int] = []

    def compute(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return batch[:, 0].double()

    maps = maps_in_batches(numbered(5), RUN, compute, batch_size=2)
    assert sizes == []
    first = next(maps)
    assert sizes == [2]
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    drawn = [first, *maps]
    assert sizes == [2, 2, 2]
    assert {one.dtype for one in drawn} == {np.dtype(np.float32)}
    np.testing.assert_allclose([(one + 1) * 127.5 for one in drawn], numbered(5)[..., 0], atol=1e-4)


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_two_batches_at_a_time_give_the_same_scores_in_order() -> None:
    meet = threading.Barrier(2, timeout=60)
    threads = set()

    def compute(batch: Tensor) -> Tensor:
        meet.wait()  # breaks unless two are computed at once
        threads.add((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))
        return batch.mean(dim=(1, 2, 3))

    seen: list[int] = []
    run = replace(RUN, progress=lambda phase, done, total, **scalars: seen.append(done))
    scores = score_in_batches(numbered(47), run, compute, batch_size=8, concurrent=True)
    np.testing.assert_array_equal(scores, score_in_batches(numbered(47), RUN, lambda x: x.mean(dim=(1, 2, 3)), 8))
    assert seen == [8, 16, 24, 32, 40, 47]
    assert {(number, grad) for _, number, grad in threads} == {(2, False)}
    assert len(threads) == 2
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("of", ["compute", "progress"])
def test_two_batches_at_a_time_end_with_the_first_failure(of: str) -> None:
    computed = []

    def compute(batch: Tensor) -> Tensor:
        computed.append(indices(batch)[0])
        time.sleep(0.01)  # or all might be done before the first failure is heard of
        if of == "compute" and computed[-1] >= 4:
            raise ValueError("no more")
        return batch.mean(dim=(1, 2, 3))

    def progress(phase: str, done: int, total: int, **scalars: float) -> None:
        if of == "progress":
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        score_in_batches(numbered(250), replace(RUN, progress=progress), compute, batch_size=1, concurrent=True)
    assert len(computed) < 250
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("threads", "device"), [(1, "cpu"), (4, "meta")])
def test_one_batch_at_a_time_where_two_gain_nothing(threads: int, device: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    used = set()

    def compute(batch: Tensor) -> Tensor:
        used.add(threading.get_ident())
        return torch.zeros(len(batch))

    try:
        score_in_batches(numbered(20), replace(RUN, device=device), compute, batch_size=5, concurrent=True)
    finally:
        torch.set_num_threads(before)
    assert used == {threading.get_ident()}
