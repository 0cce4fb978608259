"""Altered images: repeatable, in range, changed inside of the window and nowhere else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from salad_plugin import alterations
from salad_plugin.alterations import KINDS, alter, smooth, windows
from tests.unit.salad_plugin.tiny import picture

NAMES = [kind.__name__ for kind in KINDS]


class Only(tuple[Any, ...]):
    """One kind alone; every other is said not to be chosen."""

    def index(self, value: Any, *_: Any) -> int:
        return 0 if value is self[0] else -1


@pytest.fixture(params=KINDS, ids=NAMES)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., torch.Tensor]:
    """Each kind in turn, the only one that ``alter`` may choose."""
    monkeypatch.setattr(alterations, "KINDS", Only([request.param]))
    chosen: Callable[..., torch.Tensor] = request.param
    return chosen


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_each_kind_changes_its_window_and_nothing_else(kind: Any, channels: int, size: int) -> None:
    x = picture(6, channels, size)
    altered, mask = alter(x, generator(1))
    assert altered.shape == x.shape
    assert mask.shape == (6, 1, size, size)
    assert altered.min() >= -1 and altered.max() <= 1
    assert mask.min() >= 0 and mask.max() <= 1
    changed = (altered - x).abs()
    reach = mask
    if kind.__name__ == "_warp":  # it pushes a softened window, which reaches further
        radius = int(np.ceil(2.5 * 2 * size / 64))
        reach = F.max_pool2d(mask, 2 * radius + 1, 1, radius)
    assert changed[(reach == 0).expand_as(x)].max() < (1e-3 if kind.__name__ == "_warp" else 1e-6)
    inside = (changed * mask).flatten(1).sum(dim=1) / mask.flatten(1).sum(dim=1)
    assert (inside > 5e-3).all(), inside


def test_a_batch_of_one_is_altered_too(kind: Any) -> None:
    x = picture(1)
    altered, _ = alter(x, generator(5))
    assert altered.shape == x.shape
    assert torch.isfinite(altered).all()
    assert not torch.equal(altered, x)


def test_alterations_are_the_generators_alone() -> None:
    x = picture(16)
    original = x.clone()
    first = alter(x, generator(3))
    torch.manual_seed(99)
    again, other = alter(x, generator(3)), alter(x, generator(4))
    assert torch.equal(x, original)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])


def test_all_kinds_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, int] = {}

    def counted(one: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def count(x: torch.Tensor, *rest: Any) -> torch.Tensor:
            seen[one.__name__] = seen.get(one.__name__, 0) + len(x)
            return one(x, *rest)

        return count

    counting = [counted(one) for one in KINDS]
    monkeypatch.setattr(alterations, "KINDS", tuple(counting))
    monkeypatch.setattr(alterations, "_warp", counting[NAMES.index("_warp")])
    alter(picture(210), generator())
    assert set(seen) == set(NAMES)
    assert sum(seen.values()) == 210
    assert min(seen.values()) > 10


def test_windows_differ_in_place_and_size_and_together_reach_everywhere() -> None:
    masks = windows(picture(300), generator())
    assert masks.shape == (300, 1, 32, 32)
    assert masks.min() == 0 and masks.max() == 1
    assert masks.flatten(1).max(dim=1).values.min() > 0.9  # each has a middle
    shares = masks.mean(dim=(1, 2, 3))
    assert shares.min() < 0.03 and 0.2 < shares.max() < 0.95
    assert (masks.amax(dim=(0, 1)) > 0).all()
    hard = ((masks > 0) & (masks < 1)).float().mean(dim=(1, 2, 3)) / shares
    assert hard.min() < 0.5 < 1.5 < hard.max()  # hard edges and very soft ones


@given(st.integers(0, 2**32 - 1), st.floats(0.4, 8), st.integers(20, 40), st.integers(20, 40))
@settings(max_examples=25, deadline=None)
def test_smooth_is_a_gaussian_average(seed: int, sigma: float, height: int, width: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, 3, height, width))
    radius = min(int(np.ceil(2.5 * sigma)), min(height, width) - 1)
    expected = gaussian_filter(x, sigma, axes=(2, 3), mode="mirror", radius=radius)
    np.testing.assert_allclose(smooth(torch.tensor(x), sigma).numpy(), expected, atol=1e-6)
