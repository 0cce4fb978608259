"""Plugins that misbehave are listed as broken, with a reason that helps, and everything else works."""

import json

import pytest

from bench.metrics import IMAGE_METRICS
from tests.conftest import Bench, toy_detector

BROKEN = {
    "raises": ("\nraise RuntimeError('no GPU, no fun')", "RuntimeError: no GPU, no fun (raises.py, line 2)"),
    "exits": ("import sys; sys.exit(3)", "SystemExit"),
    "needs": ("import a_package_nobody_has", "install the missing package"),
    "syntax": ("def broken(:", "SyntaxError"),
    "misspells": (
        "import bench\n@bench.hookimpl\ndef bench_detector():\n    return []",
        "'bench_detector' is no hook of bench: did you mean bench_detectors?",
    ),
    "signature": (
        "import bench\n@bench.hookimpl\ndef bench_detectors(config):\n    return []",
        "wrong signature",
    ),
    "nothing": ("import bench", "implements no hook"),
    "not_a_list": ("import bench\n@bench.hookimpl\ndef bench_detectors():\n    return 5", "returned int"),
    "wrong_kind": ("import bench\n@bench.hookimpl\ndef bench_detectors():\n    return ['salad']", "offers a str"),
    "newer_api": (toy_detector("future").replace('version="1",', 'version="1", api=99,'), "version 99"),
    "no_smoke": (toy_detector("fireless").replace('"smoke"', '"fire"'), "no preset 'smoke'"),
    "bad_name": (toy_detector("Bad Name"), "'Bad Name'"),
    "bad_config": (
        toy_detector("unlucky").replace("lambda: Config", "lambda: 1 / 0"),
        "'unlucky': its default configuration fails: ZeroDivisionError",
    ),
    "impostor_metric": (
        "import bench\n@bench.hookimpl\ndef bench_metrics():\n"
        "    return [bench.MetricSpec('auroc', '1', 's', True, max)]",
        "metric 'auroc' is built in",
    ),
}


def plugins(bench: Bench, **changes: str) -> dict[str, dict[str, object]]:
    done = bench("list", "plugins", "--json", **changes)
    assert done.returncode == 0, done.stderr
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}


def test_broken_plugins_are_listed_with_a_reason_and_break_nothing(bench: Bench) -> None:
    for name, (source, _) in BROKEN.items():
        bench.add_plugin(name, source)
    bench.add_plugin("good", toy_detector("good"))
    found = plugins(bench)
    for name, (_, reason) in BROKEN.items():
        assert found[name]["status"] == "broken", name
        assert reason in found[name]["reason"], (name, found[name]["reason"])
    assert found["good"]["status"] == "ok"
    assert found["good"]["detectors"] == ["good"]
    assert found["good"]["hooks"] == ["bench_detectors"]
    keys = ("name", "distribution", "version", "status", "reason", "hooks", "detectors", "import_seconds")
    assert tuple(found["good"]) == keys
    assert found["salad"]["status"] == "ok"
    strict = bench("list", "plugins", BENCH_STRICT_PLUGINS="1")
    assert strict.returncode == 3
    assert "no GPU, no fun" in strict.stderr


def test_a_name_offered_twice_belongs_to_nobody(bench: Bench) -> None:
    bench.add_plugin("impostor", toy_detector("salad"), distribution="shiny-new-package")
    found = plugins(bench)
    for name in ("impostor", "salad"):
        assert found[name]["status"] == "broken"
        assert "shiny-new-package" in found[name]["reason"]
        assert "salad-bench" in found[name]["reason"]
    done = bench("run", "--detectors", "salad")
    assert done.returncode == 3
    assert "--no-plugin" in done.stderr
    blocked = bench("list", "detectors", "--json", "--no-plugin", "impostor")
    assert "salad" in {detector["name"] for detector in json.loads(blocked.stdout)["detectors"]}


def test_entry_points_of_one_name_both_work(bench: Bench) -> None:
    bench.add_plugin("detectors", toy_detector("first"), distribution="one")
    bench.add_plugin("other", toy_detector("second"), distribution="two")
    points = bench.folder / "site" / "two-1.0.dist-info" / "entry_points.txt"
    points.write_text("[bench]\ndetectors = other\n")
    done = bench("list", "plugins", "--json")
    found = [plugin for plugin in json.loads(done.stdout)["plugins"] if plugin["name"] == "detectors"]
    assert [(plugin["status"], plugin["detectors"]) for plugin in found] == [("ok", ["first"]), ("ok", ["second"])]


