"""Watching what a detector does to the process around it: files, network, global state."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

# Audit events of the standard library: which argument is the path that is changed.
_CHANGES = {
    "os.mkdir": 0,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
    "os.truncate": 0,
    "os.chmod": 0,
    "shutil.rmtree": 0,
}
_NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Observation:
    """What was seen: files changed, network calls tried, and global state that was not put back."""

    changed: list[str] = field(default_factory=list)
    network: list[str] = field(default_factory=list)
    state: list[str] = field(default_factory=list)


@contextmanager
def observing() -> Iterator[Observation]:
    """Watch a block, through the interpreter's audit events and a comparison of global state before and after.

    Native code that opens files or sockets itself raises no audit event, and is not seen.
    """
    seen, active = Observation(), True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if active:
            _note(seen, event, arguments)

    before = _global_state()
    sys.addaudithook(hook)  # hooks cannot be removed: this one goes deaf below
    try:
        yield seen
    finally:
        active = False
        after = _global_state()
        seen.state += [name for name in {**before, **after} if before.get(name) != after.get(name)]


def outside(changed: list[str], folder: Path) -> list[str]:
    """Which of the changed files lie outside a folder; compiled bytecode and devices are nobody's business."""
    kept = folder.resolve()
    found: dict[str, None] = {}
    for name in changed:
        path = Path(name)
        if not path.is_relative_to(kept) and "__pycache__" not in path.parts and not path.is_relative_to("/dev"):
            found[name] = None
    return list(found)


def _note(seen: Observation, event: str, arguments: tuple[Any, ...]) -> None:
    path: Any
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, str | bytes | os.PathLike) and (_writes(mode) or (mode is None and flags & _WRITING)):
            seen.changed.append(_absolute(path))
    elif event in _CHANGES:
        path = arguments[_CHANGES[event]]
        if isinstance(path, str | bytes | os.PathLike):
            seen.changed.append(_absolute(path))
    elif event in _NETWORK and not _is_local(arguments):
        seen.network.append(f"{event}{tuple(str(value) for value in arguments[-2:])}")


def _writes(mode: Any) -> bool:
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


def _absolute(path: str | bytes | os.PathLike[Any]) -> str:
    return os.path.realpath(os.fsdecode(path))  # pathlib may itself raise audit events


def _is_local(arguments: tuple[Any, ...]) -> bool:
    """Whether a socket talks to processes of this machine alone, as multiprocessing does (a path, not an address)."""
    return len(arguments) > 1 and isinstance(arguments[1], str | bytes) and hasattr(arguments[0], "family")


def _global_state() -> dict[str, object]:
    """Everything that a detector could leave changed for the next one, by a name for people."""
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    state: dict[str, object] = {
        "the random state of python": random.getstate(),
        "the random state of numpy": (_digest(numpy_state["key"]), numpy_state["pos"]),
        "numpy's error handling": np.geterr(),
        "the working directory": os.getcwd(),  # noqa: PTH109
    }
    # torch notes the place of its own cache in the environment when it is first used.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TORCHINDUCTOR_")}
    state |= {f"the environment variable {name}": value for name, value in kept.items()}
    torch = sys.modules.get("torch")
    return {**state, **_torch_state(torch)} if torch is not None else state


def _torch_state(torch: Any) -> dict[str, object]:
    readers: dict[str, Callable[[], object]] = {
        "torch's random state": lambda: _digest(torch.get_rng_state().numpy()),
        "torch's default dtype": torch.get_default_dtype,
        "torch's number of threads": torch.get_num_threads,
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled,
        "torch's gradient mode": torch.is_grad_enabled,
        "torch's matmul precision": torch.get_float32_matmul_precision,
        "torch's anomaly detection": torch.is_anomaly_enabled,
        "torch.backends.cudnn": lambda: (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "torch's flush of denormals": lambda: float(torch.tensor(1e-40) * 1.0),
    }
    return {name: read() for name, read in readers.items()}


def _digest(array: Any) -> str:
    return sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
