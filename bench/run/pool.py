"""Runs jobs in processes, a few at a time, and tells as events what happens to each.

A crash, an exit, running out of memory or time costs one job alone. Nothing here prints.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadMapsError, BadScoresError, BadStateError, StorageError
from bench.run.jobs import CheckpointLost, Kept, Outcome, Progress, Request, Started
from bench.run.mapfile import MAPS_FILE, check_room
from bench.run.messages import (
    LINE_LIMIT,
    DeviceEvent,
    ErrorEvent,
    ExitEvent,
    ProgressEvent,
    ScoredEvent,
    WorkerEvent,
    parse_event,
    printable,
    read_scores,
)
from bench.run.sandbox import EVALUATE, FIT, JOB, Sandbox
from bench.run.statefile import STATE_FILE, check_state
from bench.run.surroundings import thread_count, worker_environment
from bench.run.unfinished import CHECKPOINT, Keeper
from bench.run.worker import SCORES_FILE, SCRATCH, Job, check_scores

LOG_TAIL_BYTES = 4096
GRACE_SECONDS = 10.0
GUARD = Path(__file__).with_name("guard.py")


EventT = TypeVar("EventT", DeviceEvent, ErrorEvent, ExitEvent, ScoredEvent)


@dataclass
class _Running:
    """A process and what it has said so far."""

    request: Request
    process: subprocess.Popen[bytes]
    folder: Path
    log: IO[bytes]
    deadline: float
    threads: int
    keeper: Keeper | None
    buffer: bytes = b""
    said: dict[str, WorkerEvent] = field(default_factory=dict)
    timed_out: bool = False

    def last(self, kind: type[EventT]) -> EventT | None:
        """The latest event of a kind."""
        found = self.said.get(kind.__name__)
        return found if isinstance(found, kind) else None


def run_jobs(
    requests: Sequence[Request],
    jobs: int,
    timeout: float | None,
    hidden: Sequence[Path] = (),
    sandbox: Sandbox | None = None,
) -> Generator[Started | Progress | CheckpointLost | Outcome]:
    """Run every request, at most ``jobs`` at a time, and yield what happens in the order in which it does.

    Closing the generator, or an exception thrown into it, kills what is running, and keeps its checkpoints.

    Args:
        requests: the jobs.
        jobs: processes at a time; the processor's cores are divided among them.
        timeout: seconds after which a job is killed, or None.
        hidden: folders that nothing handed to a job may name.
        sandbox: where to run them; None: processes like any other.

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
                    started = _start(request, jobs, timeout, hidden, sandbox)
                except (OSError, StorageError) as error:
                    yield Outcome(request.key, "failed", f"its process could not be started: {error}")
                    continue
                assert started.process.stdout is not None
                running[started.process.stdout.fileno()] = started
                selector.register(started.process.stdout, selectors.EVENT_READ)
            # With nothing to listen to (none could be started), waiting would have no end.
            heard = selector.select(_patience(running)) if running else []
            now = time.monotonic()  # what is done with an outcome takes its time, which is not the other jobs'
            for key, _ in heard:
                job = running[key.fd]
                chunk = os.read(key.fd, 1 << 16)
                yield from _listen(job, chunk)
                # The guard's word is the end: a process that the detector detached may hold the pipe open for ever.
                if chunk and job.last(ExitEvent) is None:
                    continue
                selector.unregister(key.fileobj)
                del running[key.fd]
                with _finished(job) as outcome:
                    yield outcome
            for descriptor, job in list(running.items()):
                if now <= job.deadline:
                    continue
                if not job.timed_out:
                    _give_up(job)
                else:  # not even its guard answers: the detector may have stopped it
                    selector.unregister(descriptor)
                    del running[descriptor]
                    with _finished(job) as outcome:
                        yield outcome
    finally:
        selector.close()
        for job in running.values():
            _give_up(job)
            _end(job)
            _remove(job, resumable=True)


def _patience(running: dict[int, _Running]) -> float | None:
    nearest = min((job.deadline for job in running.values()), default=float("inf"))
    return None if nearest == float("inf") else max(nearest - time.monotonic(), 0.0)


