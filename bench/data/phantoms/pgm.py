"""Binary PGM: a header and the bytes. No compressor whose version could change a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def header(height: int, width: int) -> bytes:
    """Return the P5 header of an 8-bit image."""
    return f"P5\n{width} {height}\n255\n".encode("ascii")


def write_pgm(path: Path, image: NDArray[np.uint8]) -> None:
    """Write uint8 (h, w) as one P5 file.

    Raises:
        ValueError: another type or shape.
        OSError: the file cannot be written.

    """
    if image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError(f"a PGM holds uint8 (h, w), not {image.dtype} {image.shape}")
    path.write_bytes(header(*image.shape) + image.tobytes())
