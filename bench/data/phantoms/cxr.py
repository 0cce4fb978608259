"""Frontal chest X-rays: two lungs behind ribs, heart and diaphragm, healthy or with one of four lesions.

Densities run from 0 (air, black) to about 1 (bone, white). Coordinates of the patient run from -1 to 1 over the
image, u to the right and v down; the patient's heart is on the image's right side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.data.phantoms import SIDE
from bench.data.phantoms.textures import Field, clouds, expose, noise, sign, step, to_mask, to_uint8

ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float64)
GRID_V, GRID_U = np.mgrid[-1.0 : 1.0 : SIDE * 1j, -1.0 : 1.0 : SIDE * 1j]
AIR, TISSUE, LUNG = 0.05, 0.62, 0.22


@dataclass(frozen=True)
class Chest:
    """A chest before bones and noise.

    Attributes:
        u, v: (128, 128) position of each pixel in the patient.
        lungs: (128, 128) share of each pixel that is aerated lung, 0–1.
        left, right: ``lungs`` on either side of the image.
        density: (128, 128) of soft tissue and lung.
        domes: (2,) height v of the diaphragm's dome on the image's left and right side.
        outer: greatest distance of the lungs' lateral borders from the midline.
        mask: (128, 128) share of each pixel that is lesion, 0–1.

    """

    u: Field
    v: Field
    lungs: Field
    left: Field
    right: Field
    density: Field
    domes: Field
    outer: float
    mask: Field


def draw(patient: Generator, image: Generator, lesion: str | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one radiograph.

    Args:
        patient: decides the anatomy; give an equally seeded one for each image of a patient.
        image: decides position, noise, exposure and lesion.
        lesion: ``CONSOLIDATION``, ``EFFUSION``, ``INTERSTITIAL``, ``NODULE`` or None. Everything but the lesion is the
            same with and without.

    Returns:
        uint8 (128, 128) image and mask (255 on the lesion, else 0).

    """
    placing, damaging, exposing = image.spawn(3)
    chest = _soft_tissue(patient, placing)
    bones = _ribs(patient, chest) + _clavicles(patient, chest) + _spine(patient, chest)
    vessels = _vessels(patient, chest)
    if lesion is not None:
        lesions = {
            "CONSOLIDATION": _consolidation,
            "EFFUSION": _effusion,
            "INTERSTITIAL": _interstitial,
            "NODULE": _nodules,
        }
        chest = lesions[lesion](damaging, chest)
    return _expose(exposing, chest.density + bones + vessels), to_mask(chest.mask)


def _soft_tissue(patient: Generator, placing: Generator) -> Chest:
    """Place the patient, then draw trunk, lungs, heart, great vessels and diaphragm."""
    angle, zoom_u, zoom_v = placing.normal(0.0, 0.045), placing.uniform(0.86, 1.06), placing.uniform(0.86, 1.06)
    x, y = GRID_U - placing.normal(0.0, 0.05), GRID_V - placing.normal(0.0, 0.065)
    u = (np.cos(angle) * x + np.sin(angle) * y) * zoom_u
    v = (np.cos(angle) * y - np.sin(angle) * x) * zoom_v
    u = u + 0.012 * clouds(patient, 4)
    domes = patient.uniform(0.42, 0.6) + np.array([0.0, patient.uniform(0.02, 0.1)]) + placing.normal(0.0, 0.03)
    outer, apex = patient.uniform(0.72, 0.84), patient.uniform(-0.86, -0.74)
    left = _lung(-u, v, domes[0], outer, apex)
    right = _lung(u, v, domes[1], outer, apex)
    heart = _heart(patient, u, v, float(domes[1]))
    middle = step(patient.uniform(0.12, 0.16) + 0.04 * np.abs(v) - np.abs(u), 0.018)
    solid = np.maximum(heart, middle)
    left, right = left * (1.0 - solid), right * (1.0 - solid)
    shoulder = 0.42 + 0.55 * step(v + 0.72, 0.07) + 0.08 * v
    trunk = step(np.minimum(shoulder, patient.uniform(0.92, 1.02) + 0.06 * np.cos(3.0 * v)) - np.abs(u), 0.012)
    density = AIR + (TISSUE - AIR) * trunk * (1.0 + 0.05 * clouds(patient, 5))
    lungs = left + right
    density = density - (density - LUNG * patient.uniform(0.85, 1.15)) * lungs
    density += 0.11 * heart + patient.uniform(0.1, 0.16) * middle + 0.06 * step(v - domes.mean(), 0.05) * trunk
    return Chest(u, v, lungs, left, right, density, domes, outer, np.zeros((SIDE, SIDE)))


