"""OCT-like scans of a retina: layers of different brightness under speckle, healthy or with one of three lesions.

Rows run from the vitreous (dark, top) to the choroid. Distances are in pixels of the 128 × 128 image; an ``x`` runs
from -1 (left) to 1 (right).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.data.phantoms import SIDE
from bench.data.phantoms.textures import Field, clouds, expose, noise, sign, step, to_mask, to_uint8, wobble

X = np.linspace(-1.0, 1.0, SIDE)
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float64)

LAYERS = ("nerve fibres", "ganglion cells", "inner nuclear", "outer plexiform", "outer nuclear", "EZ", "OS", "RPE")
THICKNESS = np.array([3.5, 8.5, 5.0, 3.0, 9.5, 2.5, 2.5, 3.5])
BRIGHTNESS = np.array([0.72, 0.50, 0.30, 0.50, 0.20, 0.85, 0.50, 1.00])
VITREOUS, CHOROID, FLUID, MATTER = 0.06, 0.50, 0.07, 0.80
EZ, RPE = LAYERS.index("EZ"), LAYERS.index("RPE")


@dataclass(frozen=True)
class Retina:
    """A retina's geometry.

    Attributes:
        tops: (9, 128) row of the upper surface of each of ``LAYERS``, then of the choroid.
        brightness: (8, 128) reflectivity of each layer by column, 0–1.
        mask: (128, 128) share of each pixel that is lesion, 0–1.
        fill: (128, 128) reflectivity inside the lesion.
        shadow: (128,) share of light lost behind retinal vessels by column, 0–1.
        blocked: (128,) share of light lost behind the RPE by column, 0–1.

    """

    tops: Field
    brightness: Field
    mask: Field
    fill: Field
    shadow: Field
    blocked: Field


def draw(patient: Generator, image: Generator, lesion: str | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one scan.

    Args:
        patient: decides the anatomy; give an equally seeded one for each image of a patient.
        image: decides position, noise, exposure and lesion.
        lesion: ``DRUSEN``, ``FLUID``, ``NEOVASCULAR`` or None. Everything but the lesion is the same with and without.

    Returns:
        uint8 (128, 128) image and mask (255 on the lesion, else 0).

    """
    placing, damaging, scanning = image.spawn(3)
    retina = _anatomy(patient, placing)
    if lesion is not None:
        retina = {"DRUSEN": _drusen, "FLUID": _fluid, "NEOVASCULAR": _neovascular}[lesion](damaging, retina)
    return _scan(scanning, retina), to_mask(retina.mask)


def _anatomy(patient: Generator, placing: Generator) -> Retina:
    """Draw layers around a foveal pit, then place the scan: shift, tilt, curvature."""
    layers = THICKNESS * patient.uniform(0.8, 1.2) * patient.uniform(0.85, 1.15, len(LAYERS))
    thickness = layers[:, None] * (1.0 + 0.06 * np.stack([wobble(patient, 5) for _ in LAYERS]))
    thickness[0] *= np.clip(1.0 + patient.uniform(0.2, 0.9) * sign(patient) * X, 0.25, None)
    depth, width = patient.uniform(0.4, 0.95), patient.uniform(0.14, 0.28)
    centre = patient.uniform(-0.2, 0.2) + placing.uniform(-0.25, 0.25)
    pit = depth * np.exp(-0.5 * ((X - centre) / width) ** 2)
    rim = 0.18 * np.exp(-0.5 * ((np.abs(X - centre) - 2.2 * width) / (0.8 * width)) ** 2)
    thickness[:4] *= 1.0 - pit + rim
    thickness[4] *= 1.0 + 0.45 * pit
    bend = patient.uniform(-4.0, 14.0) * (X**2 - 0.33) + patient.uniform(0.2, 1.0) * wobble(patient, 6)
    choroid = placing.uniform(66.0, 98.0) + placing.normal(0.0, 6.0) * X - bend
    tops = np.vstack([choroid - np.cumsum(thickness[::-1], axis=0)[::-1], choroid])
    brightness = BRIGHTNESS[:, None] * patient.uniform(0.88, 1.12, (len(LAYERS), 1)) * np.ones(SIDE)
    empty = np.zeros((SIDE, SIDE))
    return Retina(tops, brightness, empty, empty, _vessel_shadows(placing), np.zeros(SIDE))


