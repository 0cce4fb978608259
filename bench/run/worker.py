"""One cell, in a process of its own: seed, fit, score. It is given arrays, never the manifest or labels."""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bench.contracts import Detector, DetectorConfig, DetectorSpec, Images, RunContext
from bench.errors import BadScoresError, PluginProblem
from bench.hookspecs import GROUP, HookSpecs

PROGRESS_INTERVAL = 0.1
CHUNK = 4096
SCORES_FILE = "scores.npy"
SCRATCH = "scratch"


class Job(BaseModel):
    """All that a worker is told.

    Attributes:
        folder: its own folder, with ``scratch`` inside.
        plugin: name and module of the entry point that offers the detector.
        detector: name of the detector.
        config: all fields of its configuration.
        seed: the cell's seed.
        device: as asked for: ``auto``, ``cpu``, ``cuda``, ``mps``.
        fit: .npy file of the images to learn from.
        evaluate: .npy file of the images to score.

    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    folder: Path
    plugin: tuple[str, str]
    detector: str
    config: dict[str, Any]
    seed: int
    device: str
    fit: Path
    evaluate: Path


def work(raw: dict[str, object]) -> int:
    """Run one job; returns the exit code. Events go to the standard output that the guard was started with."""
    emit = _take_over_output()
    try:
        _run(Job.model_validate(raw), emit)
    except BaseException as error:  # SystemExit and KeyboardInterrupt of a detector end its cell, not more
        traceback.print_exc()
        emit(event="error", status="oom" if _out_of_memory(error) else "failed", reason=describe(error))
        return 1
    return 0


def describe(error: BaseException) -> str:
    """One line that says what went wrong."""
    if isinstance(error, SystemExit):
        return f"the detector called sys.exit({error.code!r})"
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _take_over_output() -> Callable[..., None]:
    """Keep standard output for events; whatever a detector prints goes to the log."""
    channel = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)

    def emit(**event: Any) -> None:
        os.write(channel, (json.dumps(event) + "\n").encode())

    return emit


def _run(job: Job, emit: Callable[..., None]) -> None:
    from bench.data.decode import open_images

    spec = _load_spec(job)
    config = spec.config().model_validate(job.config)
    device, precision = _device(spec, job.device)
    emit(event="device", device=device, precision=precision)
    _seed_everything(job.seed, spec.torch)
    run = RunContext(job.seed, device, job.folder / SCRATCH, precision, _thinned_progress(emit))
    detector: Detector[DetectorConfig] = spec.load()(config)
    emit(event="progress", phase="fit", done=0, total=0, scalars={})
    started = time.perf_counter()
    detector.fit(open_images(job.fit, config.channels), run)
    fitted = time.perf_counter()
    scores = _score(detector, open_images(job.evaluate, config.channels), run)
    scored = time.perf_counter()
    np.save(job.folder / SCORES_FILE, scores, allow_pickle=False)
    emit(event="scored", fit_seconds=fitted - started, score_seconds=scored - fitted)


def _seed_everything(seed: int, torch_too: bool) -> None:
    """Seed the global generators, for detectors that draw from them against advice."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    if torch_too:
        import torch

        torch.manual_seed(seed)


def _load_spec(job: Job) -> DetectorSpec:
    """Load only the plugin that offers the detector."""
    from bench.registry import load_plugin

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    name, module = job.plugin
    plugin, specs = load_plugin(EntryPoint(name, module, GROUP), manager)
    if plugin.status != "ok":
        raise PluginProblem(f"plugin '{name}' does not load in a fresh process: {plugin.reason}")
    return next(spec for spec in specs if isinstance(spec, DetectorSpec) and spec.name == job.detector)


def _device(spec: DetectorSpec, requested: str) -> tuple[str, Any]:
    if not spec.torch:
        return "cpu", "float32"
    from bench.torchkit import resolve_device, resolve_precision

    device = resolve_device(requested)
    return device, resolve_precision(device)


def _thinned_progress(emit: Callable[..., None]) -> Callable[..., None]:
    """Pass progress on at most ten times a second, and always the beginning and the end of a phase."""
    last, current = 0.0, ""

    def progress(phase: str, done: int, total: int, **scalars: float) -> None:
        nonlocal last, current
        now = time.monotonic()
        if phase != current or done >= total > 0 or now - last >= PROGRESS_INTERVAL:
            last, current = now, phase
            numbers = {name: float(value) for name, value in scalars.items()}
            emit(event="progress", phase=phase, done=int(done), total=int(total), scalars=numbers)

    return progress


def _score(detector: Detector[DetectorConfig], images: Images, run: RunContext) -> NDArray[np.float64]:
    parts = []
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        parts.append(check_scores(detector.anomaly_scores(chunk, run), len(chunk)))
    return np.concatenate(parts)


def check_scores(scores: Any, expected: int) -> NDArray[np.float64]:
    """Return scores as float64 (n,).

    Raises:
        BadScoresError: another shape or type, or a value that is not finite.

    """
    if not isinstance(scores, np.ndarray):
        raise BadScoresError(f"anomaly_scores returned {type(scores).__name__}, not a numpy array")
    if scores.shape != (expected,):
        raise BadScoresError(
            f"anomaly_scores returned shape {scores.shape} for {expected} images; expected ({expected},)"
        )
    if scores.dtype.kind != "f":
        raise BadScoresError(f"anomaly_scores returned {scores.dtype}; expected float64")
    if bad := int(np.count_nonzero(~np.isfinite(scores))):
        raise BadScoresError(f"{bad} of {expected} anomaly scores are not finite (NaN or infinite)")
    return scores.astype(np.float64)
