"""Seeding inside a block only."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from bench.torchkit import isolated_seed

Draws = tuple[float, float, float]


def draw() -> Draws:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    drawn: list[Draws] = []
    for seed in (5, 5, 6):
        with isolated_seed(seed) as generator:
            drawn.append((*draw()[:2], float(torch.rand((), generator=generator))))
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


def test_the_states_outside_are_what_they_were() -> None:
    seed_all(1)
    expected = [draw(), draw()]
    seed_all(1)
    found = [draw()]
    with isolated_seed(99):
        draw()
    found.append(draw())
    assert found == expected


def test_the_states_are_restored_after_an_error() -> None:
    seed_all(1)
    expected = draw()
    seed_all(1)
    with pytest.raises(RuntimeError, match="on purpose"), isolated_seed(99):
        draw()
        raise RuntimeError("on purpose")
    assert draw() == expected


def test_the_generator_is_independent_of_what_else_draws() -> None:
    with isolated_seed(3) as quiet:
        expected = torch.randperm(50, generator=quiet)
    with isolated_seed(3) as noisy:
        torch.rand(1000)
        assert torch.equal(torch.randperm(50, generator=noisy), expected)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**32, 2**40])
def test_seeds_beyond_numpys_range_are_accepted(seed: int) -> None:
    with isolated_seed(seed) as generator:
        assert generator.initial_seed() == seed
