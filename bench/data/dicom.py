"""Chest X-rays as DICOM: from the bytes of a file to a grey picture, and what the header says of the patient.

The picture is what the standard's greyscale pipeline shows (DICOM PS3.3, C.11.1, C.11.2 and C.7.6.3.1.2): modality LUT,
VOI LUT or window, and the inversion that MONOCHROME1 asks for, so that dense is always bright. Nothing depends on the
least and greatest pixel of the image: two images with the same header are scaled alike. pydicom is an optional extra
and slow to import, so functions import it.
"""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

INSTALL = "pip install 'salad-bench[dicom]'"

# pydicom takes whichever of its plugins is installed, and JPEG decoders differ in the last bit: the same file must
# decode to the same pixels everywhere.
PLUGINS = {
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG baseline, 8 bits
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG extended, 12 bits
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "gdcm",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": "gdcm",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
}

OLDEST = 120
"""Ages above this are typing errors: the NIH images, and so RSNA's, have some of 400 years."""


def is_dicom(content: bytes) -> bool:
    """Whether a file begins as DICOM files do: 128 bytes of anything, then ``DICM``."""
    return content[128:132] == b"DICM"


def decode_dicom(content: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode the bytes of a single-frame grey DICOM file.

    The first VOI LUT or, without one, the first window is applied. Without either (RSNA's 8-bit images), and where the
    window has no width, the whole range that BitsStored allows, rescaled, becomes the whole range of grey: an image
    that uses a part of it stays dark or flat, but the mapping does not depend on what it shows.

    Returns:
        Picture (h, w) in which dense is bright: uint8 where at most 8 bits are stored, otherwise uint16.
        0 is the darkest and 255 or 65535 the brightest grey.

    Raises:
        ValueError: not DICOM, no pixels (or a file cut short within them), several frames, colours, a compression that
            nothing installed decodes, damage, or pydicom is not installed.

    """
    if not is_dicom(content):
        raise ValueError("not a DICOM file")
    try:
        dataset = _pydicom().dcmread(io.BytesIO(content))
        stored = _stored_pixels(dataset)
        grey = _grey(dataset, stored)
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # pydicom raises whatever a damaged header leads it to
        raise ValueError(f"damaged DICOM: {error or type(error).__name__}") from error
    if dataset.BitsStored <= 8:
        return np.rint(grey * 255).astype(np.uint8)
    return np.rint(grey * 65535).astype(np.uint16)


def dicom_attributes(path: Path) -> dict[str, str]:
    """Read sex (``M``, ``F``, ``O``), age (in full years) and view (``PA``, ``AP``, …) from a header.

    What is empty, unknown or not in the form that the standard gives it is left out; the pixels are not read.

    Raises:
        OSError: the file cannot be read.
        ValueError: pydicom is not installed.

    """
    names = ("PatientSex", "PatientAge", "ViewPosition")
    pydicom = _pydicom()
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(names))
        # Raw, since RSNA writes ages without their unit, and pydicom warns of every one.
        sex, age, view = (_text(dataset.get_item(name)) for name in names)
    except OSError:
        raise
    except Exception:  # no DICOM, or a header too damaged to say anything
        return {}
    found = {"sex": sex if sex in ("M", "F", "O") else "", "age": _years(age), "view": view}
    return {name: value for name, value in found.items() if value}


def _pydicom() -> ModuleType:
    try:
        import pydicom
    except ImportError as error:
        raise ValueError(f"reading DICOM needs pydicom: {INSTALL}") from error
    return pydicom


def _stored_pixels(dataset: Any) -> NDArray[Any]:
    """Decompress the stored values, integers (h, w)."""
    if "PixelData" not in dataset:
        raise ValueError("DICOM without pixel data")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"DICOM of {dataset.NumberOfFrames} frames: only single images are read, export the frames")
    photometric = dataset.get("PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"DICOM of {photometric} pixels: only MONOCHROME1 and MONOCHROME2 are read")
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    plugin = ""
    if syntax.is_encapsulated:
        plugin = PLUGINS.get(syntax, "")
        if not plugin:
            raise ValueError(f"transfer syntax '{syntax.name}' ({syntax}) is not read: decompress the file")
        if plugin not in get_decoder(syntax).available_plugins:
            raise ValueError(f"transfer syntax '{syntax.name}' needs a decoder that is not installed: {INSTALL}")
    pixels: NDArray[Any] = pixel_array(dataset, decoding_plugin=plugin)
    return pixels


def _grey(dataset: Any, stored: NDArray[Any]) -> NDArray[np.float64]:
    """Apply the greyscale pipeline to stored values (h, w); returns 0 (dark) to 1 (bright)."""
    values, low, high = _modality(dataset, stored)
    if dataset.get("VOILUTSequence"):
        values, high = _look_up(values, dataset, dataset.VOILUTSequence[0])
        low = 0.0
    elif window := _window_of(dataset):
        values, low, high = _window(values, *window), 0.0, 1.0
    if not low < high:
        raise ValueError(f"DICOM header gives the pixels a range from {low:g} to {high:g}")
    # Windows leave values outside, and so do headers that state fewer bits than a JPEG 2000 stream has.
    grey: NDArray[np.float64] = np.clip((values - low) / (high - low), 0, 1)
    return 1 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _modality(dataset: Any, stored: NDArray[Any]) -> tuple[NDArray[np.float64], float, float]:
    """Apply the modality LUT or rescaling (C.11.1); returns values (h, w) and the least and greatest possible."""
    if dataset.get("ModalityLUTSequence"):
        values, high = _look_up(stored, dataset, dataset.ModalityLUTSequence[0])
        return values, 0.0, high
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    span = 2**dataset.BitsStored
    least = -span // 2 if dataset.PixelRepresentation else 0
    ends = sorted(end * slope + intercept for end in (least, least + span - 1))
    return stored * slope + intercept, ends[0], ends[1]


def _look_up(values: NDArray[Any], dataset: Any, item: Any) -> tuple[NDArray[np.float64], float]:
    """Apply a lookup table (C.11.1.1.1, C.11.2.1.1); returns values (h, w) and the greatest that its bits allow."""
    entries, first, bits = item.LUTDescriptor
    entries = entries or 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if dataset.original_encoding[1] else ">"
        data = np.frombuffer(data, np.uint8 if len(data) < 2 * entries else f"{order}u2")
    table = np.asarray(data, np.float64)[:entries]
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return table[places], float(2**bits - 1)


def _window_of(dataset: Any) -> tuple[float, float, str] | None:
    """Centre, width and function of the first window, or None: no window, or one without the width it must have."""
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    centre, width = _number(dataset, "WindowCenter", math.nan), _number(dataset, "WindowWidth", math.nan)
    wide_enough = width >= 1 if function == "LINEAR" else width > 0
    return (centre, width, function) if wide_enough and math.isfinite(centre) else None


def _window(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Apply a window (C.11.2.1.2, C.11.2.1.3); returns 0 to 1, to be clipped."""
    if function == "LINEAR":
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        return (values - (centre - 0.5)) / (width - 1) + 0.5
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if function == "SIGMOID":
        # Beyond ±500 the exponential is 0 or huge; clipped, it cannot overflow.
        sigmoid: NDArray[np.float64] = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -500, 500)))
        return sigmoid
    raise ValueError(f"VOI LUT function '{function}' is not one of the standard's")


def _number(dataset: Any, name: str, default: float) -> float:
    """Return the first value of an element, or the default where it is absent or empty."""
    value = dataset.get(name)
    if value is None or value == "":
        return default
    return float(value if np.isscalar(value) or not hasattr(value, "__len__") else value[0])


def _text(element: Any) -> str:
    """Return the text of an element as it stands in the file, or ""."""
    value = b"" if element is None or element.value is None else element.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0").upper()


def _years(age: str) -> str:
    """Turn ``063Y``, ``018M``, ``002W``, ``010D`` or ``63`` into full years; "" for anything else."""
    match = re.fullmatch(r"(\d{1,3})([YMWD]?)", age)
    if match is None:
        return ""
    years = int(match[1]) // {"": 1, "Y": 1, "M": 12, "W": 52, "D": 365}[match[2]]
    return str(years) if years <= OLDEST else ""
