"""Scores images with what a detector learned before: the process behind ``bench predict``.

``python -m bench.run.scorer`` reads one line (a :class:`ScoringJob`) from standard input, and then blocks of images. It
answers in messages: a letter for the kind, eight bytes for the length, the content. It is told neither names nor
places of images. When its input ends, so does it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.contracts import Detector, RunContext
from bench.errors import EnvironmentProblem
from bench.run.guard import PR_SET_PDEATHSIG, linux_prctl
from bench.run.mapfile import checked_maps
from bench.run.statefile import read_state
from bench.run.worker import describe, load_spec, out_of_memory, score_chunks, seed_everything

READY, SCORES, MAP, FAILED, UNFIT, MEMORY = b"r", b"s", b"m", b"f", b"u", b"o"
HEAD = 9
"""Bytes before the content of a message: kind and length."""
COUNT = 4
"""Bytes before a block of images: how many there are."""


class ScoringJob(BaseModel):
    """All that the process is told.

    Attributes:
        plugin: name and module of the entry point that offers the detector.
        detector: name of the detector.
        config: all fields of its configuration.
        seed: of the run in which it learned.
        device: as asked for, or that of the run.
        before: device and precision of the run.
        state: file of what was learned.
        scratch: an empty folder.
        maps: whether to draw anomaly maps too.

    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    plugin: tuple[str, str]
    detector: str
    config: dict[str, Any]
    seed: int
    device: str
    before: tuple[str, Literal["float32", "bfloat16"]]
    state: Path
    scratch: Path
    maps: bool


def main() -> None:
    """Answer blocks of images until there are no more; never returns."""
    linux_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # end with whoever asks
    # A detector that reads its input or prints must not meet what is said here.
    blocks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    try:
        _serve(ScoringJob.model_validate_json(blocks.readline()), blocks, answers)
    except BaseException as error:  # SystemExit of a detector is one more way to fail
        kind = MEMORY if out_of_memory(error) else UNFIT if isinstance(error, EnvironmentProblem) else FAILED
        text = str(error) if kind == UNFIT else describe(error)
        _say(answers, kind, text.encode(errors="replace"))
        os._exit(1)
    os._exit(0)  # exit handlers of a detector's libraries have nothing left to do here


def _serve(job: ScoringJob, blocks: BinaryIO, answers: BinaryIO) -> None:
    detector, run = _restore(job)
    size, channels = detector.config.image_size, detector.config.channels
    _say(answers, READY, f"{run.device} {run.precision}".encode())
    while count := int.from_bytes(blocks.read(COUNT), "little"):
        # Read-only and grey repeated as a view, as images are in a run.
        grey = np.frombuffer(blocks.read(count * size * size), np.uint8).reshape(count, size, size, 1)
        images = np.broadcast_to(grey, (count, size, size, channels))
        _say(answers, SCORES, score_chunks(detector, images, run).astype("<f8").tobytes())
        if job.maps:
            for one in checked_maps(detector.anomaly_maps(images, run), count, size):
                _say(answers, MAP, one.astype("<f4").tobytes())


def _restore(job: ScoringJob) -> tuple[Detector[Any], RunContext]:
    """Bring back the detector as it was after ``fit``, on its device."""
    spec = load_spec(job.plugin, job.detector)
    device, precision = job.device, job.before[1]
    if spec.torch:
        from bench.torchkit import resolve_device, resolve_precision

        device = resolve_device(job.device)
        precision = precision if device == job.before[0] else resolve_precision(device)
    seed_everything(job.seed, spec.torch)
    detector = spec.load()(spec.config().model_validate(job.config))
    detector.load_state(MappingProxyType(read_state(job.state)))
    return detector, RunContext(job.seed, device, job.scratch, precision)


def _say(answers: BinaryIO, kind: bytes, content: bytes) -> None:
    answers.write(kind + len(content).to_bytes(HEAD - 1, "little") + content)
    answers.flush()


if __name__ == "__main__":
    main()
