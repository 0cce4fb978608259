"""The main job as a user sees it: tables, JSON, CSV, curves, records, reuse, publishing."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.metrics import IMAGE_METRICS
from tests.conftest import ROOT, Bench, shared_data, toy_detector, write_chest_data
from tests.inside import Place

Run = Callable[..., subprocess.CompletedProcess[str]]
RECORD_KEYS = {"schema", "cell", "status", "reason", "log_tail", "task", "detector", "seed", "metrics", "files"} | {
    "cost",
    "environment",
}


def check_record(folder: Path) -> None:
    """A record has the documented keys, and its AUROC is what scikit-learn and Obuchowski's definition give."""
    record = json.loads((folder / "record.json").read_text())
    assert set(record) - {"state"} == RECORD_KEYS  # state: where --keep-state was given
    table = pd.read_parquet(folder / "scores.parquet")
    assert list(table.columns) == ["image_id", "patient", "role", "category", "label", "score"]
    assert set(table["role"]) <= {"tune", "test"}
    test = table[table["role"] == "test"]
    labels, scores = test["label"].to_numpy(), test["score"].to_numpy()
    auroc = record["metrics"]["auroc"]
    assert auroc["value"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert record["metrics"]["average_precision"]["value"] == pytest.approx(
        average_precision_score(labels, scores), abs=1e-12
    )
    if 0 < auroc["value"] < 1:
        low, high = interval_by_definition(labels, scores, test["patient"].fillna(test["image_id"]).to_numpy())
        assert auroc["low"] == pytest.approx(low, abs=1e-9)
        assert auroc["high"] == pytest.approx(high, abs=1e-9)


def interval_by_definition(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> tuple[float, float]:
    """95 % interval from every pair of images (Obuchowski 1997), on the logit scale; independent of bench."""
    wins = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    wins = (wins > 0) + 0.5 * (wins == 0)
    auroc, (m, n) = wins.mean(), wins.shape
    sick = pd.Series(wins.mean(axis=1) - auroc).groupby(patients[labels == 1]).sum()
    healthy = pd.Series(wins.mean(axis=0) - auroc).groupby(patients[labels == 0]).sum()
    variance = (sick**2).sum() * len(sick) / (len(sick) - 1) / m**2
    variance += (healthy**2).sum() * len(healthy) / (len(healthy) - 1) / n**2
    every = len(set(patients))
    shared = sick.index.intersection(healthy.index)
    variance += 2 * (sick[shared] * healthy[shared]).sum() * every / (every - 1) / (m * n)
    middle, half = np.log(auroc / (1 - auroc)), 1.959963984540054 * np.sqrt(variance) / (auroc * (1 - auroc))
    return tuple(1 / (1 + np.exp(-(middle + side * half))) for side in (-1, 1))


def test_json_csv_and_terminal_tell_the_same(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy", score="return np.random.default_rng(run.seed).random(len(images))"))
    done = run_toy("--detectors", "toy,mean-intensity", "--seeds", "2", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    row = rows["toy"]
    assert set(row) == {
        "task", "task_version", "edition", "detector", "version", "variant", "status", "reason", "seeds", "best_rank",
        "worst_rank", "probability_of_top", "fit_seconds", "images_per_second", *IMAGE_METRICS,
    }  # fmt: skip
    assert (row["task"], row["variant"], row["status"], row["seeds"]) == ("chest-xray", "default", "ok", [0, 1])
    assert rows["mean-intensity"]["seeds"] == [0]  # its seed changes nothing
    values = [r["metrics"]["auroc"]["value"] for r in bench.records() if r["detector"]["name"] == "toy"]
    assert len(set(values)) == 2
    assert row["auroc"]["value"] == pytest.approx(np.mean(values), abs=1e-12)
    assert row["auroc"]["low"] < row["auroc"]["value"] < row["auroc"]["high"]
    lines = run_toy("--detectors", "toy,mean-intensity", "--seeds", "2", "--csv").stdout
    table = {line["detector"]: line for line in csv.DictReader(io.StringIO(lines))}
    assert float(table["toy"]["auroc"]) == row["auroc"]["value"]
    assert float(table["toy"]["auroc_high"]) == row["auroc"]["high"]
    text = run_toy("--detectors", "toy,mean-intensity", "--seeds", "2").stdout
    assert f"{row['auroc']['value']:.3f} [{row['auroc']['low']:.3f}, {row['auroc']['high']:.3f}]" in text
    assert "prevalence 50.0%" in text
    for suffix, start in {"png": b"\x89PNG", "svg": b"<?xml"}.items():
        assert (bench.results / "roc" / f"chest-xray.{suffix}").read_bytes().startswith(start)
    for path in bench.results.glob("runs/*/*/*"):
        check_record(path)


def test_second_run_reuses_and_force_recomputes(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy")
    assert "1/1] chest-xray · toy · seed 0: AUROC 1.000, reused" in run_toy("--detectors", "toy").stderr
    assert "reused" not in run_toy("--detectors", "toy", "--force").stderr


def test_variants_are_named(bench: Bench, run_toy: Run, tmp_path: Path) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy", "--set", "toy.power=2.0", "--label", "squared")
    run_toy("--detectors", "toy", "--set", "toy.power=3")
    (tmp_path / "mine.toml").write_text("[toy]\npower = 4.0\n")
    run_toy("--detectors", "toy", "--config", str(tmp_path / "mine.toml"), "--label", "fourth")
    run_toy("--detectors", "toy", "--preset", "smoke")
    found = {record["detector"]["variant"]: record["detector"] for record in bench.records()}
    assert found["squared"]["config"]["power"] == 2.0
    assert found["squared"]["fields_set"] == ["power"]
    assert found["fourth"]["config"]["power"] == 4.0
    assert "smoke" in found
    (unnamed,) = set(found) - {"squared", "fourth", "smoke"}
    assert len(unnamed) == 8
    assert int(unnamed, 16) >= 0


def test_seeds_decide_scores_and_the_same_seed_repeats_them(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy", score="return np.random.random(len(images))"))
    run_toy("--detectors", "toy", "--seeds", "2")
    first = {record["seed"]: record["files"][0]["sha256"] for record in bench.records()}
    run_toy("--detectors", "toy", "--seeds", "2", "--force")
    assert {record["seed"]: record["files"][0]["sha256"] for record in bench.records()} == first
    assert first[0] != first[1]


def test_publish_verifies_and_copies(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy")
    (record,) = bench.records()
    done = bench("publish", record["cell"][:8])
    assert done.returncode == 0, done.stderr
    published = bench.folder / "results" / "runs" / "chest-xray" / "toy" / record["cell"]
    assert json.loads((published / "record.json").read_text()) == record
    manifest = bench.folder / "results" / "manifests" / "chest-xray" / f"{record['task']['manifest_sha256']}.parquet"
    assert not {"path", "mask_path"} & set(pd.read_parquet(manifest).columns)
    table = bench("leaderboard", "table", "--format", "md")
    assert "| toy |" in table.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run."""
    bench = Bench(tmp_path_factory.mktemp("finished"))
    bench.add_plugin("toy", toy_detector("toy"))
    data = write_chest_data(bench.folder / "data")
    done = bench("run", "--detectors", "toy", "--tasks", "chest-xray", "--data", str(data))
    assert done.returncode == 0, done.stderr
    return bench.results


@pytest.mark.parametrize("what", ["metric", "score", "score_and_hash", "label", "manifest", "counts", "half"])
def test_publish_refuses_what_was_edited(inside: Place, finished: Path, what: str) -> None:
    shutil.copytree(finished, inside.results)
    (path,) = inside.results.glob("runs/*/*/*/record.json")
    record, scores = json.loads(path.read_text()), path.with_name("scores.parquet")
    (manifest,) = inside.results.glob("manifests/*/*.parquet")
    if what == "metric":
        record["metrics"]["auroc"]["value"] -= 1e-6
    elif what == "counts":
        record["task"]["counts"]["fit"]["normal"] += 1
    elif what == "manifest":
        table = pd.read_parquet(manifest)
        table.loc[table["role"] == "fit", "patient"] = "one"
        table.to_parquet(manifest)
    elif what == "half":
        scores.write_bytes(scores.read_bytes()[:100])
        record["files"][0]["sha256"] = sha256(scores.read_bytes()).hexdigest()
    else:
        table = pd.read_parquet(scores)
        column, value = ("label", 1) if what == "label" else ("score", 1e6)
        table.loc[table["label"] == 0, column] = value if column == "label" else float(value)
        table.to_parquet(scores)
    if what in ("score_and_hash", "label"):
        record["files"][0]["sha256"] = sha256(scores.read_bytes()).hexdigest()
    path.write_text(json.dumps(record))
    done = inside("publish", str(path.parent))
    assert done.returncode == 1
    assert ("is damaged" if what == "half" else "does not verify") in done.stderr
    assert "Traceback" not in done.stderr
    assert not (inside.folder / "results" / "runs").exists()


def test_smoke_is_never_published(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy", "--preset", "smoke")
    done = bench("publish", str(bench.results))
    assert done.returncode == 1
    assert "smoke" in done.stderr


def test_default_tasks_are_the_phantoms_even_with_data(bench: Bench, chest_data: Path) -> None:
    done = bench("run", "--detectors", "mean-intensity,random", "--json", BENCH_DATA=str(chest_data))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {row["task"] for row in rows} == {"oct-phantom", "cxr-phantom"}
    assert all(0.35 < row["auroc"]["value"] < 0.65 for row in rows)
    assert "SYNTHETIC" in bench("run", "--detectors", "mean-intensity").stdout


def test_all_detectors_smoke_on_a_phantom(bench: Bench) -> None:
    done = bench("run", "--detectors", "all", "--preset", "smoke", "--tasks", "cxr-phantom-few-64", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    floors = {"knn", "pca", "mean-intensity", "random"}
    assert set(rows) >= {"salad", "salad-timm", "ganomaly", "fanogan", "memae", "vae", "ae", "deepsvdd"} | floors
    assert {row["status"] for row in rows.values()} == {"ok"}
    for path in bench.results.glob("runs/*/*/*"):
        check_record(path)


def test_published_results_of_this_project_hold() -> None:
    folders = sorted((ROOT / "results").glob("runs/*/*/*"))
    assert folders, "results/ has no records"
    for folder in folders:
        check_record(folder)


def test_real_images_split_as_published(bench: Bench) -> None:
    data = shared_data()
    done = bench("run", "--detectors", "mean-intensity", "--tasks", "chest-xray", "--data", str(data), "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["tasks"][0]["counts"]
    assert counts["test"] == {"normal": 234, "anomalous": 390}
    assert counts["fit"]["normal"] + counts["tune"]["normal"] == 1349
    assert counts["pool"] == {"normal": 0, "anomalous": 3883}
    (path,) = bench.results.glob("manifests/chest-xray/*.parquet")
    manifest = pd.read_parquet(path)
    normals = manifest[manifest["label"] == 0].dropna(subset="patient")
    roles = [set(group) for _, group in normals.groupby("patient")["role"]]
    assert not any({"fit", "tune"} <= found or ("test" in found and len(found) > 1) for found in roles)


def test_damaged_scores_are_computed_again(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy")
    (scores,) = bench.results.glob("runs/*/*/*/scores.parquet")
    good = scores.read_bytes()
    scores.write_bytes(good[:100])
    done = run_toy("--detectors", "toy")
    assert done.returncode == 0, done.stderr
    assert "its scores are missing or damaged" in done.stderr
    assert scores.read_bytes() == good


def test_record_of_a_newer_bench_is_never_touched(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    run_toy("--detectors", "toy")
    (path,) = bench.results.glob("runs/*/*/*/record.json")
    newer = json.dumps({**json.loads(path.read_text()), "schema": 2, "mood": "good"})
    path.write_text(newer)
    done = run_toy("--detectors", "toy")
    assert done.returncode == 1
    assert "install a newer bench" in done.stderr
    assert path.read_text() == newer


def test_device_that_is_not_there_is_refused_before_training(run_toy: Run) -> None:
    done = run_toy("--detectors", "mean-intensity", "--device", "cuda:99")
    assert done.returncode == 3
    assert "no device 'cuda:99'" in done.stderr
    assert run_toy("--detectors", "mean-intensity", "--device", "gpu").returncode == 2
