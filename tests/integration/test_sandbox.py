"""``--sandbox``: detector code finds neither data nor a way out, and its scores are the same."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bench.errors import EnvironmentProblem
from bench.run.sandbox import Sandbox
from tests.conftest import Bench, toy_detector
from tests.integration.hostile import intruder, processes_of


def _works() -> str:
    """Why sandboxes cannot be made here; empty if they can."""
    try:
        Sandbox((), "cpu").check()
    except EnvironmentProblem as problem:
        return str(problem).partition("\n")[0]
    return ""


WHY_NOT = _works()
needs_sandbox = pytest.mark.skipif(bool(WHY_NOT), reason=f"no sandbox here: {WHY_NOT}")


@pytest.fixture
def server() -> Iterator[int]:
    """Port of a server on this machine that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def arguments(data: Path, *more: str) -> tuple[str, ...]:
    return ("run", "--tasks", "chest-xray", "--data", str(data), "--json", *more)


@needs_sandbox
def test_intruder_gets_everywhere_without_and_nowhere_with_the_sandbox(
    bench: Bench, chest_data: Path, tmp_path: Path, server: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "secret").write_text("key")
    places = {"data": chest_data, "results": bench.results, "cache": tmp_path / "cache", "home": home}
    marker = tmp_path / "marker"
    source = intruder(**{k: str(v) for k, v in places.items()}, marker=str(marker), port=server)
    module = bench.add_plugin("intruder", source)
    planted = module.with_name("planted.txt")
    command = arguments(chest_data, "--detectors", "intruder")
    environment = {"HOME": str(home), "TOKEN": "hunter2"}

    inside = bench(*command, "--sandbox", **environment)
    assert inside.returncode == 0, (inside.stdout, inside.stderr)
    assert not marker.exists()
    assert not planted.exists()
    (record,) = bench.records()
    assert record["environment"]["sandbox"] is True

    outside = bench(*command, "--force", **environment)  # each try is a real one: here they succeed
    reason = json.loads(outside.stdout)["rows"][0]["reason"]
    done, imported = json.loads(reason.removeprefix("ValueError: "))
    always = {"read_data", "read_results", "read_index", "read_home", "write_python"}
    assert always | {"connect", "find_credentials", "find_parent", "find_paths", "find_others"} <= set(done)
    assert always <= set(imported)
    assert marker.exists()
    assert planted.exists()


CONFIG = """
import enum
from typing import Optional
from pydantic import Field
class Kind(enum.Enum):
    A = "a"
class Odd(bench.DetectorConfig):
    image_size: int = Field(16, ge=2, le=9)
    power: float = 0.1 + 0.2
    far: float = float("inf")
    kind: Kind = Kind.A
    sizes: tuple[int, ...] = (1, 2)
    nested: dict[str, list[float]] = {"a": [1e-300, 1 / 3]}
    nothing: Optional[int] = None
    text: str = "ü\\n"
Config = Odd
"""


@needs_sandbox
def test_scores_and_cells_are_the_same_with_and_without(bench: Bench, chest_data: Path) -> None:
    toy = toy_detector("toy")
    head, _, tail = toy.partition("class Toy")
    bench.add_plugin("toy", head + CONFIG + "class Toy" + tail)
    changes = ("--detectors", "toy,pca,ganomaly", "--preset", "smoke", "--set", "toy.sizes=[3]", "--set", "toy.power=2")
    found: dict[str, Any] = {}
    for name, option in (("open", ()), ("closed", ("--sandbox",))):
        folder = bench.folder / name
        done = bench(*arguments(chest_data, *changes, "--results", str(folder), *option))
        assert done.returncode == 0, (done.stdout, done.stderr)
        found[name] = {}
        for path in folder.glob("runs/*/*/*/record.json"):
            record = json.loads(path.read_text())
            scores = sha256((path.parent / "scores.parquet").read_bytes()).hexdigest()
            found[name][path.parent.relative_to(folder)] = (scores, record["detector"], record["metrics"])
            assert record["environment"]["sandbox"] is (name == "closed")
    assert len(found["open"]) == 3
    assert found["open"] == found["closed"]


@needs_sandbox
def test_only_sandboxed_records_are_reused(bench: Bench, chest_data: Path) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    command = arguments(chest_data, "--detectors", "toy")
    assert bench(*command).returncode == 0
    assert "computed again, since it did not run in the sandbox" in bench(*command, "--sandbox").stderr
    assert "reused" in bench(*command, "--sandbox").stderr
    assert "reused" in bench(*command).stderr


