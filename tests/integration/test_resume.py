"""A run that was killed goes on within the training: real processes, a real detector, the same scores to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError, safe_open

from bench.errors import EnvironmentProblem
from bench.run.sandbox import Sandbox
from tests.conftest import Bench, toy_detector

STEPS = 150
# SALAD under another name, as a stranger's package: it saves after every step, and tells its process id.
OFTEN = """
import os
from dataclasses import replace

import bench
from salad_plugin import SALAD

def load():
    from bench.torchkit import Checkpoint
    from salad_plugin.detector import SaladDetector

    Checkpoint.every_seconds, Checkpoint.share = 0.0, 1e9
    if "MARKER" in os.environ:
        open(os.environ["MARKER"], "w").write(str(os.getpid()))
    return SaladDetector

@bench.hookimpl
def bench_detectors():
    small = {"image_size": 32, "width": 4, "latent": 8, "batch_size": 8, "steps": STEPS}
    return [replace(SALAD, name="often", load=load, presets={"smoke": small})]
""".replace("STEPS", str(STEPS))
# A training without torch, which takes two seconds.
COUNT = """import os, time
        step, kept = 0, run.checkpoint
        if "MARKER" in os.environ:
            open(os.environ["MARKER"], "w").write(str(os.getpid()))
        if kept is not None and kept.exists():
            step = int(kept.read_text())
            run.progress("resume", step, 0, seconds=1000.0)
        for step in range(step, 200):
            time.sleep(0.01)
            if kept is not None:
                open("new", "w").write(str(step + 1))
                os.rename("new", kept)
            run.progress("train", step + 1, 200)"""
ARGUMENTS = ("run", "--detectors", "often", "--preset", "smoke", "--tasks", "chest-xray")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def salad(bench: Bench) -> Path:
    return bench.add_plugin("often", OFTEN)


@pytest.fixture
def counter(bench: Bench) -> Path:
    return bench.add_plugin("often", toy_detector("often", fit=COUNT))


def scores(bench: Bench) -> bytes:
    (path,) = bench.results.glob("runs/*/*/*/scores.parquet")
    return path.read_bytes()


def step_of(bench: Bench) -> int:
    """How far the kept checkpoint has come; 0 where there is none."""
    try:
        (path,) = bench.results.glob(".unfinished/*/checkpoint")
        if (content := path.read_bytes()).isdigit():
            return int(content)
        with safe_open(path, framework="np") as file:
            return int(json.loads(file.metadata()["about"])["step"])
    except (ValueError, SafetensorError, OSError):
        return 0


def start_and_wait(bench: Bench, data: Path, step: int, *more: str) -> tuple[subprocess.Popen[str], int]:
    """Start a run and wait until it has kept a checkpoint of that step or a later one; also its worker's id."""
    marker = bench.folder / "pid"
    process = bench.start(*ARGUMENTS, "--data", str(data), *more, MARKER=str(marker))
    deadline = time.monotonic() + 120
    while step_of(bench) < step:
        assert time.monotonic() < deadline, "no checkpoint was kept"
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process, int(marker.read_text())


def uninterrupted(bench: Bench, data: Path, *more: str) -> bytes:
    done = bench(*ARGUMENTS, "--data", str(data), "--results", "whole", *more)
    assert done.returncode == 0, done.stderr
    assert "goes on after step" not in done.stderr
    assert not (bench.folder / "whole" / ".unfinished").exists()
    (path,) = (bench.folder / "whole").glob("runs/*/*/*/scores.parquet")
    return path.read_bytes()


def finish(bench: Bench, data: Path, *more: str) -> str:
    done = bench(*ARGUMENTS, "--data", str(data), *more)
    assert done.returncode == 0, done.stderr
    return done.stderr


def resumed_at(said: str) -> int:
    (line,) = [line for line in said.splitlines() if "training goes on after step" in line]
    return int(line.rpartition(" ")[2])


def by_interrupt(process: subprocess.Popen[str], worker: int) -> None:
    process.send_signal(signal.SIGINT)


def by_killing_the_command(process: subprocess.Popen[str], worker: int) -> None:
    process.kill()


