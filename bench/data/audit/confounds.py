"""What separates a task's classes without looking at the disease."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache as remember
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import TaskSpec
from bench.data.manifest import Entry, Manifest
from bench.data.reading import Reader
from bench.metrics import Interval, auroc_interval

RIM = 0.05
WHITE, BLACK = 250, 2
NUMBERS = (
    "mean_intensity",
    "contrast",
    "width",
    "height",
    "aspect",
    "file_size",
    "jpeg_quality",
    "border_fill_white",
    "border_fill_black",
)


@dataclass(frozen=True)
class Confound:
    """How well something trivial predicts the label of test images.

    Attributes:
        name: a number of each image (``width``), or something known of it and a value (``sex=F``).
        auroc: as if it were an anomaly score, with DeLong's interval: below 0.5 where normal images have more of it.
        images: on how many test images it is known.

    """

    name: str
    auroc: Interval
    images: int


def find_confounds(
    spec: TaskSpec, manifest: Manifest, cache: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Confound]:
    """Measure every trivial predictor on the test images; the one that separates best comes first.

    Raises:
        OSError: an image cannot be read. Decoders raise other errors as well.

    """
    reader, test = Reader(spec, cache), manifest.of_role("test")
    measured = []
    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        for done, values in enumerate(threads.map(lambda entry: measure(reader, entry), test), start=1):
            measured.append(values)
            if done % 100 == 0 or done == len(test):
                progress(done, len(test))
    labels = np.array([entry.label for entry in test], np.int8)
    columns = {name: np.array([values.get(name, np.nan) for values in measured]) for name in NUMBERS}
    columns |= known_attributes(test)
    found = [confound for name, values in columns.items() if (confound := _confound(name, labels, values))]
    return sorted(found, key=lambda confound: -abs(confound.auroc.value - 0.5))


def measure(reader: Reader, entry: Entry) -> dict[str, float]:
    """Measure one image; what does not apply to it is not in the answer."""
    content = reader.content(entry.path, entry.member)
    picture = reader.picture(entry.path, entry.member, content)
    pixels = np.asarray(picture)
    values = {
        "mean_intensity": float(pixels.mean()),
        "contrast": float(pixels.std()),
        "width": float(picture.width),
        "height": float(picture.height),
        "aspect": picture.width / picture.height,
        "border_fill_white": float((rim(pixels) >= WHITE).mean()),
        "border_fill_black": float((rim(pixels) <= BLACK).mean()),
    }
    if entry.member is None:
        values["file_size"] = float(len(content))
        if (quality := jpeg_quality(entry.path)) is not None:
            values["jpeg_quality"] = quality
    return values


def rim(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels within 5 % of the sides from the edges of a picture (h, w), as one row."""
    down, right = (max(round(side * RIM), 1) for side in pixels.shape)
    parts = (pixels[:down], pixels[-down:], pixels[down:-down, :right], pixels[down:-down, -right:])
    return np.concatenate([part.ravel() for part in parts])


def jpeg_quality(path: Path) -> float | None:
    """Estimate the quality setting, 1 to 100, from the luminance quantisation table; None if it is no JPEG."""
    try:
        with Image.open(path) as image:
            tables: Mapping[int, Sequence[int]] = getattr(image, "quantization", {})
    except OSError:
        return None
    if 0 not in tables:
        return None
    coarseness = sum(tables[0])
    return min(_coarseness_by_quality(), key=lambda known: abs(known[0] - coarseness))[1]


@remember
def _coarseness_by_quality() -> list[tuple[int, float]]:
    """Sum of the luminance table at each quality, as libjpeg scales the standard's table."""
    found = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            found.append((sum(image.quantization[0]), float(quality)))  # type: ignore[attr-defined]
    return found


def known_attributes(entries: Sequence[Entry]) -> dict[str, NDArray[np.float64]]:
    """Turn what is known of images (sex, age, view) into columns: numbers as they are, words one column a value."""
    known = [attributes_of(entry) for entry in entries]
    columns = {}
    for name in sorted({name for attributes in known for name in attributes}):
        texts = [attributes.get(name) or None for attributes in known]
        numbers = [_number(text) for text in texts]
        if all(text is None or number is not None for text, number in zip(texts, numbers, strict=True)):
            columns[name] = np.array([np.nan if number is None else number for number in numbers])
            continue
        values = sorted({text for text in texts if text is not None})
        for value in values[:1] if len(values) == 2 else values:  # of two values, one says it all
            columns[f"{name}={value}"] = np.array([np.nan if text is None else float(text == value) for text in texts])
    return columns


def attributes_of(entry: Entry) -> Mapping[str, str]:
    """What a task's tables say of an image, or else its DICOM header."""
    if entry.attributes or entry.path.suffix.lower() not in (".dcm", ".dicom"):
        return entry.attributes
    from bench.data.dicom import dicom_attributes

    found: Mapping[str, str] = dicom_attributes(entry.path)
    return found


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _confound(name: str, labels: NDArray[np.int8], values: NDArray[np.float64]) -> Confound | None:
    known = ~np.isnan(values)
    if min(np.bincount(labels[known], minlength=2)) < 2:
        return None
    return Confound(name, auroc_interval(labels[known], values[known]), int(known.sum()))