def _vessel_shadows(placing: Generator) -> Field:
    """Light lost behind up to five retinal vessels, (128,)."""
    count = int(placing.integers(1, 6))
    centres = placing.uniform(-1.0, 1.0, (count, 1))
    widths, depths = placing.uniform(0.012, 0.035, (count, 1)), placing.uniform(0.15, 0.55, (count, 1))
    lost: Field = np.max(depths * np.exp(-0.5 * ((X - centres) / widths) ** 2), axis=0)
    return lost


def _scan(scanning: Generator, retina: Retina) -> NDArray[np.uint8]:
    """Turn geometry into grey levels: depth decay, shadows, speckle, gain."""
    image = _reflectivity(scanning, retina)
    image *= 1.0 - retina.shadow * step(ROWS - retina.tops[1], 2.0)
    image *= 1.0 - retina.blocked * step(ROWS - retina.tops[-1], 2.0)
    image *= 1.0 + 0.14 * wobble(scanning, 5) + 0.05 * clouds(scanning, 6)
    image = np.maximum(image, 0.0) ** scanning.uniform(0.85, 1.15)
    grain = scanning.uniform(0.18, 0.32)
    speckle = 0.75 * noise(scanning, (0.55, 1.1)) + 0.65 * noise(scanning, 0.3)
    image = image * np.exp(grain * speckle) + scanning.uniform(0.02, 0.05) * np.abs(noise(scanning, 0.4))
    return to_uint8(expose(image, scanning.uniform(48.0, 84.0), scanning.uniform(40.0, 52.0)))


def _reflectivity(scanning: Generator, retina: Retina) -> Field:
    """Reflectivity (128, 128), 0 to about 1.2, before any noise."""
    depth = ROWS - retina.tops[-1]
    spots = 1.0 + scanning.uniform(0.12, 0.28) * noise(scanning, (3.0, 4.0)) * step(depth - 4.0, 2.0)
    decay = np.exp(-np.maximum(depth, 0.0) / scanning.uniform(10.0, 26.0))
    choroid = CHOROID * np.clip(spots, 0.3, None) * decay
    image: Field = np.full((SIDE, SIDE), VITREOUS)
    above: Field | float = VITREOUS
    for top, own in zip(retina.tops, [*retina.brightness, choroid], strict=True):
        image += (own - above) * step(ROWS - top, 0.45)
        above = own
    return image + retina.mask * (retina.fill - image)


def _hump(centre: float, width: float) -> Field:
    """Bell of height 1 along x, (128,)."""
    bell: Field = np.exp(-0.5 * ((X - centre) / width) ** 2)
    return bell


def _raise(retina: Retina, lift: Field, push: float) -> Field:
    """Lift EZ, OS and RPE by ``lift`` (128,), and what is above by ``push`` times as much; no layer below 1 px."""
    tops = retina.tops.copy()
    tops[EZ : RPE + 2] -= lift
    tops[:EZ] -= push * lift
    for above in range(EZ - 1, -1, -1):
        tops[above] = np.minimum(tops[above], tops[above + 1] - 1.0)
    return tops


def _between(top: Field, bottom: Field) -> Field:
    """Share of each pixel that lies between two rows given by column, (128, 128)."""
    return step(ROWS - top, 0.45) * step(bottom - ROWS, 0.45) * step(bottom - top - 1.0, 0.3)