def by_killing_the_worker(process: subprocess.Popen[str], worker: int) -> None:
    os.kill(worker, signal.SIGKILL)


def by_killing_its_guard(process: subprocess.Popen[str], worker: int) -> None:
    guard = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guard, signal.SIGKILL)


Kill = Callable[[subprocess.Popen[str], int], None]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the guard in /proc")
@pytest.mark.usefixtures("salad")
def test_whatever_is_killed_the_training_goes_on_to_the_same_scores(bench: Bench, chest_data: Path) -> None:
    reached = 0
    kills: tuple[tuple[Kill, int], ...] = (
        (by_killing_the_command, -signal.SIGKILL),
        (by_interrupt, 130),
        (by_killing_the_worker, 1),
        (by_killing_its_guard, 1),
    )
    for kill, code in kills:
        process, worker = start_and_wait(bench, chest_data, reached + 3)
        before = step_of(bench)
        kill(process, worker)
        _, said = process.communicate(timeout=180)
        assert process.returncode == code, (kill.__name__, said)
        if reached:
            assert resumed_at(said) == reached, kill.__name__
        reached = step_of(bench)
        assert before <= reached < STEPS - 3, kill.__name__
    said = finish(bench, chest_data)
    assert resumed_at(said) == reached
    assert not (bench.results / ".unfinished").exists()
    assert scores(bench) == uninterrupted(bench, chest_data)
    (record,) = bench.records()
    assert record["status"] == "ok"
    assert "again" not in finish(bench, chest_data)  # reused


@pytest.mark.usefixtures("counter")
def test_timeout_again_and_again_comes_to_an_end(bench: Bench, chest_data: Path) -> None:
    process, _ = start_and_wait(bench, chest_data, 2, "--timeout", "600")
    process.kill()
    process.communicate()
    reached = step_of(bench)
    # A worker that is stopped is one that is slow.
    process, worker = start_and_wait(bench, chest_data, reached + 2, "--timeout", "8")
    os.kill(worker, signal.SIGSTOP)
    _, said = process.communicate(timeout=180)
    assert "timeout" in said
    assert step_of(bench) >= reached + 2
    assert resumed_at(finish(bench, chest_data)) >= reached + 2


@pytest.mark.usefixtures("counter")
def test_record_counts_the_time_of_all_tries(bench: Bench, chest_data: Path) -> None:
    process, _ = start_and_wait(bench, chest_data, 2)
    process.kill()
    process.communicate()
    finish(bench, chest_data)
    (record,) = bench.records()
    assert 1000 < record["cost"]["fit_seconds"] < 1060


FAIL = """import os
        if run.checkpoint.exists():
            run.progress("resume", int(run.checkpoint.read_text()), 0, seconds=5.0)
        else:
            open("begun", "w").write("3")
            os.rename("begun", run.checkpoint)
        run.progress("train", 3, 9)
        {how}"""


@pytest.mark.parametrize(
    ("how", "again"),
    [
        ("raise ValueError('diverged')", False),
        ("os._exit(3)", False),
        ("import ctypes; ctypes.string_at(0)", False),
        ("raise MemoryError", True),
        ("os.kill(os.getpid(), 9)", True),
        ("os.kill(os.getpid(), 15)", True),
    ],
)
def test_only_what_was_ended_from_outside_goes_on(bench: Bench, run_toy: Run, how: str, again: bool) -> None:
    bench.add_plugin("toy", toy_detector("toy", fit=FAIL.format(how=how)))
    for number in range(2):
        done = run_toy("--detectors", "toy")
        assert done.returncode == 1
        assert ("training goes on after step 3" in done.stderr) == (again and number == 1)
        assert (bench.results / ".unfinished").exists() == again


def test_finished_cell_counts_the_seconds_that_it_is_told_of(bench: Bench, run_toy: Run) -> None:
    told = "\n        ".join(f"run.progress('resume', 1, 0, seconds={value})" for value in ("-1.0", "np.nan", "1e9"))
    bench.add_plugin("toy", toy_detector("toy", fit=told))
    assert run_toy("--detectors", "toy").returncode == 0
    (record,) = bench.records()
    assert 1e9 <= record["cost"]["fit_seconds"] < 1e9 + 60