def _lung(u: Field, v: Field, dome: float, outer: float, apex: float) -> Field:
    """One lung, (128, 128) in 0–1; ``u`` is the distance from the midline, growing to the side."""
    height = np.clip((v - apex) / (dome + 0.25 - apex), 0.0, 1.0)
    lateral = 0.34 + (outer - 0.34) * np.sqrt(1.0 - (1.0 - height) ** 2.2)
    medial = 0.1 + 0.08 * height**2
    floor = dome + 0.32 * np.clip((u - 0.36) / 0.4, -1.0, 1.2) ** 2
    roof = apex + 0.9 * (u - 0.36) ** 2
    inside = step(lateral - u, 0.013) * step(u - medial, 0.016)
    return inside * step(floor - v, 0.013) * step(v - roof, 0.02)


def _heart(patient: Generator, u: Field, v: Field, dome: float) -> Field:
    """Heart and aortic knob, (128, 128) in 0–1."""
    across, up = patient.uniform(0.28, 0.38), patient.uniform(0.3, 0.4)
    lean = patient.uniform(0.3, 0.7)
    du, dv = u - patient.uniform(0.1, 0.17), v - (dome - 0.72 * up)
    body = step(1.0 - np.hypot((du - lean * 0.3 * dv) / across, (dv - lean * 0.2 * du) / up), 0.07)
    knob = step(1.0 - np.hypot(u - 0.13, v + patient.uniform(0.25, 0.38)) / patient.uniform(0.08, 0.13), 0.1)
    return np.maximum(body, 0.8 * knob)


def _ribs(patient: Generator, chest: Chest) -> Field:
    """Posterior ribs sloping down to the side and fainter anterior ones sloping down to the midline."""
    side = np.abs(chest.u)
    cage = step(chest.outer + 0.07 - side, 0.02) * step(side - 0.1, 0.03) * step(chest.v + 0.88, 0.05)
    cage *= step(0.8 - chest.v, 0.1)
    gap, start = patient.uniform(0.165, 0.2), patient.uniform(0.0, 1.0)
    back = (
        chest.v
        - 0.42 * np.clip(side - 0.1, 0.0, None) ** 1.5
        + 0.12 * side
        + patient.normal(0.0, 0.012) * np.sign(chest.u)
    )
    front = chest.v + patient.uniform(0.45, 0.65) * (side - 0.25) + 0.25 * (side - 0.3) ** 2
    strength = patient.uniform(0.1, 0.17)
    image = strength * _bands(back / gap + start, 0.28)
    image += (
        strength * patient.uniform(0.35, 0.65) * _bands(front / (1.15 * gap) + start, 0.22) * step(side - 0.3, 0.06)
    )
    edge = 0.1 * np.exp(-0.5 * ((side - chest.outer - 0.03) / 0.03) ** 2)
    return cage * (image + edge * _bands(back / gap + start, 0.5))


def _bands(phase: Field, share: float) -> Field:
    """A bright band with brighter rims in every period of ``phase``, covering ``share`` of it; 0 to about 1."""
    distance = np.abs(phase - np.rint(phase))
    band = step(0.5 * share - distance, 0.03)
    rim = np.exp(-0.5 * ((distance - 0.5 * share + 0.04) / 0.035) ** 2)
    return 0.7 * band + 0.4 * rim


def _clavicles(patient: Generator, chest: Chest) -> Field:
    """Two S-shaped bars from the breastbone to the shoulders."""
    side = np.abs(chest.u)
    slope, height = patient.uniform(0.05, 0.3), patient.uniform(-0.72, -0.62)
    line = chest.v - height + slope * (side - 0.1) - 0.035 * np.sin(7.0 * (side - 0.1))
    bar = step(0.035 - np.abs(line), 0.008) * step(side - 0.09, 0.015) * step(0.8 - side, 0.04)
    return patient.uniform(0.12, 0.2) * bar


def _spine(patient: Generator, chest: Chest) -> Field:
    """Vertebrae behind the mediastinum."""
    column = step(0.085 - np.abs(chest.u), 0.012)
    discs = 0.7 + 0.3 * np.cos(2.0 * np.pi * (chest.v / patient.uniform(0.13, 0.16) + patient.uniform(0.0, 1.0)))
    return patient.uniform(0.09, 0.15) * column * discs


