"""bench score, compare and verify on the published results, as a newcomer runs them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.inside import Place

RESULTS = ROOT / "results"


@pytest.fixture
def bench(inside: Place) -> Place:
    """For most of these tests, a process of its own would prove nothing."""
    return inside


@pytest.fixture(autouse=True)
def published(bench: Place) -> None:
    """The commands' own default, as in a checkout."""
    (bench.folder / "results").symlink_to(RESULTS)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of one published task."""
    for part in ("runs/oct2017", "manifests/oct2017", "audits/oct2017"):
        shutil.copytree(RESULTS / part, tmp_path / "copy" / part)
    return tmp_path / "copy"


def test_published_results_verify(bench: Place) -> None:
    done = bench("verify", str(RESULTS))
    assert done.returncode == 0, done.stdout
    assert "record(s) verified" in done.stdout
    assert json.loads(bench("verify", str(RESULTS), "--json").stdout)["problems"] == []


def test_published_checksums_are_what_sha256sum_reads() -> None:
    done = subprocess.run(["sha256sum", "--check", "--quiet", "checksums.txt"], cwd=RESULTS, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_an_edited_metric_is_named_with_exit_1(bench: Place, results: Path) -> None:
    path = next(results.glob("runs/oct2017/salad/*/record.json"))
    record = json.loads(path.read_text())
    record["metrics"]["auroc"]["value"] -= 0.01
    path.write_text(json.dumps(record))
    done = bench("verify", str(results))
    assert done.returncode == 1
    assert path.parent.name in done.stdout and "in the record" in done.stdout
    assert bench("verify", str(results), "--json").returncode == 1


def test_compare_two(bench: Place) -> None:
    told = json.loads(bench("compare", "salad", "ganomaly", "--task", "oct2017", "--json").stdout)
    assert told["low"] <= told["difference"] <= told["high"]
    assert told["n_images"] == 1000 and told["n_patients"] == 721 and told["n_seeds"] == 3
    assert [one["category"] for one in told["categories"]] == ["CNV", "DME", "DRUSEN"]
    text = bench("compare", "salad", "ganomaly", "--task", "oct2017").stdout
    assert f"{told['difference']:+.3f} [{told['low']:+.3f}, {told['high']:+.3f}]" in text
    assert "DRUSEN" in text
    every = (told, *told["categories"])
    assert text.count("80 % power") == sum(one["p_adjusted"] >= 0.05 for one in every)


def test_compare_all(bench: Place, tmp_path: Path) -> None:
    done = bench("compare", "--all", "--plot", str(tmp_path / "cd.svg"))
    assert done.returncode == 0
    assert "Friedman p" in done.stdout and "P(highest AUROC)" in done.stdout
    assert b"</svg>" in (tmp_path / "cd.svg").read_bytes()
    told = json.loads(bench("compare", "--all", "--json").stdout)
    assert told["across"]["tasks"] == ["chest-xray", "oct2017"]
    published = [len(list(task.iterdir())) for task in (RESULTS / "runs").iterdir()]
    assert len(told["comparisons"]) == sum(detectors * (detectors - 1) // 2 for detectors in published)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compare", "salad"], "at least two detectors"),
        (["compare"], "at least two detectors"),
        (["compare", "salad", "ganomaly", "--all"], "at least two detectors"),
        (["compare", "salad", "ganomali"], "did you mean ganomaly"),
        (["compare", "salad", "ganomaly", "--task", "nowhere"], "no record of task nowhere"),
        (["compare", "salad", "ganomaly", "--plot", "cd.png"], "--plot belongs to --all"),
        (["compare", "--all", "--plot", "cd.gif"], "ends in .png"),
        (["compare", "salad", "ganomaly", "--results", "nowhere"], "is not a folder"),
        (["verify", "nowhere"], "is not a folder"),
        (["score", "nowhere"], "no finished record"),
        (["score", "results", "--metrics", "aurok"], "did you mean auroc"),
        (["score", "results", "--by", "categori"], "did you mean category"),
        (["score", "results", "--by", "sex"], "do not say 'sex'"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_2(bench: Place, arguments: list[str], named: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert named in " ".join(done.stderr.split())


def test_records_of_other_images_are_exit_2(bench: Place, results: Path) -> None:
    shutil.copytree(RESULTS / "runs/chest-xray/knn", results / "runs/chest-xray/knn")
    shutil.rmtree(results / "runs/oct2017/knn")
    done = bench("compare", "salad", "knn", "--results", str(results))
    assert done.returncode == 2
    assert "not run on the same images" in done.stderr


def test_score_shows_writes_and_repairs(bench: Place, results: Path) -> None:
    path = next(results.glob("runs/oct2017/pca/*/record.json"))
    record = json.loads(path.read_text())
    before = record["metrics"].pop("average_precision")
    path.write_text(json.dumps(record, indent=1) + "\n")
    assert bench("verify", str(results)).returncode == 1
    done = bench("score", str(results), "--write", "--metrics", "average_precision", "--json")
    records = len(list(results.glob("runs/*/*/*/record.json")))
    assert f"1 of {records} finished record(s) have new metrics" in done.stderr
    shown = {row["detector"]: row["metrics"]["average_precision"] for row in json.loads(done.stdout)}
    assert shown["pca"]["value"] == before["value"]
    assert json.loads(path.read_text())["metrics"]["average_precision"] == before
    assert bench("verify", str(results)).returncode == 0


def test_score_at_another_specificity_and_by_category(bench: Place) -> None:
    only = ("--task", "oct2017", "--detectors", "salad,knn")
    text = bench("score", "results", *only, "--specificity", "0.9").stdout
    assert "tune_sensitivity_at_90_specificity" in text and "false_alarm_gap_at_90_specificity" in text
    text = bench("score", "results", *only, "--by", "category").stdout
    assert "DRUSEN" in text and "460 + 82" in text
    (salad, knn) = json.loads(bench("score", "results", *only, "--by", "patient", "--json").stdout)
    assert {salad["detector"], knn["detector"]} == {"salad", "knn"}
    assert salad["low"] < salad["value"] < salad["high"]


def test_published_results_that_were_edited_are_not_scored_over(bench: Place, results: Path) -> None:
    shutil.copy(RESULTS / "checksums.txt", results)
    done = bench("score", str(results), "--write")
    assert done.returncode == 1
    assert "was changed by hand" in done.stderr  # the other tasks' files are missing from this copy


@pytest.mark.parametrize("command", ["score", "verify", "compare"])
def test_no_torch_is_imported(command: str) -> None:
    arguments = {"score": ["results", "--by", "category"], "verify": ["results"], "compare": ["--all"]}[command]
    code = (
        "import sys; from bench.cli import main; sys.argv[1:] = "
        f"{[command, *arguments]!r}; code = main(); assert code == 0, code; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
