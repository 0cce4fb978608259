"""Convolutions as matrix products against torch's own: values and both gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.torchkit import convolutions
from bench.torchkit.convolutions import Doubling, FromVector, Halving, ToVector


def plain(module: nn.Module, x: Tensor) -> Tensor:
    """What torch's own class computes with the weights of ``module``."""
    base = nn.Conv2d if isinstance(module, nn.Conv2d) else nn.ConvTranspose2d
    result: Tensor = base.forward(module, x)
    return result


def same_with_gradients(module: nn.Module, x: Tensor) -> None:
    module = module.double()
    x = x.double().requires_grad_(True)
    mine, expected = module(x), plain(module, x)
    torch.testing.assert_close(mine, expected)
    direction = torch.randn_like(expected)
    inputs = (x, module.weight)
    torch.testing.assert_close(
        torch.autograd.grad(mine, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


sizes = st.tuples(*[st.integers(1, 5)] * 5)


@pytest.mark.parametrize("route", ["planes", "columns"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_stride_two_by_either_route(
    route: str, memory_format: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "_route", lambda *_: route)

    @settings(max_examples=30, deadline=None)
    @given(sizes)
    def check(sizes: tuple[int, ...]) -> None:
        n, before, after, rows, columns = sizes
        large = torch.randn(n, before, 2 * rows, 2 * columns).contiguous(memory_format=memory_format)
        small = torch.randn(n, before, rows, columns).contiguous(memory_format=memory_format)
        same_with_gradients(Halving(before, after).to(memory_format=memory_format), large)
        same_with_gradients(Doubling(before, after).to(memory_format=memory_format), small)

    check()


@settings(max_examples=20, deadline=None)
@given(sizes)
def test_vectors(sizes: tuple[int, ...]) -> None:
    n, before, after, *_ = sizes
    same_with_gradients(ToVector(before, after), torch.randn(n, before, 4, 4))
    same_with_gradients(FromVector(before, after), torch.randn(n, before, 1, 1))


@pytest.mark.parametrize(
    ("module", "shape", "dtype", "route"),
    [
        (Halving(1, 8), (2, 1, 32, 32), torch.float32, "planes"),
        (Doubling(8, 3), (2, 8, 32, 32), torch.bfloat16, "planes"),
        (Halving(8, 8), (2, 8, 8, 8), torch.bfloat16, "columns"),
        (Doubling(8, 8), (2, 8, 4, 4), torch.bfloat16, "columns"),
        (Halving(8, 8), (2, 8, 8, 8), torch.float32, None),
        (Halving(8, 8), (2, 8, 32, 32), torch.bfloat16, None),
        (Halving(1, 8), (2, 1, 9, 9), torch.float32, "planes"),  # an odd side is left to torch all the same
    ],
)
def test_route_by_size_and_precision(
    module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype, route: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    original = convolutions._route
    monkeypatch.setattr(convolutions, "_route", lambda *given: taken.append(original(*given)) or taken[-1])
    x = torch.randn(shape)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        result = module(x)
    assert taken == [route]
    torch.testing.assert_close(result.float(), plain(module, x), rtol=0.02, atol=0.02)


def test_gradients_not_asked_for_are_not_computed() -> None:
    halving = Halving(1, 4)
    x = torch.randn(2, 1, 8, 8, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.autograd.grad(halving(x).sum(), halving.weight)
    assert not any("Together" in event.name for event in profile.events())
