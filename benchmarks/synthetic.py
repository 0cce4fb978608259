"""Ten ways to damage a normal image: a stand-in for disease where nothing may be chosen by disease.

Each is drawn from a generator alone, for images of any size: lengths are shares of the side, or pixels of an image of
128 × 128 that grow with it. Grey values are 0 to 255. The ranges were set once by looking at damaged images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

Pixels = NDArray[np.float64]
SIDE = 128


@dataclass(frozen=True)
class Scene:
    """What a damage is made of.

    Attributes:
        image: the image to damage, (s, s).
        other: another normal image.
        rng: all choices come from it.
        where: how likely each pixel is the middle of a damage, summing to 1; None: anywhere but near the border.

    """

    image: Pixels
    other: Pixels
    rng: np.random.Generator
    where: Pixels | None = None

    @property
    def size(self) -> int:
        """Side in pixels."""
        return len(self.image)

    @property
    def unit(self) -> float:
        """Length of a pixel of an image of 128 × 128."""
        return self.size / SIDE

    def middle(self) -> Pixels:
        """Row and column of a damage's middle."""
        if self.where is None:
            return self.rng.uniform(0.25, 0.75, 2) * self.size
        chosen = self.rng.choice(self.where.size, p=self.where.ravel())
        return np.array(divmod(int(chosen), self.size), float)

    def ellipse(self, least: float, most: float, softness: float = 1.5) -> Pixels:
        """A turned ellipse with a soft edge, (s, s) in [0, 1]; radii are shares of the side."""
        middle, radii = self.middle(), self.rng.uniform(least, most, 2) * self.size
        angle = self.rng.uniform(0, np.pi)
        rows, columns = np.indices((self.size, self.size))
        down, right = rows - middle[0], columns - middle[1]
        along = (np.cos(angle) * right + np.sin(angle) * down) / radii[1]
        across = (np.cos(angle) * down - np.sin(angle) * right) / radii[0]
        inside: Pixels = np.clip((1 + softness / 2 - np.hypot(along, across)) / softness, 0, 1)
        return inside

    def smooth(self, image: Pixels, sigma: float) -> Pixels:
        """Gaussian average; sigma in units."""
        averaged: Pixels = gaussian_filter(image, sigma * self.unit)
        return averaged


def damaged(
    image: NDArray[np.uint8], other: NDArray[np.uint8], kind: str, oct: bool, rng: np.random.Generator
) -> Pixels:
    """Damage one image.

    Args:
        image: uint8 (s, s).
        other: another normal image of that size.
        kind: a key of ``KINDS``.
        oct: place what is local in the retina.
        rng: all choices come from it.

    Returns:
        float64 (s, s) in [0, 255].

    """
    x = image.astype(float)
    made: Pixels = KINDS[kind](Scene(x, other.astype(float), rng, retina(x) if oct else None)).clip(0, 255)
    return made


def retina(image: Pixels) -> Pixels:
    """Where an OCT scan is bright, (s, s) summing to 1, but for scanners' white margins and both sides."""
    bright: Pixels = gaussian_filter(np.where(image > 245, 0, image), 2 * len(image) / SIDE)
    bright = np.where(bright > np.percentile(bright, 85), bright, 0)
    margin = 10 * len(image) // SIDE
    bright[:, :margin] = bright[:, -margin:] = 0
    total = bright.sum()
    return bright / total if total else np.full(image.shape, 1 / image.size)


def mix(image: Pixels, changed: Pixels | float, share: Pixels) -> Pixels:
    """``changed`` where ``share`` is 1, ``image`` where it is 0."""
    return image * (1 - share) + changed * share


def paste(scene: Scene) -> Pixels:
    """A rectangle of another image, with hard edges."""
    size, rng = scene.size, scene.rng
    height, width = (rng.uniform(0.12, 0.3, 2) * size).astype(int)
    top, left = rng.integers(0, size - height), rng.integers(0, size - width)
    down, right = int(rng.uniform(0.15, 0.85) * (size - height)), int(rng.uniform(0.15, 0.85) * (size - width))
    made = scene.image.copy()
    made[down : down + height, right : right + width] = scene.other[top : top + height, left : left + width]
    return made


