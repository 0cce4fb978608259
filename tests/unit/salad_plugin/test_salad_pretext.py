"""Pretext tasks: what is asked, and how an answer is judged."""

import numpy as np
import pytest
import torch

from salad_plugin.config import Pretext
from salad_plugin.pretext import (
    IMAGE_WEIGHT,
    ask,
    blanked_quarters,
    corrupt,
    locate_loss,
    most_altered,
    symmetry,
    transform,
)
from tests.unit.salad_plugin.tiny import picture


def test_symmetries_are_the_eight_of_the_square_and_transform_applies_them() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    versions = [symmetry(x, label) for label in range(8)]
    assert len({tuple(version.flatten().tolist()) for version in versions}) == 8
    labels = torch.tensor([5, 0, 3])
    together = transform(x.expand(3, 1, 3, 3), labels)
    for row, label in enumerate(labels.tolist()):
        assert torch.equal(together[row], versions[label][0])


def test_corruption_changes_images_keeps_the_range_and_repeats() -> None:
    x = picture(6)
    original = x.clone()
    made = corrupt(x, torch.Generator().manual_seed(3))
    assert torch.equal(x, original)
    assert made.shape == x.shape
    assert made.min() >= -1 - 1e-6 and made.max() <= 1 + 1e-6
    assert all(not torch.equal(a, b) for a, b in zip(made, x, strict=True))
    assert torch.equal(made, corrupt(x, torch.Generator().manual_seed(3)))
    assert not torch.equal(made, corrupt(x, torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("size", [32, 64])
def test_quarters_blank_every_pixel_once(size: int) -> None:
    x = torch.ones(1, 1, size, size)
    pairs = blanked_quarters(x)
    assert torch.equal(sum((mask for _, mask in pairs), torch.zeros(size, size)), torch.ones(size, size))
    for blanked, mask in pairs:
        assert torch.equal(blanked[0, 0], 1 - mask)
        assert mask.mean() == pytest.approx(0.25)


@pytest.mark.parametrize("task", ["transform", "restore", "locate"])
def test_questions_are_the_generators_and_leave_the_batch_alone(task: Pretext) -> None:
    x = picture(8)
    original = x.clone()
    first, again, other = (ask(task, x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first is not None and again is not None and other is not None
    assert torch.equal(x, original)
    assert first.images.shape == x.shape
    assert torch.equal(first.images, again.images) and torch.equal(first.answer, again.answer)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.images, x)


def test_answers_are_right() -> None:
    x, generator = picture(8), torch.Generator().manual_seed(0)
    turned, restored, located = (ask(task, x, generator) for task in ("transform", "restore", "locate"))
    assert ask("none", x, generator) is None
    assert turned is not None and restored is not None and located is not None
    assert torch.equal(turned.images, transform(x, turned.answer))
    assert torch.equal(restored.answer, x)
    assert located.answer.shape == (8, 1, 32, 32)
    assert 0 < located.answer.mean() < 0.6


def test_locate_loss_by_hand() -> None:
    rng = np.random.default_rng(0)
    maps, judged, mask = rng.normal(size=(4, 2, 2)), rng.normal(size=4), rng.random((2, 1, 4, 4))

    def cross_entropy(logits: np.ndarray, wanted: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-logits))
        return float(-(wanted * np.log(p) + (1 - wanted) * np.log(1 - p)).mean())

    part = mask[:, 0].reshape(2, 2, 2, 2, 2).mean(axis=(2, 4))
    expected = cross_entropy(maps, np.concatenate([np.zeros((2, 2, 2)), part]))
    expected += IMAGE_WEIGHT * cross_entropy(judged, np.array([0, 0, 1, 1]))
    got = locate_loss(*(torch.tensor(values, dtype=torch.float32) for values in (maps, judged, mask)))
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_most_altered_is_the_mean_of_the_highest_tenth() -> None:
    p = np.random.default_rng(0).random((3, 10, 10))
    logits = torch.tensor(np.log(p / (1 - p)), dtype=torch.float32)
    expected = np.sort(p.reshape(3, -1), axis=1)[:, -10:].mean(axis=1)
    np.testing.assert_allclose(most_altered(logits).numpy(), expected, rtol=1e-5)
    assert most_altered(torch.tensor([[[0.0, 50.0]]])).item() == pytest.approx(1)  # of two pixels, one
