"""The four packages in plugins/, installed with pip into an environment of their own and used as a user would."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.environment import Done, Venv, make_venv

PLUGINS = ("folder-task", "mlflow-tracker", "pixel-gaussian", "tune-threshold-metric")


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """A fresh environment with bench and the four packages."""
    made = make_venv(tmp_path_factory.mktemp("environment") / "venv")
    made.install("--no-build-isolation", *(ROOT / "plugins" / name for name in PLUGINS))
    return made


def write_clinic(data: Path) -> None:
    """Write the layout of folder-task: noise, and on each anomalous image a faint bright square, with its mask.

    Faint, so that no metric is 1: an interval around 1 would say little of whether it was computed.
    """
    rng = np.random.default_rng(0)
    root = data / "my-clinic"
    for folder, first, number in (("fit", 0, 60), ("test/normal", 100, 12), ("test/anomalous", 200, 12)):
        (root / folder).mkdir(parents=True)
        for patient in range(first, first + number):
            name = f"P{patient:03d}_left_1.png"
            pixels = rng.integers(60, 140, (48, 48), dtype=np.uint8)
            if folder == "test/anomalous":
                row, column = rng.integers(4, 36, 2)
                mask = np.zeros_like(pixels)
                mask[row : row + 8, column : column + 8] = 255
                pixels[mask > 0] += rng.integers(1, 28, dtype=np.uint8)
                (root / "masks").mkdir(exist_ok=True)
                Image.fromarray(mask).save(root / "masks" / name)
            Image.fromarray(pixels).save(root / folder / name)


@dataclass(frozen=True)
class Finished:
    """A run of `bench` on the folder, and where it ran."""

    folder: Path
    done: Done

    def record(self) -> Path:
        (path,) = self.folder.glob("bench-runs/runs/my-clinic/pixel-gaussian/*/record.json")
        return path


@pytest.fixture(scope="module")
def finished(venv: Venv, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("clinic")
    write_clinic(folder / "data")
    arguments = ("--detectors", "pixel-gaussian", "--tasks", "my-clinic", "--data", folder / "data", "--json")
    done = venv.run("bench", "run", *arguments, cwd=folder, BENCH_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    return Finished(folder, done)


def test_every_plugin_is_ok(venv: Venv, tmp_path: Path) -> None:
    done = venv.run("bench", "list", "plugins", "--json", cwd=tmp_path, BENCH_STRICT_PLUGINS="1")
    assert done.returncode == 0, done.stderr
    listed = {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    assert {plugin["status"] for plugin in listed.values()} == {"ok"}
    assert {listed[name]["distribution"] for name in PLUGINS} == set(PLUGINS)
    assert {"salad", "baselines", "tasks"} <= set(listed)


def test_the_row_is_ok_and_lesions_are_found(finished: Finished) -> None:
    (row,) = json.loads(finished.done.stdout)["rows"]
    assert (row["task"], row["detector"], row["status"]) == ("my-clinic", "pixel-gaussian", "ok")
    assert 0.6 < row["auroc"]["value"] < 1
    assert "warning" not in finished.done.stderr.lower()


def test_the_record_has_the_metric_and_the_patients(finished: Finished) -> None:
    record = json.loads(finished.record().read_text())
    metric = record["metrics"]["sensitivity_at_tune_95"]
    assert 0 <= metric["low"] < metric["value"] < metric["high"] <= 1
    assert "bootstrap" in metric["method"]
    assert record["task"]["grouping"] == "patient"
    counts = record["task"]["counts"]
    assert counts["test"] == {"normal": 12, "anomalous": 12}
    assert counts["fit"]["normal"] + counts["tune"]["normal"] == 60
    assert counts["tune"]["normal"] > 0


def test_mlflow_has_the_run(venv: Venv, finished: Finished) -> None:
    read_back = """
import json, mlflow
client = mlflow.MlflowClient(tracking_uri="mlruns")
experiments = [experiment.experiment_id for experiment in client.search_experiments()]
print(json.dumps([run.to_dictionary() for run in client.search_runs(experiments)]))
"""
    done = venv.run("python", "-c", read_back, cwd=finished.folder, MLFLOW_ALLOW_FILE_STORE="true")
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)
    record = json.loads(finished.record().read_text())
    assert run["info"]["status"] == "FINISHED"
    assert run["data"]["metrics"]["auroc"] == record["metrics"]["auroc"]["value"]
    assert run["data"]["metrics"]["sensitivity_at_tune_95.high"] == record["metrics"]["sensitivity_at_tune_95"]["high"]
    assert run["data"]["params"]["detector"] == "pixel-gaussian"
    assert run["data"]["params"]["config.image_size"] == str(record["detector"]["config"]["image_size"])
    assert run["data"]["tags"]["bench.cell"] == record["cell"]
    (artifact,) = finished.folder.glob("mlruns/*/*/artifacts/record.json")
    assert artifact.read_bytes() == finished.record().read_bytes()


def test_reused_cells_are_not_logged_twice(venv: Venv, finished: Finished) -> None:
    arguments = ("--detectors", "pixel-gaussian", "--tasks", "my-clinic", "--data", finished.folder / "data")
    done = venv.run("bench", "run", *arguments, cwd=finished.folder, BENCH_CACHE=str(finished.folder / "cache"))
    assert done.returncode == 0, done.stderr
    assert len(list(finished.folder.glob("mlruns/*/*/artifacts/record.json"))) == 1


def test_each_package_passes_its_own_tests(venv: Venv, tmp_path: Path) -> None:
    # Without their settings, which put the source on the path: what is tested is what pip installed.
    settings = ("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path)
    folders = [ROOT / "plugins" / name / "tests" for name in PLUGINS]
    done = venv.run("python", "-m", "pytest", *settings, *folders, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in PLUGINS:
        assert f"test_{name.replace('-', '_')}.py" in done.stdout
