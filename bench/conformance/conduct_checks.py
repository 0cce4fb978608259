"""Checks of how a detector behaves in its process: state, inputs, files, network, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.conformance.check import Check, CheckFailed, NotApplicable, require
from bench.conformance.process import python_command
from bench.conformance.score_checks import require_same
from bench.conformance.subject import Subject

FRESH_SECONDS = 600
FEW_IMAGES = 512
MORE_BYTES = 8 << 20
ALLOWED_BYTES = 4 << 20
# glibc then returns every large block to the system as soon as it is freed: a peak is what is in use at once, and not
# what a heap that temporary arrays have fragmented keeps, which differed by 10 MiB between runs of the same code.
STEADY_ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(64 << 10)}


class State(Check):
    """A fresh process that loads the state gives other scores.

    ``state`` must return everything learned as named numpy arrays (no objects), and ``load_state`` must need nothing
    else: no global variable, no file, no attribute that only ``fit`` sets.
    """

    name = "state"

    def run(self, subject: Subject) -> None:
        """Write the state as safetensors, load it in another process, and score there."""
        with tempfile.TemporaryDirectory(prefix="bench-check-") as name:
            folder = Path(name)
            _write_state(subject, folder / "state.safetensors")
            np.save(folder / "images.npy", subject.phantom.test)
            _in_fresh_process(subject, folder, "score")
            scores = np.load(folder / "scores.npy", allow_pickle=False)
        require_same(subject, scores, subject.scores, "from a fresh process")


class Memory(Check):
    """Peak memory grows with the number of images that are scored in one call.

    Go through the images in batches (``bench.torchkit.score_in_batches``), and copy or convert a batch at a time:
    a data set need not fit into memory. Growth by half of the images' bytes is too much.
    """

    name = "memory"

    def run(self, subject: Subject) -> None:
        """Score some images and then many in a fresh process, and compare its peaks of memory."""
        if sys.platform != "linux":
            raise NotApplicable("peak memory of a process is measured on Linux only")
        with tempfile.TemporaryDirectory(prefix="bench-check-") as name:
            folder = Path(name)
            _write_state(subject, folder / "state.safetensors")
            np.save(folder / "images.npy", subject.phantom.test)
            counts = {"few": FEW_IMAGES, "many": FEW_IMAGES + MORE_BYTES // subject.phantom.test[0].nbytes}
            peaks = _in_fresh_process(subject, folder, "memory", **counts)
        grown = peaks["many"] - peaks["few"]
        more = f"{counts['many'] - counts['few']} more images ({MORE_BYTES >> 20} MiB as bytes)"
        require(grown <= ALLOWED_BYTES, f"{more} took {grown / 2**20:.0f} MiB more")


class InputsUnmodified(Check):
    """The images that were handed over have changed.

    They are shared by all detectors. The harness hands them out read-only, so a detector that writes into them fails
    there; copy what you change: ``images.astype(np.float32)``.
    """

    name = "inputs-unmodified"

    def run(self, subject: Subject) -> None:
        """Compare the arrays of the shared fit, which may be written to, with the originals."""
        require(np.array_equal(subject.watched.normal, subject.phantom.normal), "fit changed them")
        require(np.array_equal(subject.watched.test, subject.phantom.test), "anomaly_scores changed them")


class GlobalState(Check):
    """Global state is left changed: random generators, settings of torch or numpy, environment, working directory.

    Wrap what draws random numbers in ``bench.torchkit.isolated_seed``, or use generators of your own
    (``np.random.default_rng(run.seed)``); put settings back when you are done.
    """

    name = "global-state"

    def run(self, subject: Subject) -> None:
        """Compare before and after the shared fit."""
        require(not subject.watched.seen.state, f"not put back: {', '.join(subject.watched.seen.state)}")


class Writes(Check):
    """Files are written outside the scratch folder.

    Write to ``run.scratch`` only; it is removed afterwards.
    """

    name = "writes"

    def run(self, subject: Subject) -> None:
        """Look at the files that the shared fit changed."""
        found = subject.watched.outside
        require(not found, f"changed: {', '.join(found[:5])}")


class Network(Check):
    """The network is used.

    A benchmark must run on machines without one. Weights are declared in ``pretrained`` and fetched beforehand.
    """

    name = "network"

    def run(self, subject: Subject) -> None:
        """Look at what the shared fit tried to reach."""
        seen = subject.watched.seen.network
        require(not seen, f"tried: {', '.join(seen[:3])}")


def _write_state(subject: Subject, path: Path) -> None:
    from safetensors.numpy import save_file

    state = subject.fitted.state()
    for name, array in state.items():
        require(isinstance(name, str), f"state has a key {name!r} that is no string")
        require(isinstance(array, np.ndarray), f"state['{name}'] is a {type(array).__name__}, not a numpy array")
        require(array.dtype.kind in "biuf", f"state['{name}'] has dtype {array.dtype}, which cannot be stored")
    save_file({name: np.ascontiguousarray(array).reshape(array.shape) for name, array in state.items()}, path)


def _in_fresh_process(subject: Subject, folder: Path, task: str, **numbers: int) -> dict[str, Any]:
    """Run :mod:`bench.conformance.fresh` on a folder and return what it prints."""
    plugin = subject.offer.plugin
    job = {
        "folder": str(folder),
        "plugin": [plugin.name, plugin.module],
        "detector": subject.spec.name,
        "config": subject.config.model_dump(mode="json"),
        "task": task,
        **numbers,
    }
    try:
        done = subprocess.run(
            python_command("bench.conformance.fresh", json.dumps(job)),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=FRESH_SECONDS,
            check=False,
            env={**os.environ, **STEADY_ALLOCATOR},
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"the fresh process did not end within {FRESH_SECONDS} s") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CheckFailed(f"the fresh process failed: {lines[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
