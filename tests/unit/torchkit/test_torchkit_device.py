"""Devices that exist, and precisions that they are fast in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import RunContext
from bench.errors import EnvironmentProblem
from bench.torchkit import autocast, resolve_device, resolve_precision


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be a machine with so many GPUs, and perhaps with Apple's."""

    def pretend(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(0, False, "cpu"), (2, False, "cuda"), (0, True, "mps"), (1, True, "cuda")]
)
def test_auto_takes_the_fastest_device_there_is(machine, cuda: int, mps: bool, expected: str) -> None:
    machine(cuda, mps)
    assert resolve_device("auto") == expected


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_device_that_exists_is_taken_by_its_name(machine, name: str) -> None:
    machine(cuda=2, mps=True)
    assert resolve_device(name) == name


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "tpu", "", "cpux", "cpu:x", "auto:1"])
def test_a_device_that_does_not_exist_is_an_error_that_names_those_that_do(machine, name: str) -> None:
    machine()
    with pytest.raises(EnvironmentProblem, match=rf"no device '{name}'.*auto\|cpu$"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:one", "cuda:-1", "cuda:", "cuda:²"])
def test_a_gpu_out_of_range_is_an_error(machine, name: str) -> None:
    machine(cuda=2)
    with pytest.raises(EnvironmentProblem, match=r"auto\|cpu\|cuda$"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("device", "avx512", "amx", "expected"),
    [
        ("cpu", False, False, "float32"),
        ("cpu", True, False, "bfloat16"),
        ("cpu", False, True, "bfloat16"),
        ("mps", True, True, "float32"),
    ],
)
def test_bfloat16_is_used_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, device: str, avx512: bool, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve_precision(device) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert resolve_precision("cuda:1") == expected


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_follows_the_runs_precision(precision, dtype: torch.dtype) -> None:
    run = RunContext(seed=0, device="cpu", scratch=Path(), precision=precision)
    with autocast(run):
        assert torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3)).dtype == dtype