@pytest.mark.usefixtures("counter")
def test_two_runs_of_one_cell_do_not_share_a_checkpoint(bench: Bench, chest_data: Path) -> None:
    process, worker = start_and_wait(bench, chest_data, 2)
    os.kill(worker, signal.SIGSTOP)
    try:
        assert "goes on" not in finish(bench, chest_data)
        assert step_of(bench) >= 2  # untouched by the one that finished
        other = scores(bench)
    finally:
        os.kill(worker, signal.SIGCONT)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert scores(bench) == other
    assert not (bench.results / ".unfinished").exists()


@pytest.mark.usefixtures("counter")
def test_checkpoint_that_cannot_be_kept_is_told_once_and_costs_nothing_else(bench: Bench, chest_data: Path) -> None:
    block = "import bench.files, errno, contextlib\nreal = bench.files.writing_atomically\n"
    block += "@contextlib.contextmanager\ndef full(path):\n"
    block += "    if '.unfinished' in str(path): raise OSError(errno.ENOSPC, 'No space left on device')\n"
    block += "    with real(path) as file: yield file\n"
    block += "bench.files.writing_atomically = full\n"
    folder = bench.folder / "customised"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(block)
    path = os.pathsep.join([str(folder), bench.environment["PYTHONPATH"]])
    done = bench(*ARGUMENTS, "--data", str(chest_data), PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the disk is full") == 1
    assert "would start anew if it were interrupted" in done.stderr


def test_folder_that_cannot_be_made_costs_the_checkpoint_alone(bench: Bench, chest_data: Path, counter: Path) -> None:
    bench.results.mkdir()
    (bench.results / ".unfinished").write_text("in the way")
    assert "goes on" not in finish(bench, chest_data)
    assert (bench.results / ".unfinished").read_text() == "in the way"


def test_unused_folder_is_removed_even_if_nothing_was_saved(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy", fit="import os; os.kill(os.getpid(), 9)"))
    assert run_toy("--detectors", "toy").returncode == 1
    assert not (bench.results / ".unfinished").exists()


@pytest.mark.parametrize(
    "what", ["os.symlink(__file__, run.checkpoint)", "os.mkfifo(run.checkpoint)", "os.mkdir(run.checkpoint)"]
)
def test_checkpoint_that_is_no_file_is_not_kept(bench: Bench, run_toy: Run, what: str) -> None:
    statement = f"import os; {what}; run.progress('train', 1, 2); os.kill(os.getpid(), 9)"
    bench.add_plugin("toy", toy_detector("toy", fit=statement))
    assert run_toy("--detectors", "toy").returncode == 1
    assert not (bench.results / ".unfinished").exists()


def test_worker_is_given_no_checkpoint_while_it_scores(bench: Bench, run_toy: Run) -> None:
    score = "assert run.checkpoint is None"
    bench.add_plugin("toy", toy_detector("toy", fit="assert run.checkpoint is not None", score=score))
    assert run_toy("--detectors", "toy").returncode == 0


def _why_no_sandbox() -> str:
    try:
        Sandbox((), "cpu").check()
    except EnvironmentProblem as problem:
        return str(problem).partition("\n")[0]
    return ""


WHY_NOT = _why_no_sandbox()


@pytest.mark.skipif(bool(WHY_NOT), reason=f"no sandbox here: {WHY_NOT}")
@pytest.mark.usefixtures("salad")
def test_training_in_the_sandbox_goes_on_too(bench: Bench, chest_data: Path) -> None:
    process = bench.start(*ARGUMENTS, "--data", str(chest_data), "--sandbox")
    deadline = time.monotonic() + 120
    while step_of(bench) < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.communicate()
    assert "goes on" not in finish(bench, chest_data, "--results", "whole")
    assert resumed_at(finish(bench, chest_data, "--sandbox")) >= 3
    assert scores(bench) == (next((bench.folder / "whole").glob("runs/*/*/*/scores.parquet"))).read_bytes()
