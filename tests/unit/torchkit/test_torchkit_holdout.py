"""Normals held out, and score terms on one scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.torchkit import Standardiser, split_normal


def numbered(count: int) -> np.ndarray:
    pixels = np.zeros((count, 8, 8, 1), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = np.divmod(np.arange(count), 256)
    return pixels


def numbers(images: np.ndarray) -> list[int]:
    return [int(image[0, 0, 0]) * 256 + int(image[0, 1, 0]) for image in images]


@settings(max_examples=80, deadline=None)
@given(count=st.integers(2, 400), fraction=st.floats(0.001, 0.999), seed=st.integers(0, 2**32))
def test_the_two_parts_are_disjoint_and_complete_and_neither_is_empty(count: int, fraction: float, seed: int) -> None:
    training, held_out = split_normal(numbered(count), fraction, seed)
    assert sorted(numbers(training) + numbers(held_out)) == list(range(count))
    assert len(training) >= 1
    assert abs(len(held_out) - count * fraction) <= 1


def test_the_split_is_random_and_follows_the_seed() -> None:
    first, again, other = (numbers(split_normal(numbered(100), 0.2, seed)[1]) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 20
    assert first not in (list(range(20)), list(range(80, 100)))


@pytest.mark.parametrize(("count", "fraction"), [(0, 0.5), (1, 0.5), (10, 0.0), (10, 1.0), (10, -0.1), (10, 1.5)])
def test_a_split_that_leaves_a_part_empty_is_refused(count: int, fraction: float) -> None:
    with pytest.raises(ValueError, match="cannot hold out"):
        split_normal(numbered(count), fraction, 0)


def test_terms_are_put_on_the_scale_of_those_that_were_measured() -> None:
    held_out = np.random.default_rng(0).normal([3, -50, 0], [0.01, 20, 1], (500, 3))
    standardiser = Standardiser.of(held_out)
    scaled = standardiser(held_out)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    # New terms are measured against the held-out ones, not against themselves.
    np.testing.assert_allclose(standardiser(standardiser.mean[None] + 2 * standardiser.std), 2 * np.ones((1, 3)))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 + 0.1, -3e9 / 7])
def test_a_term_that_does_not_vary_is_not_blown_up(constant: float) -> None:
    standardiser = Standardiser.of(np.full((333, 1), constant))
    assert standardiser.std[0] == 1
    np.testing.assert_allclose(standardiser(np.array([[constant + 2.0]])), 2, rtol=1e-6)