def test_a_detector_of_a_broken_plugin_is_not_just_unknown(bench: Bench) -> None:
    bench.add_plugin("sad", "raise RuntimeError('no luck')")
    done = bench("check", "sad")
    assert done.returncode == 3
    assert "no detector 'sad': plugin 'sad' is broken: RuntimeError: no luck" in done.stderr


def test_blocked_plugins_are_not_imported(bench: Bench) -> None:
    bench.add_plugin("loud", "raise RuntimeError('imported')")
    assert plugins(bench, BENCH_DISABLE_PLUGINS="loud,baselines")["loud"]["status"] == "blocked"


def test_slow_import_shows_its_time(bench: Bench) -> None:
    bench.add_plugin("slow", "import time; time.sleep(1.1)\n" + toy_detector("sleepy"))
    slow = plugins(bench)["slow"]
    assert slow["status"] == "ok"
    assert slow["import_seconds"] >= 1.1
    assert slow["reason"].startswith("slow: importing it takes 1.")
    assert plugins(bench)["salad"]["reason"] == ""


EXITS = """
import bench
@bench.hookimpl
def bench_cell_finished(record):
    raise SystemExit("tired")
"""
NOTIFIED = """
import bench, pathlib
@bench.hookimpl
def bench_cell_finished(record, folder):
    pathlib.Path("told.txt").write_text(f"{record.status} {(folder / 'record.json').exists()}")
@bench.hookimpl
def bench_run_finished(records):
    raise RuntimeError(f"{len(records)} records")
"""
METRIC = """
import bench
@bench.hookimpl
def bench_metrics():
    return [bench.MetricSpec("mean_gap", "1", "difference of means", True,
            lambda labels, scores, tune: scores[labels == 1].mean() - scores[labels == 0].mean())]
"""


def test_metrics_and_notify_hooks_are_called(bench: Bench) -> None:
    bench.add_plugin("notified", NOTIFIED)
    bench.add_plugin("metric", METRIC)
    bench.add_plugin("exits", EXITS)
    bench.add_plugin("greedy", METRIC.replace("mean_gap", "greedy").replace("scores[labels == 1].mean()", "exit(3)"))
    done = bench("run", "--detectors", "mean-intensity", "--tasks", "cxr-phantom")
    assert done.returncode == 0, done.stderr
    assert "bench_cell_finished of plugin 'exits' failed: " in done.stderr
    assert "mean-intensity · seed 0: metric 'greedy' failed" in done.stderr
    assert "bench_run_finished of plugin 'notified' failed: RuntimeError: 1 records" in done.stderr
    assert (bench.folder / "told.txt").read_text() == "ok True"
    (record,) = bench.records()
    assert "greedy" in record["reason"]
    assert set(record["metrics"]) == {*IMAGE_METRICS, "mean_gap"}
    gap = record["metrics"]["mean_gap"]
    assert gap["low"] < gap["value"] < gap["high"]
    assert bench("publish", str(bench.results), "--to", str(bench.folder / "published")).returncode == 0


@pytest.mark.parametrize("kind", ["detectors", "tasks", "plugins"])
def test_lists_print_for_people_too(bench: Bench, kind: str) -> None:
    done = bench("list", kind)
    assert done.returncode == 0
    assert {"detectors": "salad", "tasks": "chest-xray", "plugins": "baselines"}[kind] in done.stdout


def test_list_of_plugins_shows_whatever_they_offer(bench: Bench) -> None:
    bench.add_plugin("metric", METRIC)
    bench.add_plugin("notified", NOTIFIED)
    shown = bench("list", "plugins", COLUMNS="200").stdout
    assert "metric mean_gap" in shown
    assert "tasks oct-phantom, cxr-phantom, chest-xray" in shown
    assert "cell_finished, run_finished" in shown


def test_unknown_kind_of_list(bench: Bench) -> None:
    done = bench("list", "detector")
    assert done.returncode == 2
    assert "did you mean detectors" in done.stderr
