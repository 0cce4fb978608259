"""Corruptions: what each does to a picture, and that it does the same every time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import skew

from bench.data.corruptions import CORRUPTIONS, RECIPES, SIDE, corrupt
from bench.errors import UnknownNameError, UsageError
from tests.conftest import shared_data

MODALITIES = ("OCT", "chest X-ray", "fundus photograph")
SEVERITIES = range(1, 6)
every = pytest.mark.parametrize(
    ("name", "modality"), [(name, modality) for modality in MODALITIES for name in CORRUPTIONS]
)


def flat(level: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE), level, np.uint8)


def textured() -> NDArray[np.uint8]:
    """Structure at several scales, none of it periodic: each corruption has something to act upon."""
    rng = np.random.default_rng(0)
    scales = ((1, 8), (3, 15), (10, 30))
    layers = [
        gaussian_filter(rng.standard_normal((SIDE, SIDE)), scale) * 2 * scale * deviation for scale, deviation in scales
    ]
    return np.clip(120 + sum(layers), 0, 255).astype(np.uint8)


def distance(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.sqrt(np.mean((image.astype(float) - other) ** 2)))


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as file:
        return np.asarray(file.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def test_the_names_are_those_that_protocols_declare() -> None:
    assert CORRUPTIONS == ("noise", "blur", "contrast", "motion", "jpeg", "crop")
    for modality, recipes in RECIPES.items():
        assert tuple(recipes) == CORRUPTIONS, modality
        assert modality == modality.casefold()


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(CORRUPTIONS),
    modality=st.sampled_from(MODALITIES),
    severity=st.integers(1, 5),
    seed=st.integers(0, 2**64 - 1),
    level=st.integers(0, 255),
)
def test_any_picture_keeps_shape_and_type_and_is_the_same_again(
    name: str, modality: str, severity: int, seed: int, level: int
) -> None:
    image = np.random.default_rng(level).integers(0, level + 1, (SIDE, SIDE), dtype=np.uint8)
    image.flags.writeable = False
    first = corrupt(image, name, severity, modality, seed)
    assert (first.shape, first.dtype) == ((SIDE, SIDE), np.uint8)
    assert np.array_equal(first, corrupt(image.copy(), name, severity, modality, seed))


@every
def test_distance_grows_with_severity(name: str, modality: str) -> None:
    image = textured()
    distances = [distance(image, corrupt(image, name, severity, modality, 3)) for severity in SEVERITIES]
    assert distances[0] > 0
    assert distances == sorted(set(distances))


@pytest.mark.parametrize(
    ("folder", "modality"), [("OCT2017/test/NORMAL", "OCT"), ("chest_xray/test/NORMAL", "chest X-ray")]
)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity_on_real_scans(name: str, folder: str, modality: str) -> None:
    paths = sorted((shared_data() / folder).iterdir())[:8]
    images = [read(path) for path in paths]
    distances = [
        float(np.mean([distance(image, corrupt(image, name, severity, modality, n)) for n, image in enumerate(images)]))
        for severity in SEVERITIES
    ]
    assert distances[0] > 0
    assert distances == sorted(set(distances))


@pytest.mark.parametrize("modality", MODALITIES)
def test_two_images_get_different_noise(modality: str) -> None:
    image = textured()
    noise = [corrupt(image, "noise", 3, modality, seed).astype(float) - image for seed in (1, 2)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def noise_deviation(modality: str, level: int, severity: int = 1) -> float:
    return float(corrupt(flat(level), "noise", severity, modality, 5).std())


def test_speckle_is_multiplicative() -> None:
    """Deviation proportional to the mean, and black stays black."""
    deviations = [noise_deviation("OCT", level) for level in (40, 80, 160)]
    assert np.allclose(np.array(deviations) / [40, 80, 160], 0.10, rtol=0.03)
    assert noise_deviation("OCT", 0) == 0
    strong = corrupt(flat(60), "noise", 5, "OCT", 5).astype(float)
    assert strong.mean() == pytest.approx(60, abs=1)
    assert skew(strong.ravel()) == pytest.approx(2 * 0.46, rel=0.1)  # that of a gamma distribution


def test_quantum_noise_has_a_variance_linear_in_the_mean_above_that_of_the_electronics() -> None:
    levels = np.array([0, 50, 100, 150, 200])
    variances = [noise_deviation("chest X-ray", int(level), 2) ** 2 for level in levels[1:]]
    slope, intercept = np.polyfit(levels[1:], variances, 1)
    assert slope == pytest.approx(255 / 400, rel=0.05)
    assert intercept == pytest.approx(2.0**2 + 1 / 12, abs=3)  # 1/12: rounding to whole grey levels
    assert noise_deviation("chest X-ray", 0, 2) > 0


def test_noise_of_other_modalities_does_not_know_the_mean() -> None:
    assert noise_deviation("something else", 60) == pytest.approx(6.0, rel=0.03)
    assert noise_deviation("something else", 180) == pytest.approx(6.0, rel=0.03)


@pytest.mark.parametrize("spelling", ["oct", "OCT", "Oct"])
def test_the_case_of_a_modality_does_not_matter(spelling: str) -> None:
    image = textured()
    wanted = corrupt(image, "noise", 3, "OCT", 1)
    assert np.array_equal(corrupt(image, "noise", 3, spelling, 1), wanted)
    assert not np.array_equal(corrupt(image, "noise", 3, "chest X-ray", 1), wanted)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_keeps_the_mean_and_smooths_every_direction(severity: int) -> None:
    image = textured()
    blurred = corrupt(image, "blur", severity, "OCT", 0)
    assert blurred.mean() == pytest.approx(image.mean(), abs=0.1)
    for axis in (0, 1):
        assert (
            np.abs(np.diff(blurred.astype(float), axis=axis)).mean()
            < np.abs(np.diff(image.astype(float), axis=axis)).mean()
        )


def test_contrast_shrinks_distances_to_the_mid_level() -> None:
    image = np.clip(textured(), 60, 190)
    changed = corrupt(image, "contrast", 3, "OCT", 0).astype(float)
    assert changed.mean() == pytest.approx(image.mean(), abs=0.5)
    assert np.abs(changed - (image.mean() + 0.5 * (image - image.mean()))).max() <= 0.5


def test_oct_motion_moves_whole_columns_and_nothing_but_position() -> None:
    """A bright layer stays one bright layer per column, elsewhere by a smooth wave of the stated size."""
    image = flat(10)
    image[100:110] = 200
    moved = corrupt(image, "motion", 3, "OCT", 4).astype(float) - 10
    assert np.allclose(moved.sum(axis=0), 1900, rtol=0.01)
    centres = (moved * np.arange(SIDE)[:, None]).sum(axis=0) / moved.sum(axis=0)
    shift = centres - 104.5
    assert shift.std() == pytest.approx(2.2, rel=0.1)
    assert np.abs(np.diff(shift)).max() < 1.0


def test_breathing_blurs_along_the_body_only() -> None:
    vertical = np.repeat(textured()[:1], SIDE, axis=0)  # every row the same
    assert np.array_equal(corrupt(vertical, "motion", 5, "chest X-ray", 0), vertical)
    assert not np.array_equal(corrupt(vertical.T, "motion", 5, "chest X-ray", 0), vertical.T)
    assert np.array_equal(corrupt(vertical.T, "motion", 5, "anything", 0), vertical.T)


@pytest.mark.parametrize(("severity", "quality"), [(1, 25), (5, 7)])
def test_jpeg_is_what_a_jpeg_of_this_quality_decodes_to(severity: int, quality: int) -> None:
    image, file = textured(), io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    file.seek(0)
    with Image.open(file) as decoded:
        assert decoded.format == "JPEG"
        assert np.array_equal(corrupt(image, "jpeg", severity, "OCT", 0), np.asarray(decoded))


def test_crop_enlarges_a_window_inside_the_image() -> None:
    """On two ramps, the corners of the crop tell where the window lay and how large it was."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.uint8)
    windows = set()
    for seed in range(6):
        down, right = (corrupt(ramp, "crop", 5, "OCT", seed).astype(float) for ramp in (rows, columns))
        for low, high in ((down[0, 0], down[-1, 0]), (right[0, 0], right[0, -1])):
            assert high - low == pytest.approx(0.70 * SIDE, abs=2)
            assert low >= 0
            assert high <= SIDE - 1
        windows.add((down[0, 0], right[0, 0]))
    assert len(windows) == 6


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_severities_that_do_not_exist(severity: int) -> None:
    with pytest.raises(UsageError, match=f"severity {severity} does not exist: give a whole number from 1"):
        corrupt(flat(0), "blur", severity, "OCT", 0)


def test_a_name_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown corruption 'blurr': did you mean blur"):
        corrupt(flat(0), "blurr", 1, "OCT", 0)


@pytest.mark.parametrize(
    "image", [np.zeros((64, 64), np.uint8), np.zeros((224, 224)), np.zeros((224, 224, 1), np.uint8)]
)
def test_images_of_another_shape_or_type_are_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(224, 224\)"):
        corrupt(image, "blur", 1, "OCT", 0)
