"""bench submit and bench leaderboard merge, attest, check and migrate, as contributors and maintainers run them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bench.report.published import write_leaderboard
from bench.results.store import Store
from tests.conftest import ROOT, Bench
from tests.inside import Place
from tests.unit.record_factory import add_record
from tests.unit.submissions import edit, published, submitted, write_archive


@pytest.fixture
def bench(inside: Place) -> Place:
    """For most of these tests, a process of its own would prove nothing."""
    return inside


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("original"))


@pytest.fixture
def results(tmp_path: Path, original: Path) -> Path:
    """Published results under the commands' own default."""
    return Path(shutil.copytree(original, tmp_path / "results"))


def test_it_works_from_a_shell(results: Path) -> None:
    shell = Bench(results.parent)
    write_archive(shell.folder / "submission.zip", submitted(shell.results))
    done = shell("leaderboard", "merge", "submission.zip")
    assert done.returncode == 0 and "1 record(s) added to results" in done.stderr


def test_from_a_run_to_the_leaderboard(bench: Place, results: Path) -> None:
    record = add_record(Store(bench.results), detector="novel", gap=2.0)
    done = bench("submit", record.cell[:6])
    assert done.returncode == 0, done.stderr
    assert "submission.zip: 1 record(s)" in done.stdout and "nothing was found against it" in done.stdout
    dry = bench("leaderboard", "merge", "submission.zip", "--dry-run")
    assert dry.returncode == 0 and "1 record(s) would be added" in dry.stderr
    assert not list(results.glob("runs/*/novel"))
    done = bench("leaderboard", "merge", "submission.zip", "--by", "A. Person")
    assert done.returncode == 0, done.stderr
    assert done.stdout == dry.stdout and "rank before" in done.stdout
    assert f"chest-xray novel@default 1 seed 0: {record.cell} (says that it is of d 1)" in done.stdout
    assert [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("novel")] == [["novel", "new"]]
    assert bench("leaderboard", "check").returncode == 0
    assert bench("verify", "--deep").returncode == 0
    assert json.loads((results / "attestations.json").read_text())[0]["by"] == "A. Person"
    assert "Followed up: metrics recomputed" in " ".join(bench("leaderboard", "table").stdout.split())
    again = bench("leaderboard", "merge", "submission.zip")
    assert again.returncode == 1 and "is there already" in again.stderr


def test_a_submission_that_would_be_refused_is_not_made(bench: Place, results: Path) -> None:
    store = Store(bench.results)
    add_record(store, detector="novel", variant="smoke", citation="", gap=2.0)
    add_record(store, detector="toy")
    done = bench("submit", "bench-runs")
    assert done.returncode == 1 and not (bench.folder / "submission.zip").exists()
    assert "is refused, for 3 reason(s)" in done.stderr
    assert all(named in done.stderr for named in ("smoke", "no citation", "there already"))
    done = bench("submit", "bench-runs/runs/chest-xray/novel", "--against", "nowhere")
    assert "there are no published results in nowhere" in done.stderr and "for 2 reason(s)" in done.stderr


def test_without_published_results_the_own_manifest_is_taken(bench: Place) -> None:
    add_record(Store(bench.results), detector="novel")
    done = bench("submit", "bench-runs", "--out", "mine.zip")
    assert done.returncode == 0 and (bench.folder / "mine.zip").exists(), done.stderr


def test_a_task_that_is_not_known_is_refused_with_what_to_do(bench: Place, results: Path) -> None:
    shutil.rmtree(results)
    (results / "manifests").mkdir(parents=True)
    write_archive(bench.folder / "submission.zip", submitted(bench.folder / "runs"))
    done = bench("leaderboard", "merge", "submission.zip")
    assert done.returncode == 1
    assert "bench run --detectors random --tasks chest-xray --data DIR and bench publish" in done.stderr


def test_nothing_of_a_hostile_submission_reaches_the_terminal(bench: Place, results: Path) -> None:
    files = edit(submitted(bench.folder / "runs"), detector__name="\x1b[2J<script>\u202e" + "x" * 10_000)
    write_archive(bench.folder / "submission.zip", files)
    done = bench("leaderboard", "merge", "submission.zip")
    assert done.returncode == 1
    assert done.stderr.isascii() and "\x1b" not in done.stderr and len(done.stderr) < 5000


