"""Lesion masks at the size that a detector sees."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import TaskSpec
from bench.data.dicom import decode_dicom, is_dicom
from bench.data.manifest import Entry
from bench.errors import BadImagesError, DataChangedError

Mask = NDArray[np.bool_]


def read_masks(spec: TaskSpec, entries: Sequence[Entry], side: int) -> list[Mask]:
    """Read the masks of images that have one.

    Args:
        spec: the task.
        entries: images with a mask each.
        side: of the images as the detector sees them, in pixels.

    Returns:
        bool (side, side) each, True on a lesion.

    Raises:
        BadImagesError: masks that cannot be decoded, all of them named.
        DataChangedError: a mask is no longer the one that was indexed.

    """

    def read(entry: Entry) -> Mask | str:
        try:
            return shrink(_decode(spec, entry), side)
        except DataChangedError:
            raise
        except Exception as error:  # a decoder may raise anything on a damaged file
            return f"{entry.mask_path}: {error or type(error).__name__}"

    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        found = list(threads.map(read, entries))
    if bad := [one for one in found if isinstance(one, str)]:
        raise BadImagesError(bad)
    return [one for one in found if not isinstance(one, str)]


def shrink(lesion: Mask, side: int) -> Mask:
    """Squash a mask as its image is: a pixel is lesion where more than half of it is.

    A lesion too small for that keeps the pixel that holds most of it: nobody could find it otherwise.

    Args:
        lesion: bool (h, w).
        side: in pixels.

    Returns:
        bool (side, side).

    """
    from scipy import ndimage

    grey = Image.fromarray(lesion.astype(np.uint8) * 255)
    kept: Mask = np.asarray(grey.resize((side, side), Image.Resampling.BILINEAR)) > 127
    names, number = ndimage.label(lesion, np.ones((3, 3), np.int64))
    rows, columns = np.nonzero(lesion)
    places = (rows * side // lesion.shape[0]) * side + columns * side // lesion.shape[1]
    owner = names[rows, columns] - 1
    lost = np.bincount(owner, kept.ravel()[places], minlength=number) == 0
    if lost.any():
        chosen = lost[owner]
        pairs, pixels = np.unique(owner[chosen].astype(np.int64) * side**2 + places[chosen], return_counts=True)
        # By lesion, and within it the fullest pixel first: the first of each lesion is kept.
        order = np.lexsort((-pixels, pairs // side**2))
        _, first = np.unique(pairs[order] // side**2, return_index=True)
        kept = kept.copy()
        kept.ravel()[pairs[order][first] % side**2] = True
    return kept


def _decode(spec: TaskSpec, entry: Entry) -> Mask:
    """Decode to bool (h, w): True wherever the mask is not zero."""
    assert entry.mask_path is not None
    content = entry.mask_path.read_bytes()
    if sha256(content).hexdigest()[:16] != entry.mask:
        raise DataChangedError(f"the mask of an image changed since it was indexed: {entry.mask_path}")
    array = spec.decode(entry.mask_path) if spec.decode is not None else _pixels(content)
    return np.asarray(array.any(axis=2) if array.ndim == 3 else array != 0, np.bool_)


def _pixels(content: bytes) -> NDArray[Any]:
    if is_dicom(content):
        return decode_dicom(content)
    with Image.open(io.BytesIO(content)) as image:
        if image.format == "JPEG":  # lossy: zeros near an edge have become other small numbers
            return np.asarray(image.convert("L")) > 127
        opaque = {"P": "RGB", "PA": "RGB", "RGBA": "RGB", "LA": "L"}.get(image.mode)
        return np.asarray(image.convert(opaque) if opaque else image)
