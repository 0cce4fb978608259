"""One image at a time: its bytes, and the grey picture that they decode to."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import TaskSpec
from bench.data.dicom import decode_dicom, is_dicom
from bench.data.npz import open_array

Member = tuple[str, int] | None


@dataclass(frozen=True)
class Reader:
    """Reads the images of one task; ``cache`` is where .npz files are unpacked."""

    spec: TaskSpec
    cache: Path
    _arrays: dict[tuple[Path, str], NDArray[Any]] = field(default_factory=dict)

    def content(self, path: Path, member: Member) -> bytes:
        """Return what identifies an image: the bytes of its file, or of its row.

        Raises:
            OSError: it cannot be read.
            BadImagesError: the file that should hold it is damaged.

        """
        return path.read_bytes() if member is None else self._row(path, member).tobytes()

    def picture(self, path: Path, member: Member, content: bytes) -> Image.Image:
        """Decode to an 8-bit grey picture.

        Args:
            path: the file.
            member: array and row, or None.
            content: what :meth:`content` returned.

        Raises:
            ValueError: pixels whose range nothing states, such as 32-bit integers. Decoders raise other errors as well.

        """
        if self.spec.decode is not None:
            return Image.fromarray(to_grey(self.spec.decode(path)))
        if member is not None:
            return Image.fromarray(to_grey(self._row(path, member)))
        return decode(content)

    def digest(self, path: Path, member: Member) -> str:
        """sha256 of the content, as 64 hex digits."""
        return sha256(self.content(path, member)).hexdigest()

    def _row(self, path: Path, member: tuple[str, int]) -> NDArray[Any]:
        name, row = member
        if (path, name) not in self._arrays:
            self._arrays[path, name] = open_array(path, name, self.cache)
        found: NDArray[Any] = self._arrays[path, name][row]
        return found


def decode(content: bytes) -> Image.Image:
    """Decode the bytes of one file, by what they are and not by what the file is called, to 8-bit grey.

    Raises:
        ValueError: pixels whose range nothing states: 32-bit integers and floating point.

    """
    if is_dicom(content):
        return Image.fromarray(to_grey(decode_dicom(content)))
    with Image.open(io.BytesIO(content)) as image:
        # Pillow opens 16-bit PGM (and, in older versions, PNG) as 32-bit integers, and clips both when it converts.
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG")):
            return Image.fromarray(to_grey(np.asarray(image).astype(np.uint16)))
        if image.mode in ("I", "F"):
            raise ValueError("32-bit pixels, whose range is unknown: convert them to 8 or 16 bits")
        return image.convert("L")


def to_grey(array: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 or uint16 (h, w) or (h, w, c) to uint8 (h, w); 16 bits are scaled by 1/257, colours averaged.

    Raises:
        ValueError: any other type or shape.

    """
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3):
        raise ValueError(f"decoded to {array.dtype} {array.shape}; expected uint8 or uint16 (h, w) or (h, w, c)")
    values = array.astype(np.float64) / (257 if array.dtype == np.uint16 else 1)
    return np.rint(values.mean(axis=2) if values.ndim == 3 else values).astype(np.uint8)
