"""Whatever a detector does costs its own cell: it becomes a record with a reason, and the other rows still print."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Bench, toy_detector

CRASHES = {
    "exception": ("raise RuntimeError('no luck today')", "failed", "RuntimeError: no luck today"),
    "exit": ("import sys; sys.exit(7)", "failed", "sys.exit(7)"),
    "hard_exit": ("import os; os._exit(5)", "failed", "exit code 5"),
    "quiet_exit": ("import os; os._exit(0)", "failed", "before it gave scores"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "failed", "SIGSEGV"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "oom", "SIGKILL"),
    "memory": ("bytearray(1 << 60)", "oom", "MemoryError"),
    "nan": ("return np.full(len(images), np.nan)", "failed", "not finite"),
    "infinite": ("return np.full(len(images), np.inf)", "failed", "not finite"),
    "shape": ("return np.zeros((len(images), 1))", "failed", "shape"),
    "too_few": ("return np.zeros(len(images) - 1)", "failed", "shape"),
    "integers": ("return np.zeros(len(images), int)", "failed", "int64"),
    "a_list": ("return [0.0] * len(images)", "failed", "list"),
    "interrupted_itself": ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt"),
}

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_every_kind_of_crash_costs_one_cell(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("good", toy_detector("good"))
    for kind, (statement, _, _) in CRASHES.items():
        bench.add_plugin(f"bad_{kind}", toy_detector(f"bad-{kind.replace('_', '-')}", score=statement))
    names = ",".join(["good", *(f"bad-{kind.replace('_', '-')}" for kind in CRASHES)])
    done = run_toy("--detectors", names, "--json")
    assert done.returncode == 1, done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["good"]["status"] == "ok"
    assert rows["good"]["auroc"]["value"] > 0.9
    records = {record["detector"]["name"]: record for record in bench.records()}
    for kind, (_, status, reason) in CRASHES.items():
        name = f"bad-{kind.replace('_', '-')}"
        assert rows[name]["status"] == status, (kind, rows[name])
        assert reason in rows[name]["reason"], (kind, rows[name])
        assert rows[name]["auroc"] == {"value": None, "low": None, "high": None}
        assert records[name]["status"] == status
        assert records[name]["files"] == []


def test_log_tail_names_the_line_but_no_folder_of_this_machine(bench: Bench, run_toy: Run, tmp_path: Path) -> None:
    bench.add_plugin("bad", toy_detector("bad", fit="print('about to fail'); raise ValueError('see ' + __file__)"))
    run_toy("--detectors", "bad")
    (record,) = bench.records()
    assert "about to fail" in record["log_tail"]
    assert "Traceback" in record["log_tail"]
    assert str(tmp_path) not in json.dumps(record)
    assert str(Path.home()) + os.sep not in json.dumps(record)


def test_timeout_kills_the_cell_and_all_that_it_started(bench: Bench, run_toy: Run, tmp_path: Path) -> None:
    marker = tmp_path / "child.pid"
    sleeper = (
        "import subprocess, time; "
        f"p = subprocess.Popen(['sleep', '600']); open({str(marker)!r}, 'w').write(str(p.pid)); time.sleep(600)"
    )
    bench.add_plugin("slow", toy_detector("slow", fit=sleeper))
    bench.add_plugin("good", toy_detector("good"))
    started = time.monotonic()
    done = run_toy("--detectors", "slow,good", "--timeout", "6", "--json")
    assert time.monotonic() - started < 60
    assert done.returncode == 1
    statuses = {row["detector"]: row["status"] for row in json.loads(done.stdout)["rows"]}
    assert statuses == {"slow": "timeout", "good": "ok"}
    assert _gone(int(marker.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a guard adopt detached processes")
def test_detached_processes_neither_outlive_nor_delay_their_cell(bench: Bench, run_toy: Run, tmp_path: Path) -> None:
    marker = tmp_path / "daemon.pid"
    daemon = f"""import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open({str(marker)!r}, "w").write(str(os.getpid())); time.sleep(600)
            os._exit(0)
        time.sleep(0.5)"""
    bench.add_plugin("toy", toy_detector("toy", fit=daemon))
    started = time.monotonic()
    done = run_toy("--detectors", "toy", "--json")
    assert time.monotonic() - started < 60
    assert json.loads(done.stdout)["rows"][0]["status"] == "ok", done.stderr
    assert _gone(int(marker.read_text()))


def test_failed_cells_are_tried_again_and_finished_ones_reused(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("good", toy_detector("good"))
    module = bench.add_plugin("bad", toy_detector("bad", fit="raise ValueError('broken')"))
    assert run_toy("--detectors", "good,bad").returncode == 1
    module.write_text(toy_detector("bad"))
    again = run_toy("--detectors", "good,bad")
    assert again.returncode == 0, again.stderr
    assert "good · seed 0: AUROC" in again.stderr
    assert again.stderr.count("reused") == 1
    assert "its last attempt ended as failed" in again.stderr


def test_edited_detector_is_never_served_old_scores(bench: Bench, run_toy: Run) -> None:
    module = bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy")
    before = bench.records()[0]
    module.write_text(toy_detector("toy", score="return -np.abs(images - self.centre).mean(axis=(1, 2, 3))"))
    again = run_toy("--detectors", "toy")
    after = bench.records()[0]
    assert "the detector's source changed" in again.stderr
    assert after["cell"] == before["cell"]
    assert after["metrics"]["auroc"]["value"] == pytest.approx(1 - before["metrics"]["auroc"]["value"])


def test_failed_attempt_never_replaces_a_finished_record(bench: Bench, run_toy: Run) -> None:
    module = bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy")
    module.write_text(toy_detector("toy", fit="raise ValueError('worse')"))
    done = run_toy("--detectors", "toy", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["rows"][0]["status"] == "failed"
    (record,) = bench.records()
    assert record["status"] == "ok"
    (attempt,) = bench.results.glob("runs/*/*/*/failed-attempt.json")
    assert "worse" in json.loads(attempt.read_text())["reason"]


def test_detector_edited_while_it_runs_is_not_reused(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy", fit="open(__file__, 'a').write('# edited' + chr(10))"))
    assert run_toy("--detectors", "toy").returncode == 0
    assert bench.records()[0]["detector"]["source_digest"] == "edited while it ran"
    again = run_toy("--detectors", "toy")
    assert "the detector's source changed" in again.stderr
    refused = bench("publish", str(bench.results), "--to", str(bench.folder / "published"))
    assert refused.returncode == 1
    assert "edited while it ran" in refused.stderr


def test_latest_label_names_the_record_of_its_configuration(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    for label in ("first", "second"):
        assert run_toy("--detectors", "toy", "--set", "toy.power=2", "--label", label).returncode == 0
    (record,) = bench.records()
    assert record["detector"]["variant"] == "second"


def test_worker_that_cannot_be_started_costs_its_cell(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    done = run_toy("--detectors", "toy", "--json", PYTHONPATH=_no_temporary(bench))
    assert done.returncode == 1, done.stderr
    assert "could not be started" in json.loads(done.stdout)["rows"][0]["reason"]


def _no_temporary(bench: Bench) -> str:
    """An import path on which temporary folders for workers cannot be made."""
    block = "import tempfile\nmake = tempfile.mkdtemp\ndef refuse(*a, prefix='', **k):\n"
    block += "    if prefix == 'bench-': raise OSError(28, 'No space left on device')\n"
    block += "    return make(*a, prefix=prefix, **k)\ntempfile.mkdtemp = refuse\n"
    folder = bench.folder / "customised"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(block)
    return os.pathsep.join([str(folder), bench.environment["PYTHONPATH"]])


WAIT = "import time, os; open(os.environ['MARKER'], 'w').write(str(os.getpid())); time.sleep(600)"


def test_interrupt_keeps_what_is_finished(bench: Bench, chest_data: Path, tmp_path: Path) -> None:
    bench.add_plugin("good", toy_detector("good"))
    bench.add_plugin("slow", toy_detector("slow", fit=WAIT))
    process, worker = _start_and_wait(bench, chest_data, tmp_path / "pid", "good,slow")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert {row["detector"]: row["status"] for row in json.loads(out)["rows"]} == {"good": "ok", "slow": "interrupted"}
    assert _gone(worker)


@pytest.mark.parametrize("parent_signal", [signal.SIGKILL, signal.SIGTERM])
def test_killed_parent_leaves_no_orphan_and_no_half_record(
    bench: Bench, chest_data: Path, tmp_path: Path, parent_signal: signal.Signals
) -> None:
    bench.add_plugin("good", toy_detector("good"))
    bench.add_plugin("slow", toy_detector("slow", fit=WAIT))
    process, worker = _start_and_wait(bench, chest_data, tmp_path / "pid", "good,slow")
    process.send_signal(parent_signal)
    process.communicate(timeout=180)
    assert _gone(worker)
    assert [record["status"] for record in bench.records() if record["detector"]["name"] == "good"] == ["ok"]
    bench.add_plugin("slow", toy_detector("slow"))
    done = bench("run", "--tasks", "chest-xray", "--data", str(chest_data), "--detectors", "good,slow")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("reused") == 1


def test_killing_the_parent_at_random_moments_never_damages_a_record(bench: Bench, chest_data: Path) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    arguments = ("run", "--tasks", "chest-xray", "--data", str(chest_data), "--detectors", "toy", "--seeds", "4")
    for wait in (1.2, 1.8, 2.4, 3.0):
        process = bench.start(*arguments, "--force")
        time.sleep(wait)
        process.kill()
        process.communicate()
        for path in bench.results.glob("runs/*/*/*/record.json"):
            record = json.loads(path.read_text())
            assert record["status"] == "ok"
            assert (path.parent / "scores.parquet").exists()
    assert bench(*arguments).returncode == 0
    assert len(bench.records()) == 4


def _start_and_wait(bench: Bench, data: Path, marker: Path, names: str) -> tuple[subprocess.Popen[str], int]:
    arguments = ("run", "--tasks", "chest-xray", "--data", str(data), "--detectors", names, "--json")
    process = bench.start(*arguments, MARKER=str(marker))
    deadline = time.monotonic() + 60
    while not (marker.exists() and marker.read_text()):
        assert time.monotonic() < deadline, "the slow detector never started"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process, int(marker.read_text())


def _gone(pid: int) -> bool:
    """Whether a process ends within ten seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
