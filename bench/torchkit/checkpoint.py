"""A training that was killed goes on where it was, and ends with the same bits.

One safetensors file (no pickle), written under another name and renamed, so that it is whole or not there.
"""

from __future__ import annotations

import json
import platform
import random
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import RESUME, DetectorConfig, Images, RunContext
from bench.files import writing_atomically
from bench.torchkit.batches import BatchStream

Part = nn.Module | torch.optim.Optimizer | torch.Generator | BatchStream
"""What training changes, and a checkpoint therefore holds."""

_RNG = "rng"
_EXTRA = "extra"


@dataclass(frozen=True)
class Resumed:
    """Where to go on: steps that were done, and tensors that were saved beside the parts, on the run's device."""

    step: int
    tensors: Mapping[str, Tensor]


class Checkpoint:
    """All that training changes, saved now and then to ``run.checkpoint``; does nothing where that is None.

    The global random states of python, numpy and torch are saved with the parts. A checkpoint of another configuration,
    seed, set of images, device, precision, number of threads or version of torch is not used, nor is a damaged one:
    the training could not end with the same scores.

    Attributes:
        every_seconds: how often it is saved.
        share: of the time that saving may take; where it takes longer, it is done less often.

    """

    every_seconds = 60.0
    share = 0.01

    def __init__(
        self, run: RunContext, config: DetectorConfig, images: Images, parts: Mapping[str, Part | None]
    ) -> None:
        self._run, self._config, self._images = run, config, images
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._before = 0.0
        self._started = self._last = time.monotonic()
        self._took = 0.0
        self._warned = False

    def load(self) -> Resumed:
        """Bring all parts to where an interrupted try has left them, if it has; call it right before the first step."""
        path = self._run.checkpoint
        if path is None or not path.exists() or (found := _read(path, self._digest)) is None:
            return Resumed(0, {})
        about, tensors = found
        for name, part in self._parts.items():
            _restore(part, _below(tensors, name), about["plain"].get(name))
        _restore_rng(_below(tensors, _RNG), about["plain"][_RNG], self._run.device)
        self._before = float(about["seconds"])
        self._run.progress(RESUME, about["step"], 0, seconds=self._before)
        return Resumed(about["step"], {name: t.to(self._run.device) for name, t in _below(tensors, _EXTRA).items()})

    def due(self) -> bool:
        """Whether it is time to save."""
        wait = max(self.every_seconds, self._took / self.share)
        return self._run.checkpoint is not None and time.monotonic() - self._last >= wait

    def save_if_due(self, step: int, **tensors: Tensor | None) -> None:
        """Call :meth:`save` if it is time to."""
        if self.due():
            self.save(step, **tensors)

    def save(self, step: int, **tensors: Tensor | None) -> None:
        """Save all parts after ``step`` steps, and other tensors by name (None: not there yet).

        A disk that is full costs the checkpoint, not the training: it is warned of once, and tried again later.
        """
        if self._run.checkpoint is None:
            return
        begun = time.monotonic()
        parts = {name: _collect(part) for name, part in self._parts.items()} | {_RNG: _collect_rng(self._run.device)}
        parts[_EXTRA] = {name: tensor for name, tensor in tensors.items() if tensor is not None}, None
        named = {
            f"{part}/{name}": tensor.detach() for part, (held, _) in parts.items() for name, tensor in held.items()
        }
        about = {
            "step": step,
            "seconds": self._before + begun - self._started,
            "plain": {part: plain for part, (_, plain) in parts.items()},
        }
        try:
            _write(self._run.checkpoint, self._digest, about, named)
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(f"training goes on, but its checkpoint cannot be written: {error}", stacklevel=2)
        self._last = time.monotonic()
        self._took = self._last - begun

    @cached_property
    def _digest(self) -> str:
        """Stands for all that decides how the training goes on from a state."""
        run, device = self._run, torch.device(self._run.device)
        described = {
            "config": self._config.model_dump(mode="json"),
            "run": [run.seed, run.device, run.precision],
            "torch": [torch.__version__, torch.get_num_threads()],
            "machine": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
            "card": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
            "parts": {name: _shape(part) for name, part in self._parts.items()},
            "images": [list(self._images.shape), _sha256(self._images)],
        }
        return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _sha256(images: Images) -> str:
    made = sha256()
    for start in range(0, len(images), 256):
        made.update(np.ascontiguousarray(images[start : start + 256]).data)
    return made.hexdigest()


