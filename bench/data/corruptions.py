"""What can go wrong with a scan between patient and file, drawn onto healthy pictures at five severities.

The idea, kinds × five severities on otherwise unchanged test images, is that of ImageNet-C (Hendrycks & Dietterich,
ICLR 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"); the forms are those of
the modality. The strengths are chosen by eye: 1 is hardly noticed, 5 would have the scan repeated.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from bench.errors import UnknownNameError, UsageError

SIDE = 224
"""Side in pixels of the images that the strengths are meant for."""

Pixels = NDArray[np.float64]


class Recipe(NamedTuple):
    """How one corruption is done to one modality.

    Attributes:
        apply: (image float64 (224, 224) in grey levels, strength, random numbers) to float64 (224, 224).
        strengths: for severity 1 to 5, in the unit that the docstring of ``apply`` states.

    """

    apply: Callable[[Pixels, Any, Generator], Pixels]
    strengths: tuple[Any, Any, Any, Any, Any]


def corrupt(image: NDArray[np.uint8], name: str, severity: int, modality: str, seed: int) -> NDArray[np.uint8]:
    """Corrupt one grey image; the same arguments always give the same picture (on one machine).

    Args:
        image: uint8 (224, 224); it is not changed.
        name: one of :data:`CORRUPTIONS`.
        severity: 1 (slight) to 5 (strong). All severities draw the same random numbers, so one motion only grows.
        modality: ``OCT`` or ``chest X-ray``, whatever the case; any other has the generic forms of ImageNet-C.
        seed: not negative; take it from the image's id, so that each image has noise of its own.

    Returns:
        uint8 (224, 224).

    Raises:
        UnknownNameError: no such corruption.
        UsageError: no such severity.
        ValueError: an image of another type or shape.

    """
    if name not in CORRUPTIONS:
        raise UnknownNameError("corruption", name, CORRUPTIONS)
    if severity not in range(1, 6):
        raise UsageError(f"severity {severity} does not exist: give a whole number from 1 (slight) to 5 (strong)")
    if image.dtype != np.uint8 or image.shape != (SIDE, SIDE):
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 ({SIDE}, {SIDE})")
    recipe = RECIPES.get(modality.casefold(), GENERIC)[name]
    changed = recipe.apply(image.astype(np.float64), recipe.strengths[severity - 1], np.random.default_rng(seed))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def speckle(image: Pixels, contrast: float, rng: Generator) -> Pixels:
    """Fewer averaged B-scans: OCT speckle of a given contrast (deviation / mean of the noise factor).

    Each pixel is multiplied by a gamma variate of mean 1: fully developed speckle has exponential intensity, and the
    mean of L independent frames a gamma one with shape L = 1 / contrast² (Goodman, Speckle Phenomena in Optics, 2007;
    Schmitt, Xiang & Yung, J. Biomed. Opt. 4(1), 1999, for OCT).
    """
    looks = 1.0 / contrast**2
    return image * rng.gamma(looks, 1.0 / looks, image.shape)


def quantum_noise(image: Pixels, strength: tuple[float, float], rng: Generator) -> Pixels:
    """Less dose: Poisson noise of (photons at white, deviation of the electronics in grey levels).

    The Poissonian-Gaussian model of Foi et al. (IEEE Trans. Image Process. 17(10), 2008). White is dense tissue in a
    radiograph, where few photons arrive and the logarithm magnifies their noise: it grows with the grey level here too.
    """
    photons, deviation = strength
    counted = rng.poisson(image * (photons / 255.0)) * (255.0 / photons)
    return counted + rng.normal(0.0, deviation, image.shape)


def gaussian_noise(image: Pixels, deviation: float, rng: Generator) -> Pixels:
    """A noisy sensor: additive Gaussian noise, deviation in grey levels (ImageNet-C)."""
    return image + rng.normal(0.0, deviation, image.shape)


def blur(image: Pixels, sigma: float, _rng: Generator) -> Pixels:
    """Defocus: a Gaussian point spread function, sigma in pixels. Mirrored edges keep the mean."""
    from scipy.ndimage import gaussian_filter

    blurred: Pixels = gaussian_filter(image, sigma, mode="reflect")
    return blurred


def contrast(image: Pixels, factor: float, _rng: Generator) -> Pixels:
    """Wrong exposure or display window, cloudy media: the distance to the image's mean times a factor (ImageNet-C)."""
    mean = float(image.mean())
    return (image - mean) * factor + mean


