"""SSIM against an independent definition, the pretext tasks, the center guard."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate

from salad_plugin.losses import guarded_center, squared_distance, ssim, tells_apart
from salad_plugin.pretext import blanked_quarters, corrupt, symmetry, transform


def ssim_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004 on (h, w) images in [0, 1], by a direct two-dimensional window."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        return correlate(image, window)[5:-5, 5:-5]

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    top = (2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)
    return float((top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))).mean())


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1))
@settings(max_examples=25, deadline=None)
def test_ssim_is_the_published_one(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.random((3, 24, 20))
    y = np.clip(x + noise * rng.normal(size=x.shape), 0, 1)
    expected = [ssim_by_definition(a, b) for a, b in zip(x, y, strict=True)]
    got = ssim(*(torch.tensor(image[:, None] * 2 - 1, dtype=torch.float32) for image in (x, y)))
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-4)


def test_ssim_of_an_image_with_itself_is_one() -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(ssim(x, x), torch.ones(2))


def test_ssim_has_a_gradient_that_improves_it() -> None:
    x, y = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32).requires_grad_(True)
    before = ssim(x, y).sum()
    before.backward()
    assert ssim(x, y.detach() + 0.05 * y.grad / y.grad.abs().max()).item() > before.item()


def test_symmetries_are_the_eight_of_the_square_and_transform_applies_them() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    versions = [symmetry(x, label) for label in range(8)]
    assert len({tuple(version.flatten().tolist()) for version in versions}) == 8
    labels = torch.tensor([5, 0, 3])
    together = transform(x.expand(3, 1, 3, 3), labels)
    for row, label in enumerate(labels.tolist()):
        assert torch.equal(together[row], versions[label][0])


def test_corruption_changes_images_keeps_the_range_and_repeats() -> None:
    x = torch.rand(6, 1, 32, 32) * 2 - 1
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
    assert torch.equal(sum(mask for _, mask in pairs), torch.ones(size, size))
    for blanked, mask in pairs:
        assert torch.equal(blanked[0, 0], 1 - mask)
        assert mask.mean() == pytest.approx(0.25)


def test_center_guard_keeps_coordinates_off_zero() -> None:
    center = guarded_center(torch.tensor([[0.0, 0.05, -0.05, 2.0], [0.0, 0.05, -0.05, 4.0]]))
    torch.testing.assert_close(center, torch.tensor([0.1, 0.1, -0.1, 3.0]))


def test_small_losses_by_hand() -> None:
    torch.testing.assert_close(
        squared_distance(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]])), torch.tensor([2.5])
    )
    assert tells_apart(torch.ones(3, 1), torch.zeros(3, 1)).item() == 0
    assert tells_apart(torch.zeros(3, 1), torch.ones(3, 1)).item() == 1
