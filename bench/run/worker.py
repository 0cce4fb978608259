"""One cell, in a process of its own: seed, fit, score. It is given arrays, never the manifest or labels."""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bench.contracts import RESUME, Detector, DetectorConfig, DetectorSpec, Images, ProgressCallback, RunContext
from bench.errors import BadScoresError, PluginProblem
from bench.hookspecs import GROUP, HookSpecs
from bench.run.mapfile import MAPS_FILE, write_maps
from bench.run.statefile import STATE_FILE, write_state

PROGRESS_INTERVAL = 0.1
CHUNK = 4096
REASON_LIMIT = 2000
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
        maps: whether to draw anomaly maps of these images too.
        keep_state: whether to write what was learned.
        checkpoint: name of the file in its folder that outlives a kill; None: no file does.

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
    maps: bool = False
    keep_state: bool = False
    checkpoint: str | None = None


def work(raw: dict[str, object]) -> int:
    """Run one job; returns the exit code. Events go to the standard output that the guard was started with."""
    emit = _take_over_output()
    try:
        _run(_prepare(raw), emit)
    except BaseException as error:  # SystemExit and KeyboardInterrupt of a detector end its cell, not more
        traceback.print_exc()
        emit(event="error", status="oom" if out_of_memory(error) else "failed", reason=describe(error)[:REASON_LIMIT])
        return 1
    return 0


def describe(error: BaseException) -> str:
    """One line that says what went wrong."""
    if isinstance(error, SystemExit):
        return f"the detector called sys.exit({error.code!r})"
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that main or graphics memory is used up."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _take_over_output() -> Callable[..., None]:
    """Keep standard output for events; whatever a detector prints goes to the log."""
    channel = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)

    def emit(**event: Any) -> None:
        os.write(channel, (json.dumps(event) + "\n").encode())

    return emit


@dataclass(frozen=True)
class _Cell:
    """What a job comes to. Images are opened by calling with the number of channels: see :func:`_prepare`."""

    spec: DetectorSpec
    config: DetectorConfig
    seed: int
    device: str
    precision: Any
    folder: Path
    open_fit: Callable[[int], Images]
    open_evaluate: Callable[[int], Images]
    maps: bool
    keep_state: bool
    checkpoint: Path | None


def _prepare(raw: dict[str, object]) -> _Cell:
    """Load the plugin and find the device. From here on, no frame above detector code names the images' files."""
    job = Job.model_validate(raw)
    raw.clear()  # the guard's frame holds it too
    open_fit, open_evaluate = _opener(job.fit), _opener(job.evaluate)
    folder, seed, device, config, plugin, name = job.folder, job.seed, job.device, job.config, job.plugin, job.detector
    maps, keep_state, checkpoint = job.maps, job.keep_state, job.folder / job.checkpoint if job.checkpoint else None
    del job
    spec = load_spec(plugin, name)
    device, precision = _device(spec, device)
    known = spec.config().model_validate(config)
    return _Cell(spec, known, seed, device, precision, folder, open_fit, open_evaluate, maps, keep_state, checkpoint)


def _opener(path: Path) -> Callable[[int], Images]:
    def open_later(channels: int) -> Images:
        from bench.data.decode import open_images

        return open_images(path, channels)

    return open_later


def _run(cell: _Cell, emit: Callable[..., None]) -> None:
    emit(event="device", device=cell.device, precision=cell.precision)
    seed_everything(cell.seed, cell.spec.torch)
    run = RunContext(cell.seed, cell.device, cell.folder / SCRATCH, cell.precision, _thinned_progress(emit))
    before = _Before(run.progress)
    detector: Detector[DetectorConfig] = cell.spec.load()(cell.config)
    emit(event="progress", phase="fit", done=0, total=0, scalars={})
    started = time.perf_counter()
    detector.fit(cell.open_fit(cell.config.channels), replace(run, progress=before, checkpoint=cell.checkpoint))
    fitted = time.perf_counter()
    scores = score_chunks(detector, cell.open_evaluate(cell.config.channels), run)
    scored = time.perf_counter()
    np.save(cell.folder / SCORES_FILE, scores, allow_pickle=False)
    if cell.keep_state:
        write_state(detector.state(), cell.folder / STATE_FILE)
    if cell.maps:
        _draw(detector, cell.open_evaluate(cell.config.channels), run, cell.folder / MAPS_FILE)
    emit(event="scored", fit_seconds=fitted - started + before.seconds, score_seconds=scored - fitted)


class _Before:
    """Passes progress on, and notes how long the training took before it was interrupted."""

    def __init__(self, progress: ProgressCallback) -> None:
        self._progress = progress
        self.seconds = 0.0

    def __call__(self, phase: str, done: int, total: int, **scalars: float) -> None:
        if phase == RESUME:
            seconds = float(scalars.get("seconds", 0.0))
            self.seconds = seconds if 0 < seconds < float("inf") else 0.0
        self._progress(phase, done, total, **scalars)


def seed_everything(seed: int, torch_too: bool) -> None:
    """Seed the global generators, for detectors that draw from them against advice."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    if torch_too:
        import torch

        torch.manual_seed(seed)


def load_spec(entry_point: tuple[str, str], detector: str) -> DetectorSpec:
    """Load only the plugin that offers the detector, by name and module of its entry point.

    Raises:
        PluginProblem: it does not load.

    """
    from bench.registry import load_plugin

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    name, module = entry_point
    plugin, specs = load_plugin(EntryPoint(name, module, GROUP), manager)
    if plugin.status != "ok":
        raise PluginProblem(f"plugin '{name}' does not load in a fresh process: {plugin.reason}")
    return next(spec for spec in specs if isinstance(spec, DetectorSpec) and spec.name == detector)


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


def score_chunks(detector: Detector[DetectorConfig], images: Images, run: RunContext) -> NDArray[np.float64]:
    """Score images, a few thousand in a call.

    Raises:
        BadScoresError: another shape or type than float64 (n,), or a value that is not finite.

    """
    parts = []
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        parts.append(check_scores(detector.anomaly_scores(chunk, run), len(chunk)))
    return np.concatenate(parts)


def _draw(detector: Detector[DetectorConfig], images: Images, run: RunContext, path: Path) -> None:
    chunks = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    drawn = ((detector.anomaly_maps(chunk, run), len(chunk)) for chunk in chunks)
    write_maps(path, drawn, images.shape[1], lambda done: run.progress("maps", done, len(images)))


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