def column_motion(image: Pixels, amplitude: float, rng: Generator) -> Pixels:
    """An eye that moves between A-scans: columns are displaced, with a given root mean square in pixels.

    Along the beam by a slow wave (pulse, breathing, head), across it by a quarter of that, faster (drift and tremor):
    the displacement per A-scan of Kraus et al. (Biomed. Opt. Express 3(6), 2012), drawn instead of corrected.
    """
    from scipy.ndimage import map_coordinates

    axial, lateral = _wobble(rng, SIDE / 16) * amplitude, _wobble(rng, SIDE / 75) * amplitude / 4
    rows, columns = np.indices(image.shape, dtype=np.float64)
    moved: Pixels = map_coordinates(image, [rows + axial, columns + lateral], order=1, mode="nearest")
    return moved


def _wobble(rng: Generator, scale: float) -> Pixels:
    """Random displacement (224,), smooth over ``scale`` pixels; mean 0, root mean square 1."""
    from scipy.ndimage import gaussian_filter1d

    wave = gaussian_filter1d(rng.standard_normal(SIDE), scale, mode="reflect")
    wave -= wave.mean()
    scaled: Pixels = wave / wave.std()
    return scaled


def body_motion(image: Pixels, length: int, _rng: Generator) -> Pixels:
    """Breathing during a long exposure: a linear blur along the body axis (vertical), length in pixels (odd)."""
    return _linear_blur(image, length, axis=0)


def sideways_motion(image: Pixels, length: int, _rng: Generator) -> Pixels:
    """A linear blur along the rows, length in pixels (odd): the motion blur of ImageNet-C at one angle."""
    return _linear_blur(image, length, axis=1)


def _linear_blur(image: Pixels, length: int, axis: int) -> Pixels:
    from scipy.ndimage import uniform_filter1d

    blurred: Pixels = uniform_filter1d(image, length, axis=axis, mode="reflect")
    return blurred


def jpeg(image: Pixels, quality: int, _rng: Generator) -> Pixels:
    """An export that saves too much space: baseline JPEG, quality on libjpeg's scale of 1 to 95 (ImageNet-C)."""
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=quality)
    with Image.open(file) as decoded:
        return np.asarray(decoded, np.float64)


def crop(image: Pixels, side: float, rng: Generator) -> Pixels:
    """Another field of view: a window with a given share of the side, anywhere in the image, enlarged to its size."""
    left, top = rng.random(2) * SIDE * (1.0 - side)
    box = (left, top, left + SIDE * side, top + SIDE * side)
    enlarged = Image.fromarray(image.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    return np.asarray(enlarged, np.float64)


# Strengths of severity 1 to 5.
BLUR = Recipe(blur, (0.6, 1.0, 1.5, 2.2, 3.0))  # sigma, px
CONTRAST = Recipe(contrast, (0.80, 0.65, 0.50, 0.35, 0.25))  # factor
JPEG = Recipe(jpeg, (25, 18, 15, 10, 7))  # quality, as in ImageNet-C
CROP = Recipe(crop, (0.95, 0.90, 0.85, 0.78, 0.70))  # share of the side

OCT: Mapping[str, Recipe] = MappingProxyType(
    {
        "noise": Recipe(speckle, (0.10, 0.16, 0.24, 0.34, 0.46)),  # deviation / mean
        "blur": BLUR,
        "contrast": CONTRAST,
        "motion": Recipe(column_motion, (0.7, 1.3, 2.2, 3.3, 4.5)),  # root mean square, px
        "jpeg": JPEG,
        "crop": CROP,
    }
)
CHEST_X_RAY: Mapping[str, Recipe] = MappingProxyType(
    {
        # photons at white, grey levels
        "noise": Recipe(quantum_noise, ((800.0, 1.0), (400.0, 2.0), (200.0, 3.0), (100.0, 4.0), (50.0, 6.0))),
        "blur": BLUR,
        "contrast": CONTRAST,
        "motion": Recipe(body_motion, (3, 5, 9, 13, 19)),  # length, px
        "jpeg": JPEG,
        "crop": CROP,
    }
)
GENERIC: Mapping[str, Recipe] = MappingProxyType(
    {
        "noise": Recipe(gaussian_noise, (6.0, 10.0, 15.0, 22.0, 32.0)),  # grey levels
        "blur": BLUR,
        "contrast": CONTRAST,
        "motion": Recipe(sideways_motion, (3, 5, 9, 13, 19)),  # length, px
        "jpeg": JPEG,
        "crop": CROP,
    }
)
RECIPES: Mapping[str, Mapping[str, Recipe]] = MappingProxyType({"oct": OCT, "chest x-ray": CHEST_X_RAY})
CORRUPTIONS: tuple[str, ...] = tuple(GENERIC)
