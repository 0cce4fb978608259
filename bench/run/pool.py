"""Runs jobs in processes, a few at a time, and tells as events what happens to each.

A crash, an exit, running out of memory or time costs one job alone. Nothing here prints.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadScoresError
from bench.run.worker import SCORES_FILE, SCRATCH, Job, check_scores

LOG_TAIL_BYTES = 4096
GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Request:
    """One job to run; ``key`` comes back with every event about it."""

    key: str
    plugin: tuple[str, str]
    detector: str
    config: dict[str, Any]
    seed: int
    device: str
    fit: Path
    evaluate: Path
    images: int


@dataclass(frozen=True)
class Started:
    """A job's process is about to start."""

    key: str


@dataclass(frozen=True)
class Progress:
    """A job has come further."""

    key: str
    phase: str
    done: int
    total: int
    scalars: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """A job has ended. ``scores`` is None unless ``status`` is ok."""

    key: str
    status: Literal["ok", "failed", "timeout", "oom", "interrupted"]
    reason: str
    scores: NDArray[np.float64] | None = None
    fit_seconds: float | None = None
    score_seconds: float | None = None
    peak_rss_bytes: int | None = None
    device: str | None = None
    precision: str | None = None
    log_tail: str = ""


@dataclass
class _Running:
    """A process and what it has said so far."""

    request: Request
    process: subprocess.Popen[bytes]
    folder: Path
    deadline: float
    buffer: bytes = b""
    said: dict[str, Any] = field(default_factory=dict)
    timed_out: bool = False


def run_jobs(requests: Sequence[Request], jobs: int, timeout: float | None) -> Generator[Started | Progress | Outcome]:
    """Run every request, at most ``jobs`` at a time, and yield what happens in the order in which it does.

    Closing the generator, or an exception thrown into it, kills what is running.

    Args:
        requests: the jobs.
        jobs: processes at a time; the processor's cores are divided among them.
        timeout: seconds after which a job is killed, or None.

    """
    waiting = deque(requests)
    running: dict[int, _Running] = {}
    selector = selectors.DefaultSelector()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                request = waiting.popleft()
                yield Started(request.key)
                try:
                    started = _start(request, jobs, timeout)
                except OSError as error:
                    yield Outcome(request.key, "failed", f"its process could not be started: {error}")
                    continue
                assert started.process.stdout is not None
                running[started.process.stdout.fileno()] = started
                selector.register(started.process.stdout, selectors.EVENT_READ)
            # With nothing to listen to (none could be started), waiting would have no end.
            for key, _ in selector.select(_patience(running)) if running else []:
                job = running[key.fd]
                chunk = os.read(key.fd, 1 << 16)
                yield from _listen(job, chunk)
                # The guard's word is the end: a process that the detector detached may hold the pipe open for ever.
                if chunk and "exit" not in job.said:
                    continue
                selector.unregister(key.fileobj)
                del running[key.fd]
                yield _finish(job)
            for job in running.values():
                if time.monotonic() > job.deadline:
                    _give_up(job)
    finally:
        selector.close()
        for job in running.values():
            _give_up(job)
            _finish(job)


def _patience(running: dict[int, _Running]) -> float | None:
    nearest = min((job.deadline for job in running.values()), default=float("inf"))
    return None if nearest == float("inf") else max(nearest - time.monotonic(), 0.0)


def _start(request: Request, jobs: int, timeout: float | None) -> _Running:
    """Start a guard with one job. The worker's working directory is its empty scratch folder."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    job = Job(folder=folder, **{name: getattr(request, name) for name in Job.model_fields if name != "folder"})
    try:
        (folder / SCRATCH).mkdir()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("guard.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder / SCRATCH,
                env=_environment(jobs),
                start_new_session=True,
            )
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended at once, which its closed output will tell
        process.stdin.write(job.model_dump_json().encode() + b"\n")
        process.stdin.flush()
    deadline = time.monotonic() + timeout if timeout else float("inf")
    return _Running(request, process, folder, deadline)


def _environment(jobs: int) -> dict[str, str]:
    """The parent's environment and import path, its share of the cores, and no word of where data lies."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
    threads = max((os.cpu_count() or 1) // jobs, 1)
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **kept, "PYTHONPATH": path}


def _listen(job: _Running, chunk: bytes) -> Iterator[Progress]:
    *lines, job.buffer = (job.buffer + chunk).split(b"\n")
    for line in lines:
        try:
            event = json.loads(line)
            kind = event.pop("event")
        except (ValueError, KeyError, TypeError, AttributeError):  # a detector wrote to our channel: not an event
            continue
        if kind == "progress":
            yield Progress(job.request.key, **event)
        else:
            job.said[kind] = event


def _give_up(job: _Running) -> None:
    """Have the guard kill its worker; it answers by closing its output."""
    job.timed_out = True
    job.deadline = float("inf")
    _close_input(job.process)


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # it is gone, and took no notice of what was still to be written
            process.stdin.close()


def _finish(job: _Running) -> Outcome:
    """Collect the remains of a job whose output has ended, and remove its folder."""
    assert job.process.stdout is not None and job.process.stdin is not None
    try:
        job.process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        job.process.kill()
        job.process.wait()
    try:
        return _outcome(job)
    finally:
        job.process.stdout.close()
        _close_input(job.process)
        shutil.rmtree(job.folder, ignore_errors=True)


def _outcome(job: _Running) -> Outcome:
    status, reason, scores = _verdict(job)
    scored, device, end = (job.said.get(name, {}) for name in ("scored", "device", "exit"))
    return Outcome(
        job.request.key,
        status,
        reason,
        scores,
        scored.get("fit_seconds"),
        scored.get("score_seconds"),
        end.get("peak_rss_bytes"),
        device.get("device"),
        device.get("precision"),
        _tail(job.folder / "log"),
    )


def _verdict(job: _Running) -> tuple[Any, str, NDArray[np.float64] | None]:
    if job.timed_out:
        return "timeout", "it took longer than --timeout allows", None
    if error := job.said.get("error"):
        return error["status"], error["reason"], None
    code = job.said.get("exit", {}).get("code")
    if code == 0 and "scored" in job.said:
        try:
            scores = np.load(job.folder / SCORES_FILE, allow_pickle=False)
            return "ok", "", check_scores(scores, job.request.images)
        except (OSError, ValueError, BadScoresError) as error:
            return "failed", f"the scores cannot be used: {error}", None
    if code is None:
        return "failed", "the worker was lost without a word", None
    if code == -9:
        return "oom", "killed by SIGKILL, as the kernel does when memory runs out", None
    if code < 0:
        return "failed", f"crashed with {_signal_name(-code)}", None
    return "failed", f"the process ended with exit code {code} before it gave scores", None


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