def _shape(part: Part) -> list[Any]:
    """What a part is, so that another one's state is not loaded into it."""
    kind = type(part).__qualname__
    if isinstance(part, nn.Module):
        return [kind, {name: [str(t.dtype), *t.shape] for name, t in part.state_dict().items()}]
    if isinstance(part, torch.optim.Optimizer):
        return [kind, [[list(p.shape) for p in group["params"]] for group in part.param_groups]]
    return [kind]


def _collect(part: Part) -> tuple[dict[str, Tensor], Any]:
    """The state of a part: tensors by name, and what is plain enough for JSON."""
    if isinstance(part, nn.Module):
        return dict(part.state_dict()), None
    if isinstance(part, torch.Generator):
        return {"state": part.get_state()}, None
    if isinstance(part, BatchStream):
        return {"queue": torch.from_numpy(part.queue)}, None
    held = part.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for number, values in held["state"].items():
        for name, value in values.items():
            target: dict[str, Any] = tensors if isinstance(value, Tensor) else plain
            target[f"{number}/{name}"] = value
    groups = [{name: value for name, value in group.items() if name != "params"} for group in held["param_groups"]]
    return tensors, {"state": plain, "groups": groups}


def _restore(part: Part, tensors: dict[str, Tensor], plain: Any) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(tensors)
    elif isinstance(part, torch.Generator):
        part.set_state(tensors["state"])
    elif isinstance(part, BatchStream):
        part.queue = tensors["queue"].numpy()
    else:
        held = part.state_dict()
        for group, saved in zip(held["param_groups"], plain["groups"], strict=True):
            group.update({k: tuple(v) if isinstance(group.get(k), tuple) else v for k, v in saved.items()})
        state: dict[int, dict[str, Any]] = {}
        for name, value in {**tensors, **plain["state"]}.items():
            number, _, key = name.partition("/")
            state.setdefault(int(number), {})[key] = value
        part.load_state_dict({"state": state, "param_groups": held["param_groups"]})


def _collect_rng(device: str) -> tuple[dict[str, Tensor], Any]:
    """The global random states: whatever draws from them goes on with the same numbers."""
    version, words, gauss = random.getstate()
    held: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
    tensors = {
        "python": torch.tensor(words),
        "numpy": torch.from_numpy(held["state"]["key"].astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if device.startswith("cuda"):
        tensors["device"] = torch.cuda.get_rng_state(device)
    elif device == "mps":
        tensors["device"] = torch.mps.get_rng_state()
    numbers = {"position": held["state"]["pos"], "has_gauss": held["has_gauss"], "gauss": held["gauss"]}
    return tensors, {"python": [version, gauss], "numpy": {name: float(value) for name, value in numbers.items()}}


def _restore_rng(tensors: dict[str, Tensor], plain: Any, device: str) -> None:
    version, gauss = plain["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    held = plain["numpy"]
    words = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, int(held["position"]), int(held["has_gauss"]), held["gauss"]))  # noqa: NPY002
    torch.set_rng_state(tensors["torch"])
    if device.startswith("cuda"):
        torch.cuda.set_rng_state(tensors["device"], device)
    elif device == "mps":
        torch.mps.set_rng_state(tensors["device"])


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name[len(part) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}


def _write(path: Path, digest: str, about: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the file.

    Raises:
        OSError: the disk is full.

    """
    from safetensors.torch import save

    # Fused optimizers walk through memory, so a state must come back in the order of its parameter: channels last.
    strides = {name: torch.empty_like(t, device="meta").stride() for name, t in tensors.items() if t.dim() > 1}
    text = json.dumps({**about, "strides": strides})
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    flat = {name: t.cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    content = save(flat, {"digest": digest, "about": text, "sum": _sum(text, flat)})
    with writing_atomically(path) as file:
        file.write(content)


def _read(path: Path, digest: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Read a file; None if it is damaged, or belongs to another training."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("digest") != digest:
                return None
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (SafetensorError, OSError):
        return None
    if metadata.get("sum") != _sum(metadata["about"], flat):
        return None
    about: dict[str, Any] = json.loads(metadata["about"])
    strides = about["strides"]
    tensors = {
        name: torch.empty_strided(t.shape, strides[name], dtype=t.dtype).copy_(t) if name in strides else t.clone()
        for name, t in flat.items()
    }
    return about, tensors


def _sum(text: str, tensors: Mapping[str, Tensor]) -> str:
    made = sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        made.update(name.encode())
        made.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()
