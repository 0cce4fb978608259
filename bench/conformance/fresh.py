"""What the checks run in a fresh process: load a state, then score, or measure memory."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pluggy

from bench.contracts import Detector, DetectorSpec, RunContext
from bench.hookspecs import GROUP, HookSpecs
from bench.registry import load_plugin


def main() -> None:
    """Do the job that the last argument describes, and print the answer as JSON."""
    job = json.loads(sys.argv[-1])
    folder = Path(job["folder"])
    (folder / "scratch").mkdir(exist_ok=True)
    run = RunContext(7, "cpu", folder / "scratch")
    detector = _restore(job, folder)
    images = np.load(folder / "images.npy")
    if job["task"] == "score":
        np.save(folder / "scores.npy", np.asarray(detector.anomaly_scores(images, run), np.float64))
        print(json.dumps({}))  # noqa: T201  (the answer goes to standard output)
        return
    peaks = {}
    for name in ("few", "many"):
        # One image seen many times costs no memory of its own, so whatever grows is the detector's.
        detector.anomaly_scores(np.broadcast_to(images[0], (job[name], *images.shape[1:])), run)
        peaks[name] = _peak_bytes()
    print(json.dumps(peaks))  # noqa: T201


def _restore(job: dict[str, Any], folder: Path) -> Detector[Any]:
    from safetensors.numpy import load_file

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    name, module = job["plugin"]
    plugin, specs = load_plugin(EntryPoint(name, module, GROUP), manager)
    if plugin.status != "ok":
        raise RuntimeError(plugin.reason)
    spec = next(spec for spec in specs if isinstance(spec, DetectorSpec) and spec.name == job["detector"])
    detector = spec.load()(spec.config().model_validate(job["config"]))
    detector.load_state(load_file(folder / "state.safetensors"))
    return detector


def _peak_bytes() -> int:
    """Peak resident memory of this process (not of the one that started it, as getrusage would have it)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")
