"""Copies of trained networks that do nothing but score, and so can be faster than what was trained."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, fx, nn

from bench.contracts import RunContext

M = TypeVar("M", bound=nn.Module)

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_WEIGHTED = (*_CONVOLUTIONS, nn.Linear)


class ScoringCopy(Generic[M]):
    """A network, and the copy of it that scores on a run's device and in its precision.

    The copy is in eval mode, needs no gradient, is channels last, has batch norm folded into convolutions, and has its
    convolutions and linear layers in bfloat16 where the run has. Use it under :func:`bench.torchkit.autocast`. It is
    made once, and again when device or precision change; the network itself is left as it is, for ``state``.
    """

    def __init__(self, network: M) -> None:
        self.network = network
        self._made: tuple[tuple[str, str], M] | None = None

    def on(self, run: RunContext) -> M:
        """Return the copy for a run."""
        wanted = run.device, run.precision
        if self._made is None or self._made[0] != wanted:
            made = fold_batch_norm(copy.deepcopy(self.network).eval().requires_grad_(False))
            if run.precision == "bfloat16":
                # autocast would convert weights that need no gradient anew for every batch.
                for module in made.modules():
                    if isinstance(module, _WEIGHTED):
                        module.to(torch.bfloat16)
            made = made.to(torch.device(run.device)).to(memory_format=torch.channels_last)
            self._made = wanted, made
        return self._made[1]


def fold_batch_norm(network: M) -> M:
    """Fold batch norm into the convolution before it, in place: the network computes the same, up to rounding.

    In eval mode batch norm is a multiplication and an addition per channel, which weights and bias of a convolution can
    do. It is folded where a convolution's only use is one batch norm, each called once; what has an activation of its
    own (``act``, as in timm) leaves that behind. A network whose calls torch.fx cannot follow is left as it is; of one
    without a ``forward``, which only holds networks together, each is folded.

    Raises:
        ValueError: the network is in training mode, where batch norm is no fixed function.

    """
    if network.training:
        raise ValueError("batch norm can be folded in eval mode only")
    if type(network).forward is nn.Module.forward:
        for part in network.children():
            fold_batch_norm(part)
        return network
    for convolution, norm in _pairs(network):
        before, after = network.get_submodule(convolution), network.get_submodule(norm)
        _fold(before, after)  # type: ignore[arg-type]
        parent, _, name = norm.rpartition(".")
        setattr(network.get_submodule(parent), name, getattr(after, "act", nn.Identity()))
    return network


class _Tracer(fx.Tracer):
    """Follows calls down to convolutions and batch norm, whatever is inside of them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*_WEIGHTED, nn.BatchNorm2d)) or super().is_leaf_module(m, module_qualified_name)


def _pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norm that alone follows each."""
    try:
        graph = _Tracer().trace(network)
    except Exception:  # tracing runs a stranger's forward with stand-ins for tensors: anything can happen
        return []
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or not _foldable(network.get_submodule(str(node.target))):
            continue
        (given,) = node.args
        names = str(given.target), str(node.target)
        if given.op != "call_module" or not isinstance(network.get_submodule(names[0]), _CONVOLUTIONS):
            continue
        if len(given.users) == 1 and all(calls.count(name) == 1 for name in names):
            found.append(names)
    return found


def _foldable(module: nn.Module) -> bool:
    own_activation = isinstance(getattr(module, "act", None), nn.Module)
    return (
        isinstance(module, nn.BatchNorm2d)
        and module.track_running_stats
        and (type(module) is nn.BatchNorm2d or own_activation)
    )


def _fold(convolution: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    # In float64, so that the weights are rounded once.
    scale = (variance.double() + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight.double())
    shift = (0 if norm.bias is None else norm.bias.double()) - mean.double() * scale
    weight = convolution.weight
    if convolution.bias is not None:
        shift = shift + convolution.bias.double() * scale
    convolution.weight = _frozen(_scaled(convolution, scale), weight)
    convolution.bias = _frozen(shift, weight)


def _scaled(convolution: nn.Conv2d | nn.ConvTranspose2d, scale: Tensor) -> Tensor:
    weight = convolution.weight.double()
    if isinstance(convolution, nn.Conv2d):
        return weight * scale.view(-1, 1, 1, 1)
    # (in, out / groups, k, k): each group of inputs has outputs of its own.
    groups = convolution.groups
    grouped = weight.view(groups, -1, *weight.shape[1:]) * scale.view(groups, 1, -1, 1, 1)
    return grouped.view_as(weight)


def _frozen(value: Tensor, like: Tensor) -> nn.Parameter:
    value = value.to(like.dtype)
    if value.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        value = value.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(value, requires_grad=False)