def _drusen(rng: Generator, retina: Retina) -> Retina:
    """Deposits under the RPE, which runs over them in bumps; its lower edge is seen where it was."""
    centre, spread = rng.uniform(-0.5, 0.5), rng.uniform(0.15, 0.5)
    lift = np.zeros(SIDE)
    size = rng.uniform(0.75, 1.3)
    for _ in range(int(rng.integers(2, 7))):
        place = float(np.clip(centre + spread * rng.uniform(-1.0, 1.0), -0.9, 0.9))
        lift = np.maximum(lift, size * rng.uniform(3.5, 8.5) * _hump(place, rng.uniform(0.035, 0.09)))
    tops = _raise(retina, lift, push=0.3)
    base = retina.tops[-1]
    mask = _between(tops[-1], base)
    tops[-1] = base  # the choroid stays where it was
    fill = rng.uniform(0.38, 0.5) * (1.0 + 0.15 * noise(rng, 1.5))
    return replace(retina, tops=tops, mask=mask, fill=fill)


def _fluid(rng: Generator, retina: Retina) -> Retina:
    """Dark cysts between inner nuclear and outer nuclear layer, swelling the retina; sometimes fluid beneath it."""
    centre, spread = rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.35)
    beneath = rng.uniform(3.0, 9.0) * _hump(centre, rng.uniform(0.1, 0.25)) * (rng.random() < 0.4)
    swelling = rng.uniform(3.0, 10.0) * _hump(centre, spread + 0.1)
    tops = retina.tops.copy()
    tops[:RPE] -= beneath
    tops[:5] -= swelling
    tops[3:5] += 0.5 * swelling
    mask = _between(tops[RPE] - beneath, tops[RPE])
    middle, room = 0.5 * (tops[2] + tops[5]), 0.5 * (tops[5] - tops[2])
    for _ in range(int(rng.integers(2, 8))):
        x = float(np.clip(centre + spread * rng.uniform(-1.0, 1.0), -0.92, 0.92))
        column = round((x + 1.0) * (SIDE - 1) / 2.0)
        height = room[column] * rng.uniform(0.45, 0.9)
        row = middle[column] + (room[column] - height) * rng.uniform(-1.0, 1.0)
        distance = np.hypot((COLUMNS - column) / rng.uniform(2.5, 7.5), (ROWS - row) / height)
        mask = np.maximum(mask, step(1.0 - distance, 0.07))
    return replace(retina, tops=tops, mask=mask, fill=np.full((SIDE, SIDE), FLUID))


def _neovascular(rng: Generator, retina: Retina) -> Retina:
    """A bright mound that breaks through the RPE, fluid beside it under the retina, a shadow beneath."""
    centre, width = rng.uniform(-0.5, 0.5), rng.uniform(0.08, 0.2)
    mound = rng.uniform(6.0, 13.0) * _hump(centre, width)
    mound *= np.clip(1.0 + 0.15 * wobble(rng, 14), 0.5, None)
    beside = centre + sign(rng) * width * rng.uniform(1.3, 2.2)
    fluid = rng.uniform(2.5, 9.0) * _hump(beside, width * rng.uniform(0.9, 1.6))
    lift = np.maximum(mound, fluid)
    tops = retina.tops.copy()
    tops[:RPE] -= lift
    tops[:EZ] += 0.35 * lift
    damage = np.clip(mound / 5.0, 0.0, 1.0)
    brightness = retina.brightness.copy()
    brightness[EZ:] -= damage * (brightness[EZ:] - MATTER) * rng.uniform(0.6, 1.0)
    matter = _between(retina.tops[RPE] - mound, retina.tops[RPE + 1]) * damage
    wet = _between(retina.tops[RPE] - lift, retina.tops[RPE] - mound)
    fill = np.where(wet > matter, FLUID, MATTER * rng.uniform(0.85, 1.25) * (1.0 + 0.2 * noise(rng, 1.5)))
    blocked = rng.uniform(0.2, 0.7) * damage
    return replace(retina, tops=tops, brightness=brightness, mask=np.maximum(matter, wet), fill=fill, blocked=blocked)
