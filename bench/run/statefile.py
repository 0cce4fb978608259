"""What a detector learned, on its way from a worker to the record: named arrays in one safetensors file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadStateError

STATE_FILE = "state.safetensors"


def write_state(state: Any, path: Path) -> None:
    """Write what ``Detector.state`` returned.

    Raises:
        BadStateError: not a mapping of names to numpy arrays of numbers.
        OSError: the disk is full.

    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    if not isinstance(state, Mapping):
        raise BadStateError(f"state returned {type(state).__name__}, not a mapping of names to arrays")
    for name, array in state.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise BadStateError(f"state has {kind} under {name!r}; expected numpy arrays of numbers under text")
    try:
        # In C order: safetensors takes the memory of an array as it lies.
        save_file({name: np.asarray(array, order="C") for name, array in state.items()}, path)
    except SafetensorError as error:  # a full disk is an error of its own kind too
        raise BadStateError(f"the state cannot be written: {error}") from error


def read_state(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file by name.

    Raises:
        BadStateError: it is no safetensors file.
        OSError: it cannot be read.

    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise BadStateError(f"{path.name} is damaged: {error}") from error


def check_state(path: Path) -> Path:
    """Return the path of a file that a worker wrote, if it is a regular file of arrays.

    Raises:
        BadStateError: no such file, a symbolic link, or anything else than a regular safetensors file.

    """
    from safetensors import SafetensorError, safe_open

    try:  # a pipe must not block, and a link must not lead elsewhere
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadStateError(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadStateError(f"{path.name} is not a file")
    finally:
        os.close(descriptor)
    try:
        with safe_open(path, framework="np"):  # the header must be whole, and its arrays must fill the file
            return path
    except SafetensorError as error:
        raise BadStateError(f"{path.name} is damaged: {error}") from error