def test_attest_demands_a_second_run(bench: Place, results: Path) -> None:
    (_, record) = next(Store(results).records())
    second = Store(bench.folder / "second")
    other = add_record(second, seed=record.seed, detector=record.detector.name)
    attest = ("leaderboard", "attest", "results", record.cell, "--by", "us", "--rerun", "second", "--badge")
    done = bench(*attest, "rerun")
    assert done.returncode == 1 and "its times are the same" in done.stderr
    second.replace(other.model_copy(update={"cost": other.cost.model_copy(update={"fit_seconds": 1.0})}))
    assert bench(*attest, "rerun").returncode == 0
    assert bench(*attest, "reproduced").returncode == 0
    assert bench(*attest, "recomputed").returncode == 2
    strange = bench("leaderboard", "attest", "results", "second", "--badge", "rerun", "--by", "us", "--rerun", "second")
    assert strange.returncode == 2 and "is no cell of results" in strange.stderr
    assert [one["badge"] for one in json.loads((results / "attestations.json").read_text())] == ["rerun", "reproduced"]
    assert bench("leaderboard", "check").returncode == 0


def test_check_names_the_file_and_the_command(bench: Place, results: Path) -> None:
    tables = results / "leaderboard" / "tables.md"
    tables.write_text(tables.read_text().replace("toy", "joy"))
    done = bench("leaderboard", "check")
    assert done.returncode == 1
    assert "leaderboard/tables.md: it is not what the records give: run bench score results --write" in done.stdout
    assert bench("score", "results", "--write", "--metrics", "auroc").returncode == 0
    assert bench("leaderboard", "check").returncode == 0
    assert bench("leaderboard", "check", "nowhere").returncode == 2


def test_migrate_says_that_there_is_nothing_to_do_and_refuses_newer_records(bench: Place, results: Path) -> None:
    done = bench("leaderboard", "migrate")
    assert done.returncode == 0 and "0 of 4 record(s) of results brought to schema 1" in done.stdout
    path = next(results.glob("runs/*/*/*/record.json"))
    newer = path.read_text().replace('"schema": 1', '"schema": 2')
    path.write_text(newer)
    done = bench("leaderboard", "migrate")
    assert done.returncode == 1 and "changed by hand" in done.stderr
    (results / "checksums.txt").unlink()
    done = bench("leaderboard", "migrate")
    assert done.returncode == 1 and "has schema 2" in done.stderr and path.read_text() == newer


def test_the_committed_leaderboard_is_what_the_records_give(bench: Place) -> None:
    done = bench("leaderboard", "check", str(ROOT / "results"))
    assert done.returncode == 0, done.stdout


def test_pull_requests_run_without_rights_and_comments_without_their_code() -> None:
    """The job that reads a stranger's files cannot write; the one that writes runs none of their code."""
    folder = ROOT / ".github" / "workflows"
    board, comment = (yaml.safe_load((folder / f"{name}.yml").read_text()) for name in ("leaderboard", "comment"))
    assert set(board[True]) == {"pull_request", "push"}  # yaml reads the key "on" as true
    assert board["permissions"] == {"contents": "read"}
    assert "permissions" not in board["jobs"]["verify"]
    assert board["jobs"]["publish"]["if"] == "github.event_name == 'push'"
    assert comment[True]["workflow_run"]["workflows"] == [board["name"]]
    assert not any("checkout" in step.get("uses", "") for step in comment["jobs"]["comment"]["steps"])
    for workflow in (board, comment):
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                assert "${{" not in step.get("run", ""), "no text of a pull request is put into a script"


def test_write_leaderboard_is_what_check_compares(tmp_path: Path, bench: Place) -> None:
    add_record(Store(tmp_path))
    write_leaderboard(tmp_path)
    assert bench("leaderboard", "check", str(tmp_path)).returncode == 0


GH = """#!/usr/bin/env python3
import json, sys
with open("calls", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "api":
    print(7)
"""


@pytest.mark.parametrize("report", ["``` @everyone <script>\x1b[2J\u202e\n" * 3000, "", None])
def test_the_comment_is_a_block_of_text(tmp_path: Path, report: str | None) -> None:
    """The script of the workflow, with a report that tries to get out of it, and a branch that holds a command."""
    (tmp_path / "report").mkdir()
    if report is not None:
        (tmp_path / "report" / "report.txt").write_text(report)
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "comment.yml").read_text())
    script = workflow["jobs"]["comment"]["steps"][1]["run"]
    known = {"REPOSITORY": "us/bench", "OWNER": "them", "BRANCH": "$(touch shell)&state=all", "SHA": "a" * 40}
    environment = {**os.environ, **known, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if not report:
        assert not (tmp_path / "calls").exists()
        return
    asked, posted = (json.loads(line) for line in (tmp_path / "calls").read_text().splitlines())
    assert asked[:4] == ["api", "-X", "GET", "repos/us/bench/pulls"] and "head=them:$(touch shell)&state=all" in asked
    assert posted == ["pr", "comment", "7", "--repo", "us/bench", "--body-file", "body.md"]
    body = (tmp_path / "body.md").read_text()
    assert body.count("`") == 8 and body.endswith("\n````\n") and len(body) < 32_000
    assert "\x1b" not in body and "\u202e" not in body and not (tmp_path / "shell").exists()