@needs_sandbox
def test_all_detectors_broken_plugins_and_errors_are_those_of_an_open_run(bench: Bench, chest_data: Path) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    bench.add_plugin("broken", "raise RuntimeError('no luck')")
    bench.add_plugin("leaver", "import os; os._exit(3)")
    bench.add_plugin("speaker", "print('{}', flush=True)\n" + toy_detector("speaker"))
    metric = "import bench\n@bench.hookimpl\ndef bench_cell_finished(record, folder):\n    raise SystemExit('ran')\n"
    bench.add_plugin("teller", metric)
    done = bench(*arguments(chest_data, "--detectors", "all", "--preset", "nope", "--sandbox"))
    assert done.returncode == 2
    assert "unknown preset" in done.stderr
    assert "plugin 'broken' is broken: RuntimeError: no luck" in done.stderr
    assert "plugin 'leaver' is broken: it ended while it was imported" in done.stderr
    for wrong in (
        ("--detectors", "toi"),
        ("--detectors", "toy", "--set", "toy.pover=1"),
        ("--detectors", "toy", "--set", "toy.power=x"),
        ("--detectors", "toy", "--set", "pca.components=3"),
        ("--detectors", "toy", "--label", "a/b", "--set", "toy.power=3"),
    ):
        closed = bench(*arguments(chest_data, *wrong, "--sandbox", "--no-plugin", "leaver"))
        opened = bench(*arguments(chest_data, *wrong, "--no-plugin", "leaver"))
        assert (closed.returncode, closed.stderr.splitlines()[-1]) == (2, opened.stderr.splitlines()[-1])
    good = bench(*arguments(chest_data, "--detectors", "toy,speaker", "--sandbox", "--no-plugin", "leaver"))
    assert good.returncode == 0, good.stderr
    assert "hooks do not run with --sandbox: those of teller" in good.stderr
    task = bench("run", "--tasks", "theirs", "--detectors", "toy", "--sandbox", "--no-plugin", "leaver")
    assert task.returncode == 2
    assert "tasks of plugins do not run with --sandbox" in task.stderr


@needs_sandbox
def test_name_offered_twice_belongs_to_nobody_in_the_sandbox_too(bench: Bench, chest_data: Path) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    bench.add_plugin("thief", toy_detector("toy"))
    done = bench(*arguments(chest_data, "--detectors", "toy", "--sandbox"))
    assert done.returncode == 3
    assert "'thief' of thief 1.0 and 'toy' of toy 1.0" in done.stderr


SLEEP = "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"


@needs_sandbox
def test_timeout_leaves_no_process(bench: Bench, chest_data: Path) -> None:
    bench.add_plugin("slow", toy_detector("slow", fit=SLEEP))
    stop = "import os, signal; os.kill(os.getppid(), signal.SIGSTOP); " + SLEEP
    bench.add_plugin("stopper", toy_detector("stopper", fit=stop))
    bench.add_plugin("good", toy_detector("good"))
    done = bench(*arguments(chest_data, "--detectors", "slow,stopper,good", "--timeout", "4", "--sandbox"))
    assert done.returncode == 1
    rows = {row["detector"]: row["status"] for row in json.loads(done.stdout)["rows"]}
    assert rows == {"slow": "timeout", "stopper": "timeout", "good": "ok"}
    assert _left(bench) == []


@needs_sandbox
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_end_of_the_parent_leaves_no_process(bench: Bench, chest_data: Path, how: signal.Signals) -> None:
    bench.add_plugin("slow", toy_detector("slow", fit=SLEEP))
    process = bench.start(*arguments(chest_data, "--detectors", "slow", "--sandbox"))
    deadline = time.monotonic() + 60
    while not any("sleep" in _command(pid) for pid in processes_of(bench.folder)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert _left(bench) == []
    if how is signal.SIGINT:
        assert process.returncode == 130, err
        assert json.loads(out)["rows"][0]["status"] == "interrupted"


def test_without_bubblewrap_it_says_what_to_install(bench: Bench, chest_data: Path, tmp_path: Path) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    (tmp_path / "empty").mkdir()
    done = bench(*arguments(chest_data, "--detectors", "toy", "--sandbox"), PATH=str(tmp_path / "empty"))
    assert done.returncode == 3
    assert "bubblewrap" in done.stderr
    if sys.platform == "linux":
        assert "apt-get install bubblewrap" in done.stderr
    assert not list(bench.results.glob("runs/*"))


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_without_user_namespaces_it_says_how_to_allow_them(bench: Bench, chest_data: Path, tmp_path: Path) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    fake = tmp_path / "bin" / "bwrap"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    path = os.pathsep.join([str(fake.parent), os.environ["PATH"]])
    done = bench(*arguments(chest_data, "--detectors", "toy", "--sandbox"), PATH=path)
    assert done.returncode == 3
    assert "No permissions to create new namespace" in done.stderr
    assert "kernel.unprivileged_userns_clone" in done.stderr


@needs_sandbox
def test_a_hidden_folder_is_empty_even_inside_what_is_needed(tmp_path: Path) -> None:
    secret = Path(sys.prefix, "share", f"hidden-{tmp_path.name}")
    secret.mkdir(parents=True)
    try:
        (secret / "labels.csv").write_text("1")
        command = [sys.executable, "-c", f"import os; print(os.listdir({str(secret)!r}))"]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        for hidden, expected in (((), b"['labels.csv']\n"), ((secret,), b"[]\n")):
            said, problems = Sandbox(hidden, "cpu").start(command, 1, pipes).communicate()
            assert said == expected, problems
    finally:
        shutil.rmtree(secret)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _left(bench: Bench) -> list[int]:
    """Processes that are still there after a while."""
    for _ in range(100):
        if not processes_of(bench.folder):
            return []
        time.sleep(0.1)
    return processes_of(bench.folder)
