"""SSIM against an independent definition, the guarded center, adversarial losses by hand."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate

from salad_plugin.losses import fools, guarded_center, squared_distance, ssim_map, ssim_scales, tells_apart


def ssim_by_definition(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Wang et al. 2004 on (h, w) images in [0, 1], by a direct two-dimensional window."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        return np.asarray(correlate(image, window)[5:-5, 5:-5])

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    top = (2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)
    return np.asarray(top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2)))


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1))
@settings(max_examples=25, deadline=None)
def test_ssim_is_the_published_one(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.random((3, 24, 20))
    y = np.clip(x + noise * rng.normal(size=x.shape), 0, 1)
    expected = np.stack([ssim_by_definition(a, b) for a, b in zip(x, y, strict=True)])
    pair = [torch.tensor(image[:, None] * 2 - 1, dtype=torch.float32) for image in (x, y)]
    np.testing.assert_allclose(ssim_map(*pair)[:, 0].numpy(), expected, atol=2e-3)
    np.testing.assert_allclose(ssim_scales(*pair)[:, 0].numpy(), expected.mean(axis=(1, 2)), atol=2e-4)


def test_ssim_of_an_image_with_itself_is_one() -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(ssim_scales(x, x), torch.ones(2, 1))


def test_ssim_has_a_gradient_that_improves_it() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32).requires_grad_(True)
    before = ssim_scales(x, y).sum()
    before.backward()
    assert y.grad is not None
    improved = ssim_scales(x, y.detach() + 0.05 * y.grad / y.grad.abs().max()).sum()
    assert improved.item() > before.item()


def test_center_guard_keeps_each_coordinate_off_zero() -> None:
    center = guarded_center(torch.tensor([0.0, 0.05, -0.05, 3.0, -0.2]))
    torch.testing.assert_close(center, torch.tensor([0.1, 0.1, -0.1, 3.0, -0.2]))


def test_squared_distance_is_a_mean_over_all_but_the_first_dimension() -> None:
    a, b = torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 4.0]])
    torch.testing.assert_close(squared_distance(a, b), torch.tensor([2.5, 8.0]))


def test_adversarial_losses_by_hand() -> None:
    real, fake = torch.tensor([[1.0], [0.5]]), torch.tensor([[0.0], [1.0]])
    assert fools(fake).item() == 0.5
    assert tells_apart(real, fake).item() == 0.5 * (0.125 + 0.5)
    assert tells_apart(torch.ones(3, 1), torch.zeros(3, 1)).item() == 0


def test_scales_are_those_of_averaged_images_down_to_sixteen_pixels() -> None:
    x, y = torch.rand(3, 1, 64, 64) * 2 - 1, torch.rand(3, 1, 64, 64) * 2 - 1
    scales = ssim_scales(x, y)
    assert scales.shape == (3, 3)
    for number, factor in enumerate((1, 2, 4)):
        coarse = (image.view(3, 1, 64 // factor, factor, 64 // factor, factor).mean(dim=(3, 5)) for image in (x, y))
        torch.testing.assert_close(scales[:, number], ssim_map(*coarse).flatten(1).mean(dim=1))
