"""Which device a cell computes on, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from bench.contracts import RunContext
from bench.errors import EnvironmentProblem


def resolve_device(requested: str) -> str:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that exists here.

    Raises:
        EnvironmentProblem: the device asked for by name is not usable on this machine.

    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if requested == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    family, separator, index = requested.partition(":")
    usable = {"cpu": True, "cuda": cuda, "mps": mps}.get(family, False)
    if separator and usable:
        usable = family == "cuda" and index.isdecimal() and int(index) < torch.cuda.device_count()
    if not usable:
        present = ["cpu"] + ["cuda"] * cuda + ["mps"] * mps
        raise EnvironmentProblem(
            f"no device '{requested}' on this machine; use --device {'|'.join(['auto', *present])}"
        )
    return requested


def resolve_precision(device: str) -> Literal["float32", "bfloat16"]:
    """``bfloat16`` where the device has instructions for it, else ``float32``.

    Processors that only emulate bfloat16 are slower in it than in float32, so they get float32; so does MPS,
    on which this code has not been run.
    """
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "cpu":
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bfloat16" if native else "float32"
    return "float32"


def autocast(run: RunContext) -> AbstractContextManager[Any]:
    """Mixed precision as the run has it: a bfloat16 autocast, or nothing in float32.

    Compute losses outside of it, or on ``.float()`` outputs; bfloat16 keeps eight bits of mantissa.
    """
    if run.precision == "float32":
        return nullcontext()
    return torch.autocast(run.device.partition(":")[0], dtype=torch.bfloat16)