def _start(
    request: Request, jobs: int, timeout: float | None, hidden: Sequence[Path], sandbox: Sandbox | None
) -> _Running:
    """Start a guard with one job. The worker's working directory is its empty scratch folder."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    given = {name: getattr(request, name) for name in Job.model_fields if name not in ("folder", "checkpoint")}
    kept = request.unfinished()
    keeper = Keeper.claim(kept) if kept else None
    # Without a name, so that a worker can neither replace it nor learn from its path.
    log = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the job ends)
    try:
        if request.maps:
            check_room(folder, request.images, request.side)
        (folder / SCRATCH).mkdir()
        if keeper is not None:
            keeper.lay_out(folder / CHECKPOINT)
            given["checkpoint"] = CHECKPOINT
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        command = [sys.executable, "-P", str(GUARD)]
        if sandbox is None:
            job = Job(folder=folder, **given)
            environment = worker_environment(hidden, jobs, folder / SCRATCH)
            process = subprocess.Popen(command, cwd=folder / SCRATCH, env=environment, start_new_session=True, **pipes)
        else:
            job = Job(folder=JOB, **{**given, "fit": FIT, "evaluate": EVALUATE})
            images = {FIT: request.fit, EVALUATE: request.evaluate}
            process = sandbox.start(command, jobs, pipes, folder, images)
    except (OSError, StorageError):
        log.close()
        if keeper is not None:
            keeper.close(discard=False)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended at once, which its closed output will tell
        process.stdin.write(job.model_dump_json().encode() + b"\n")
        process.stdin.flush()
    deadline = time.monotonic() + timeout if timeout else float("inf")
    return _Running(request, process, folder, log, deadline, thread_count(jobs), keeper)


def _listen(job: _Running, chunk: bytes) -> Iterator[Progress | CheckpointLost]:
    *lines, rest = (job.buffer + chunk).split(b"\n")
    job.buffer = rest if len(rest) <= LINE_LIMIT else b""
    for line in lines:
        event = parse_event(line)
        if isinstance(event, ProgressEvent):
            yield Progress(job.request.key, event.phase, event.done, event.total, event.scalars)
            if job.keeper is not None and (why := job.keeper.take(job.folder / CHECKPOINT)):
                yield CheckpointLost(job.request.key, why)
        elif event is not None:
            job.said[type(event).__name__] = event


def _give_up(job: _Running) -> None:
    """Have the guard kill its worker; it answers by closing its output."""
    job.timed_out = True
    job.deadline = time.monotonic() + GRACE_SECONDS
    _close_input(job.process)


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # it is gone, and took no notice of what was still to be written
            process.stdin.close()


@contextmanager
def _finished(job: _Running) -> Iterator[Outcome]:
    """Collect the remains of a job whose output has ended, or who does not answer; its folder lasts for the block."""
    resumable = True  # as long as nobody has made a record of its end
    try:
        _end(job)
        outcome = _outcome(job)
        yield outcome
        resumable = outcome.resumable
    finally:
        _remove(job, resumable)


def _end(job: _Running) -> None:
    """Make sure that a job's process is gone."""
    _close_input(job.process)  # a detector may have told of an end that has not come
    try:
        job.process.wait(0 if time.monotonic() > job.deadline else GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        job.process.kill()
        job.process.wait()


def _remove(job: _Running, resumable: bool) -> None:
    """Remove what a job leaves behind, but for the checkpoint of one that may be tried again."""
    if job.keeper is not None:
        if resumable:
            job.keeper.take(job.folder / CHECKPOINT)
        job.keeper.close(discard=not resumable)
    assert job.process.stdout is not None
    job.process.stdout.close()
    job.log.close()
    shutil.rmtree(job.folder, ignore_errors=True)


def _outcome(job: _Running) -> Outcome:
    status, reason, scores = _verdict(job)
    pixels, kept = None, None
    if status == "ok":
        try:
            pixels, kept = _pixels(job), _kept(job)
        except (OSError, BadMapsError) as failure:
            status, reason, scores = "failed", f"the maps cannot be used: {failure}", None
        except BadStateError as failure:
            status, reason, scores = "failed", f"what it learned cannot be kept: {failure}", None
    scored, device, end = job.last(ScoredEvent), job.last(DeviceEvent), job.last(ExitEvent)
    return Outcome(
        job.request.key,
        status,
        reason,
        scores,
        scored.fit_seconds if scored else None,
        scored.score_seconds if scored else None,
        end.peak_rss_bytes if end else None,
        device.device if device else None,
        device.precision if device else None,
        _tail(job.log),
        pixels,
        kept,
        status != "ok" and _ended_from_outside(job),
    )


def _pixels(job: _Running) -> bytes | None:
    if job.request.truth is None:
        return None
    from bench.run.maps import count_maps  # scipy takes its time, and few need it

    return count_maps(job.folder / MAPS_FILE, job.request.truth)


def _kept(job: _Running) -> Kept | None:
    if not job.request.keep_state:
        return None
    request, found = job.request, None
    if request.tune:
        from bench.run.maps import normal_range

        found = normal_range(job.folder / MAPS_FILE, request.images, request.side, request.tune)
    return Kept(check_state(job.folder / STATE_FILE), job.threads, found)


def _ended_from_outside(job: _Running) -> bool:
    """Whether time, memory or somebody ended a job: a failure of its own would come again after the same steps."""
    if job.timed_out:
        return True
    if error := job.last(ErrorEvent):
        return error.status == "oom"
    end = job.last(ExitEvent)
    return end is None or -end.code in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def _verdict(job: _Running) -> tuple[Any, str, NDArray[np.float64] | None]:
    if job.timed_out:
        return "timeout", "it took longer than --timeout allows", None
    if error := job.last(ErrorEvent):
        return error.status, error.reason, None
    end = job.last(ExitEvent)
    if end is None:
        return "failed", "the worker was lost without a word", None
    if end.code == 0 and job.last(ScoredEvent):
        try:
            scores = read_scores(job.folder / SCORES_FILE, job.request.images)
            return "ok", "", check_scores(scores, job.request.images)
        except (OSError, BadScoresError) as failure:
            return "failed", f"the scores cannot be used: {failure}", None
    if end.code == -signal.SIGKILL:
        return "oom", "killed by SIGKILL, as the kernel does when memory runs out", None
    if end.code < 0:
        return "failed", f"crashed with {_signal_name(-end.code)}", None
    return "failed", f"the process ended with exit code {end.code} before it gave scores", None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(log: IO[bytes]) -> str:
    """The end of what was printed. Read at a place, since the worker writes through the same descriptor."""
    size = os.fstat(log.fileno()).st_size
    tail = os.pread(log.fileno(), LOG_TAIL_BYTES, max(size - LOG_TAIL_BYTES, 0))
    return printable(tail.decode(errors="replace"))
