"""Scores of new images as a table, and heat maps as pictures: both appear when they are complete, or not at all."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.files import making_folder_atomically, storage_error, writing_atomically
from bench.metrics.operating import share_below, threshold_at

COLUMNS = ("image", "score", "percentile", "threshold", "flagged")
STEM_LIMIT = 80
# From amber to red: darker and stronger where more anomalous, so that neither depends on telling the colours apart.
FAINT, FULL = np.array([255.0, 200.0, 0.0]), np.array([200.0, 0.0, 0.0])
STRONGEST = 0.65

Map = NDArray[np.float32]
Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class HeldOut:
    """What a score is compared with: those of held-out normals, float64 (m,) in rising order, m ≥ 0."""

    ordered: NDArray[np.float64]
    specificity: float

    @property
    def threshold(self) -> float | None:
        """The lowest score that the wanted share of held-out normals do not exceed; None if there are none."""
        return threshold_at(self.ordered, self.specificity) if len(self.ordered) else None

    def row(self, image: str, score: float | None) -> tuple[Any, ...]:
        """Return the values of :data:`COLUMNS`; what is not known is None."""
        threshold = self.threshold
        if score is None:
            return image, None, None, threshold, None
        if threshold is None:
            return image, score, None, None, None
        return image, score, share_below(self.ordered, score), threshold, score > threshold


class ScoresWriter:
    """Writes rows of a scores table as they come."""

    def __init__(self, text: io.TextIOBase, held_out: HeldOut) -> None:
        self._writer = csv.writer(text, lineterminator="\n")
        self._writer.writerow(COLUMNS)
        self._held_out = held_out
        self.scored = self.flagged = 0

    def add(self, image: Path, score: float | None) -> None:
        """Write the row of one image, without a score if it could not be read."""
        row = self._held_out.row(str(image), score)
        self._writer.writerow([_text(value) for value in row])
        self.scored += score is not None
        self.flagged += row[-1] is True


@contextmanager
def writing_scores(path: Path, held_out: HeldOut) -> Iterator[ScoresWriter]:
    """Open a table of scores, which takes its place when the block ends.

    Raises:
        StorageError: it cannot be written; nothing is left behind.

    """
    try:
        with writing_atomically(path) as file:
            # A file name need not be text that UTF-8 has; such bytes are written as they are.
            text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
            try:
                yield ScoresWriter(text, held_out)
                text.flush()
            finally:
                text.detach()
    except OSError as error:
        raise storage_error(path, error) from error


class MapsWriter:
    """Draws heat maps into a folder; the number of an image's row comes first in its name, so no two are the same."""

    def __init__(self, folder: Path, images: int, limits: tuple[float, float] | None) -> None:
        """Say where to.

        Args:
            folder: the folder.
            images: how many rows the table of scores has.
            limits: values at which colour begins and is full; None: the least and greatest of each map.

        """
        self._folder, self._digits, self._limits = folder, len(str(images)), limits

    def add(self, row: int, image: Path, picture: Grey, heat: Map) -> None:
        """Draw the map of the image in a row of the table, counted from 1.

        Args:
            row: the row.
            image: its file, of whose name the plain characters are taken over.
            picture: uint8 (h, w).
            heat: float32 (side, side).

        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", image.stem)[:STEM_LIMIT]
        limits = self._limits or (float(heat.min()), float(heat.max()))
        overlay(picture, heat, limits).save(self._folder / f"{row:0{self._digits}d}-{stem}.png")


@contextmanager
def drawing_maps(path: Path, images: int, limits: tuple[float, float] | None) -> Iterator[MapsWriter]:
    """Open a folder of heat maps, which takes its place when the block ends.

    Raises:
        StorageError: it cannot be written; nothing is left behind.

    """
    try:
        with making_folder_atomically(path) as folder:
            yield MapsWriter(folder, images, limits)
    except OSError as error:
        raise storage_error(path, error) from error


def overlay(picture: Grey, heat: Map, limits: tuple[float, float]) -> Image.Image:
    """Lay a heat map over a grey picture: nothing where it is low, red that lets the picture through where it is high.

    Args:
        picture: uint8 (h, w).
        heat: float32 (side, side), stretched to the picture's size.
        limits: values at which colour begins and is full.

    Returns:
        RGB, of the picture's size.

    """
    low, high = limits
    share = np.clip((heat.astype(np.float64) - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    size = (picture.shape[1], picture.shape[0])
    stretched = Image.fromarray(share.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    strength = np.asarray(stretched, np.float64)[:, :, None]
    colour = FAINT + (FULL - FAINT) * strength
    opacity = STRONGEST * strength
    mixed = picture[:, :, None] * (1 - opacity) + colour * opacity
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)