def blend(scene: Scene) -> Pixels:
    """The texture of another image on the brightness of this one."""
    window = scene.ellipse(0.08, 0.22)
    moved = np.roll(scene.other, scene.rng.integers(scene.size, size=2), (0, 1))
    return mix(scene.image, moved - scene.smooth(moved, 6) + scene.smooth(scene.image, 6), window)


def haze(scene: Scene) -> Pixels:
    """One to three bright, very soft clouds."""
    made = scene.image
    for _ in range(scene.rng.integers(1, 4)):
        cloud = scene.ellipse(0.1, 0.25, 1.8) * scene.rng.uniform(0.25, 0.6)
        made = mix(made, scene.rng.uniform(140, 200), cloud)
    return made


def dark(scene: Scene) -> Pixels:
    """One to three small dark spots."""
    made = scene.image
    for _ in range(scene.rng.integers(1, 4)):
        spot = scene.ellipse(0.04, 0.12, 0.6) * scene.rng.uniform(0.4, 0.8)
        made = mix(made, scene.rng.uniform(5, 50), spot)
    return made


def diffuse(scene: Scene) -> Pixels:
    """Contrast that fades here and there over all of the image."""
    coarse = scene.rng.standard_normal((6, 6))
    uneven = zoom(coarse, scene.size / 3, order=3)[: scene.size, : scene.size]
    fading = np.clip(uneven / np.abs(uneven).max() * 0.5 + 0.5, 0, 1) * scene.rng.uniform(0.2, 0.5)
    return mix(scene.image, scene.smooth(scene.image, 12) * 0.5 + 75, fading)


def warp(scene: Scene) -> Pixels:
    """Content pushed up or down, as by something that grew."""
    window, rng = scene.ellipse(0.15, 0.3, 2.0), scene.rng
    push = rng.uniform(0.03, 0.07) * scene.size * rng.choice([-1, 1]) * window
    angle = rng.normal(0, 0.5) + np.pi / 2
    rows, columns = np.indices(scene.image.shape).astype(float)
    places = [rows + push * np.sin(angle), columns + push * np.cos(angle)]
    made: Pixels = map_coordinates(scene.image, places, order=1, mode="nearest")
    return made


def blur(scene: Scene) -> Pixels:
    """All of the image out of focus."""
    return scene.smooth(scene.image, scene.rng.uniform(0.8, 1.6))


def blurpatch(scene: Scene) -> Pixels:
    """A part out of focus."""
    window = scene.ellipse(0.12, 0.25)
    return mix(scene.image, scene.smooth(scene.image, scene.rng.uniform(1.5, 3)), window)


def noise(scene: Scene) -> Pixels:
    """Grain in a part."""
    window = scene.ellipse(0.12, 0.25)
    grain = scene.smooth(scene.rng.standard_normal(scene.image.shape), 0.7)
    return scene.image + window * grain / 0.5 * scene.rng.uniform(8, 18)


def swap(scene: Scene) -> Pixels:
    """Two squares of the image have changed places."""
    side = int(scene.rng.uniform(0.12, 0.25) * scene.size)
    top, left, down, right = (int(place) for place in scene.rng.uniform(0.1, 0.9, 4) * (scene.size - side))
    made = scene.image.copy()
    made[top : top + side, left : left + side] = scene.image[down : down + side, right : right + side]
    made[down : down + side, right : right + side] = scene.image[top : top + side, left : left + side]
    return made


KINDS: dict[str, Callable[[Scene], Pixels]] = {
    kind.__name__: kind for kind in (paste, blend, haze, dark, diffuse, warp, blur, blurpatch, noise, swap)
}
