"""What a worker is handed tells nothing of data and diagnoses; what it sends breaks nothing in the parent."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Bench, toy_detector
from tests.integration.hostile import gone, snoop

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the hostile detectors look into /proc")
Run = Callable[..., subprocess.CompletedProcess[str]]
CLASSES = {"NORMAL", "PNEUMONIA"}


@pytest.fixture
def found(bench: Bench, run_toy: Run, chest_data: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What a detector finds in ``fit`` and in ``anomaly_scores``, in surroundings that name the data in many ways."""
    bench.add_plugin("snoop", snoop(str(tmp_path / "found.json")))
    inside = chest_data / "code"
    inside.mkdir()
    done = run_toy(
        "--detectors",
        "snoop",
        BENCH_DATA=str(chest_data),
        SCANS=f"file://{chest_data}/chest_xray",
        OLDPWD=str(chest_data),
        PWD=str(chest_data),
        LD_LIBRARY_PATH=f"{chest_data}/lib:/usr/lib",
        RESULTS=str(bench.results),
        KEPT="words",
        PYTHONPATH=os.pathsep.join([str(inside), bench.environment["PYTHONPATH"]]),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads((tmp_path / "found.json").read_text())
    assert set(found) == {"fit", "anomaly_scores"}
    return found


def test_nothing_handed_to_a_worker_names_data_results_images_or_patients(
    bench: Bench, found: dict[str, dict[str, Any]], chest_data: Path
) -> None:
    (scores,) = bench.results.glob("runs/*/*/*/scores.parquet")
    table = pd.read_parquet(scores)
    files = {path.name for path in chest_data.rglob("*.jpeg")} | {path.stem for path in chest_data.rglob("*.jpeg")}
    secret = {str(chest_data), str(bench.results), *files, *table["image_id"], *table["patient"].dropna()}
    assert len(secret) > 150
    for where, seen in found.items():
        for what, value in seen.items():
            text = json.dumps(value)
            named = [word for word in secret if word in text]
            assert not named, (where, what, named)
            if what != "strings":  # class names are words of documentation too
                assert not [word for word in CLASSES if word in text], (where, what)
            if what not in ("strings", "environment", "first environment"):
                assert str(bench.folder / "cache") not in text, (where, what)


def test_worker_keeps_ordinary_variables_and_loses_those_about_data(found: dict[str, dict[str, Any]]) -> None:
    environment = found["fit"]["environment"]
    assert environment["KEPT"] == "words"
    assert environment["LD_LIBRARY_PATH"] == "/usr/lib"
    assert environment["TMPDIR"] == found["fit"]["working folder"][0]
    assert not {"SCANS", "RESULTS", "PWD", "OLDPWD", "BENCH_DATA", "BENCH_CACHE"} & set(environment)


def test_worker_starts_in_an_empty_folder_with_its_log_and_one_channel(found: dict[str, dict[str, Any]]) -> None:
    for seen in found.values():
        assert seen["working folder"][1] == seen["scratch"] == []
        assert seen["job"] == [seen["working folder"][0]]
        targets = list(seen["descriptors"].values())
        logs = [target for target in targets if target.endswith("(deleted)")]
        pipes = [target for target in targets if target.startswith("pipe:")]
        assert (len(logs), len(pipes)) == (2, 1), targets
        assert {*targets} - {*logs, *pipes} == {"/dev/null"}


def test_no_frame_holds_a_value_for_each_image_but_the_images(found: dict[str, dict[str, Any]]) -> None:
    for seen in found.values():
        held = {(name, kind) for name, kind, length in seen["lengths"] if length == seen["count"]}
        assert held <= {("images", "ndarray"), ("normal", "ndarray"), ("chunk", "ndarray")}, held


SHOUT = """
        import os
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{{name}}").startswith("pipe:"):
                    for line in {lines!r}:
                        rest = line
                        while rest:
                            rest = rest[os.write(int(name), rest):]
            except OSError:
                pass
"""
NONSENSE = [
    b'{"event": "progress", "phase": "fit", "surprise": 1}\n',
    b'{"event": "progress", "phase": 1, "done": "x", "total": [], "scalars": null}\n',
    b'{"event": "progress", "phase": "\\u001b[31m[/red] wide", "done": 1, "total": 1, "scalars": {"[/x]": 1}}\n',
    b'{"event": "progress", "phase": "fit", "done": 1e400, "total": -1, "scalars": {}}\n',
    b'{"event": "error"}\n{"event": "error", "status": "ok", "reason": "all is well"}\n',
    b'{"event": "scored", "fit_seconds": "fast", "score_seconds": NaN}\n',
    b'{"event": "device", "device": ["gpu"], "precision": "float8"}\n',
    b'{"event": "exit", "code": "zero"}\n{"event": ["exit"]}\n{"event": {}}\nnull\n3\n"event"\n[]\n\n',
    b"\xff\xfe\x00\n",
    b"[" * 200_000 + b"\n",
    b"9" * 50_000 + b"\n",
    b"x" * 3_000_000 + b"\n",
]


def test_events_that_are_none_are_ignored(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("loud", toy_detector("loud", fit=SHOUT.format(lines=NONSENSE), score=SHOUT.format(lines=NONSENSE)))
    done = run_toy("--detectors", "loud", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"][0]["status"] == "ok"
    assert "\x1b" not in done.stderr
    (record,) = bench.records()
    assert record["cost"]["device"] == "cpu"
    assert record["cost"]["peak_rss_bytes"] > 1 << 20


def test_forged_end_and_forged_reason_cost_one_cell(bench: Bench, run_toy: Run) -> None:
    end = b'{"event": "exit", "code": 0, "peak_rss_bytes": 1}\n'
    bench.add_plugin(
        "quitter", toy_detector("quitter", fit=SHOUT.format(lines=[end]) + "\n        import time; time.sleep(9)")
    )
    bench.add_plugin("painter", toy_detector("painter", fit="raise ValueError(chr(27) + '[31m[/red] gone')"))
    bench.add_plugin("good", toy_detector("good"))
    done = run_toy("--detectors", "quitter,painter,good", "--json")
    assert done.returncode == 1, done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "quitter": "failed",
        "painter": "failed",
        "good": "ok",
    }
    assert rows["painter"]["reason"] == "ValueError: ?[31m[/red] gone"
    assert run_toy("--detectors", "painter").returncode == 1


SCORES_FILES = {
    "link": "os.symlink(__file__, path)",
    "folder": "os.mkdir(path)",
    "pipe": "os.mkfifo(path)",
    "missing": "pass",
    "empty": "open(path, 'w')",
    "vast": "os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 1 << 40)",
    "header": "open(path, 'wb').write(HEADER)",
    "pickle": "save(path, np.array([Evil()] * len(scores), object), allow_pickle=True)",
    "whole": "save(path, scores.astype(np.float32))",
}
REPLACE_SAVE = """import os
        HEADER = b"\\x93NUMPY\\x01\\x00v\\x00{{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }}"
        class Evil:
            def __reduce__(self):
                return (os.system, ("touch {marker}",))
        save = np.save
        def replaced(path, scores, allow_pickle):
            {statement}
        np.save = replaced"""


def test_scores_file_that_is_something_else_costs_one_cell(bench: Bench, run_toy: Run, tmp_path: Path) -> None:
    marker = tmp_path / "unpickled"
    for kind, statement in SCORES_FILES.items():
        source = REPLACE_SAVE.format(statement=statement, marker=marker)
        bench.add_plugin(f"bad_{kind}", toy_detector(f"bad-{kind}", score=source))
    bench.add_plugin("good", toy_detector("good"))
    started = time.monotonic()
    done = run_toy(
        "--detectors", ",".join([*(f"bad-{kind}" for kind in SCORES_FILES), "good"]), "--json", "--jobs", "2"
    )
    assert done.returncode == 1, done.stderr
    assert time.monotonic() - started < 90
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    for kind in SCORES_FILES:
        assert rows[f"bad-{kind}"]["status"] == "failed", kind
        assert "the scores cannot be used" in rows[f"bad-{kind}"]["reason"], (kind, rows[f"bad-{kind}"])
    assert rows["good"]["status"] == "ok"
    assert not marker.exists()


def test_stopping_the_guard_does_not_stop_the_clock(bench: Bench, run_toy: Run, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    stop = (
        f"import os, signal, time; open({str(marker)!r}, 'w').write(str(os.getpid())); "
        "os.kill(os.getppid(), signal.SIGSTOP); time.sleep(600)"
    )
    bench.add_plugin("stopper", toy_detector("stopper", fit=stop))
    started = time.monotonic()
    done = run_toy("--detectors", "stopper", "--timeout", "3", "--json")
    assert time.monotonic() - started < 60
    assert json.loads(done.stdout)["rows"][0]["status"] == "timeout", done.stderr
    assert gone(int(marker.read_text()))
