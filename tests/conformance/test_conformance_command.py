"""`bench check` as an author sees it."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Bench

CHECK_KEYS = {"check", "status", "why", "seconds", "more"}


@pytest.fixture(autouse=True)
def plugin(bench: Bench) -> None:
    bench.add_plugin("faulty_plugin", "from tests.conformance.faulty import bench_detectors")


def test_a_good_detector_passes_and_every_check_has_a_line(bench: Bench) -> None:
    from bench.conformance import CHECKS

    done = bench("check", "honest")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[1:-2]] == [["pass", check.name] for check in CHECKS]
    assert f"{len(CHECKS)} passed" in done.stdout


def test_a_faulty_one_is_told_what_is_wrong_and_where_to_read_more(bench: Bench) -> None:
    done = bench("check", "min-max", "--json")
    assert done.returncode == 1
    (entry,) = json.loads(done.stdout)["detectors"]
    assert (entry["name"], entry["passed"], entry["preset"]) == ("min-max", False, "smoke")
    assert all(set(check) == CHECK_KEYS for check in entry["checks"])
    (companions,) = (check for check in entry["checks"] if check["check"] == "companions")
    assert companions["status"] == "fail"
    assert "depends on the images beside it" in companions["why"]
    explained = bench(*companions["more"].split()[1:])
    assert explained.returncode == 0
    assert "held-out normals" in explained.stdout
    spoken = bench("check", "min-max")
    assert "depends on the images beside it" in spoken.stdout
    assert "bench check --explain companions" in spoken.stdout


def test_a_crash_fails_a_check_and_the_others_still_run(bench: Bench) -> None:
    done = bench("check", "crashes", "--json")
    assert done.returncode == 1
    (entry,) = json.loads(done.stdout)["detectors"]
    found = {check["check"]: check for check in entry["checks"]}
    assert found["presets"]["status"] == "pass"
    assert found["score-shape"]["status"] == "fail"
    assert "SIGKILL" in found["score-shape"]["why"]
    assert found["known-failures"]["status"] == "pass"
    assert len(found) == len(entry["checks"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["honets"], "did you mean honest"),
        (["--explain", "companion"], "did you mean companions"),
        ([], "name a detector"),
    ],
)
def test_usage(bench: Bench, arguments: list[str], words: str) -> None:
    done = bench("check", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_known_failures_are_shown_with_their_reasons(bench: Bench) -> None:
    done = bench("check", "random")
    assert done.returncode == 0
    assert "known   auroc" in done.stdout
    assert "at chance on purpose" in done.stdout


def test_checks_run_in_an_authors_own_pytest(bench: Bench) -> None:
    import subprocess
    import sys

    test = bench.folder / "test_mine.py"
    test.write_text(
        "from bench.conformance import parametrize_with_checks\n"
        "@parametrize_with_checks(['honest', 'min-max', 'random', 'unneeded-excuse'])\n"
        "def test_contract(check):\n    check()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        cwd=bench.folder,
        env=bench.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    failures = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    names = {failure.partition("[")[2].rstrip("]") for failure in failures}
    assert names == {"min-max-companions", "min-max-chunks", "unneeded-excuse-auroc"}, done.stdout
    assert "1 xfailed" in done.stdout
    assert "depends on the images beside it" in done.stdout
