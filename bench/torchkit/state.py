"""Networks to named numpy arrays and back: what ``Detector.state`` and ``load_state`` exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.errors import NotFittedError

T = TypeVar("T")


def require_fitted(learned: T | None, detector: object) -> T:
    """Return what was learned, or raise NotFittedError naming the detector."""
    if learned is None:
        raise NotFittedError(f"{type(detector).__name__} has learned nothing yet: call fit or load_state first")
    return learned


def module_arrays(module: nn.Module, prefix: str) -> dict[str, NDArray[Any]]:
    """All parameters and buffers of ``module`` as arrays named ``prefix.NAME``, copied to main memory."""
    return {
        f"{prefix}.{name}": value.detach().cpu().contiguous().numpy().copy()
        for name, value in module.state_dict().items()
    }


def select_arrays(state: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays named ``prefix.NAME``, under NAME.

    Raises:
        KeyError: there is none: the state is another detector's.

    """
    found = {name[len(prefix) + 1 :]: array for name, array in state.items() if name.startswith(f"{prefix}.")}
    if not found:
        raise KeyError(f"the state has no arrays named '{prefix}.*'; it has {sorted(state)[:5]}")
    return found


def load_module_arrays(module: nn.Module, state: Mapping[str, NDArray[Any]], prefix: str) -> None:
    """Load what :func:`module_arrays` made; every name and shape must agree."""
    arrays = select_arrays(state, prefix)
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