def _vessels(patient: Generator, chest: Chest) -> Field:
    """Branching markings, thick about the hila and thin towards the pleura."""
    hila = np.hypot((np.abs(chest.u) - 0.2) / 0.26, (chest.v - patient.uniform(-0.12, 0.0)) / 0.36)
    coarse, fine = noise(patient, (1.6, 2.6)), noise(patient, 1.0)
    threads = np.exp(-3.0 * coarse**2) + 0.35 * np.exp(-3.0 * fine**2)
    return chest.lungs * patient.uniform(0.06, 0.11) * threads * np.exp(-(hila**1.3))


def _expose(exposing: Generator, density: Field) -> NDArray[np.uint8]:
    """Turn densities into grey levels: scatter, contrast curve, exposure, grain."""
    image = density + 0.035 * clouds(exposing, 3) + exposing.normal(0.0, 0.03) * GRID_U
    image = np.clip(image, 0.0, None) ** exposing.uniform(0.8, 1.3)
    image = expose(image, exposing.uniform(105.0, 140.0), exposing.uniform(46.0, 58.0))
    return to_uint8(image + exposing.uniform(1.5, 4.0) * noise(exposing, 0.5))


def _damaged(chest: Chest, opacity: Field, density: float | Field, mask: Field) -> Chest:
    """Fill ``opacity`` (128, 128), 0–1, of each pixel with ``density``."""
    return replace(chest, density=chest.density + opacity * (density - chest.density), mask=mask)


def _one_lung(rng: Generator, chest: Chest) -> tuple[Field, int]:
    """A lung drawn evenly, and its side: -1 for the image's left."""
    side = sign(rng)
    return (chest.left if side < 0 else chest.right), side


def _place(rng: Generator, lung: Field) -> tuple[float, float]:
    """Row and column, in pixels, of a random point well inside a lung."""
    inside = gaussian_filter(lung, 4.0)
    rows, columns = np.nonzero(inside > 0.85 * inside.max())
    chosen = int(rng.random() * len(rows))
    return float(rows[chosen]), float(columns[chosen])


def _consolidation(rng: Generator, chest: Chest) -> Chest:
    """A cloudy patch with soft, uneven edges in one lung."""
    lung, _ = _one_lung(rng, chest)
    row, column = _place(rng, lung)
    width, height = rng.uniform(10.0, 21.0), rng.uniform(10.0, 22.0)
    distance = np.hypot((COLUMNS - column) / width, (ROWS - row) / height) + 0.22 * clouds(rng, 9)
    patch = step(1.0 - distance, 0.13) * lung
    texture = np.clip(0.85 + 0.15 * noise(rng, 2.0), 0.3, 1.0)
    return _damaged(chest, rng.uniform(0.45, 0.9) * patch * texture, TISSUE, patch)


def _effusion(rng: Generator, chest: Chest) -> Chest:
    """Fluid at the base of one lung; its surface climbs along the side wall and hides the angle."""
    lung, side = _one_lung(rng, chest)
    distance = np.clip(side * chest.u, 0.0, None)
    level = chest.domes[(side + 1) // 2] - rng.uniform(-0.05, 0.45)
    climb = rng.uniform(0.12, 0.3) * np.clip((distance - 0.2) / (chest.outer - 0.2), 0.0, 1.2) ** 3
    fluid = step(chest.v - level + climb, 0.02) * lung
    return _damaged(chest, rng.uniform(0.75, 0.95) * fluid, TISSUE + 0.08, fluid)


def _interstitial(rng: Generator, chest: Chest) -> Chest:
    """A net of fine lines and haze over much of both lungs, strongest towards top, bottom or one side."""
    tilt = rng.uniform(-1.0, 1.0) * chest.v + rng.uniform(-0.8, 0.8) * chest.u + 0.35 * clouds(rng, 4)
    extent = step(tilt + rng.uniform(0.0, 0.5), 0.15) * chest.lungs
    net = np.exp(-2.5 * noise(rng, 1.7) ** 2)
    opacity = rng.uniform(0.25, 0.5) * net + rng.uniform(0.04, 0.2)
    return _damaged(chest, opacity * extent, TISSUE, extent)


def _nodules(rng: Generator, chest: Chest) -> Chest:
    """One large mass or up to four round shadows with a clear edge."""
    count = int(rng.integers(1, 5))
    mask = np.zeros((SIDE, SIDE))
    for _ in range(count):
        lung, _ = _one_lung(rng, chest)
        row, column = _place(rng, lung)
        radius = rng.uniform(4.0, 7.0) if count > 1 else rng.uniform(6.5, 12.0)
        distance = np.hypot(COLUMNS - column, (ROWS - row) * rng.uniform(0.85, 1.15)) / radius
        mask = np.maximum(mask, step(1.0 - distance, 0.09) * lung)
    return _damaged(chest, rng.uniform(0.45, 0.95) * mask, TISSUE + 0.06, mask)
