"""Records go into a store below a temporary folder and are read back with MLflow's own client."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow_tracker
import pytest
from mlflow.entities import Run

from bench.results.record import Record

CONFIG = {"image_size": 32, "loss": {"weight": 0.5, "name": "l1"}}


def record(status: str = "ok", reason: str = "", cell: str = "c0ffee", edition: str = "full") -> Record:
    """Make the record of a cell as bench would."""
    part = {"value": 0.8, "low": 0.7, "high": 0.9, "method": "DeLong, logit"}
    fields: dict[str, Any] = {
        "schema": 1,
        "cell": cell,
        "status": status,
        "reason": reason,
        "log_tail": "",
        "task": {"name": "chest-xray", "version": "1", "edition": edition, "manifest_sha256": "0" * 64}
        | {"grouping": "patient", "synthetic": False, "counts": {}},
        "detector": {"name": "salad", "version": "2", "variant": "no-ssim", "config": CONFIG, "fields_set": []}
        | {"distribution": "d", "distribution_version": "1", "source_digest": "0", "pretrained": []},
        "seed": 3,
        "metrics": {"auroc": part} if status == "ok" else {},
        "files": [],
        "cost": {"fit_seconds": 1.5, "device": "cpu", "precision": "float32"},
        "environment": {"python": "3", "platform": "p", "processor": "p", "packages": {}}
        | {"git_commit": None, "dirty": None},
    }
    return Record.model_validate(fields)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with none of MLflow's settings."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logged() -> list[Run]:
    """All runs of all experiments."""
    client = mlflow_tracker.open_client()
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


def test_a_cell_is_logged_with_all_that_is_known(folder: Path) -> None:
    """Parameters, metrics, cost, tags and the record itself."""
    mlflow_tracker.bench_cell_finished(record())
    (run,) = logged()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "salad no-ssim seed 3"
    expected = {"detector": "salad", "version": "2", "variant": "no-ssim", "task": "chest-xray", "edition": "full"}
    expected |= {"seed": "3", "config.image_size": "32", "config.loss.weight": "0.5", "config.loss.name": "l1"}
    assert expected.items() <= run.data.params.items()
    assert run.data.metrics == {"auroc": 0.8, "auroc.low": 0.7, "auroc.high": 0.9, "cost.fit_seconds": 1.5}
    assert run.data.tags["bench.status"] == "ok"
    (artifact,) = folder.glob("mlruns/*/*/artifacts/record.json")
    assert artifact.read_bytes() == record().to_json()
    assert json.loads(artifact.read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [("failed", "FAILED"), ("timeout", "FAILED"), ("oom", "FAILED"), ("interrupted", "KILLED")],
)
def test_a_cell_that_did_not_end_well_is_logged_with_its_reason(status: str, expected: str) -> None:
    """It has no metrics, and MLflow shows why."""
    mlflow_tracker.bench_cell_finished(record(status, reason="ValueError: no luck" + "x" * 10_000))
    (run,) = logged()
    assert run.info.status == expected
    assert run.data.tags["bench.status"] == status
    assert run.data.tags["bench.reason"].startswith("ValueError: no luck")
    assert "auroc" not in run.data.metrics


def test_editions_are_experiments_of_their_own() -> None:
    """MLflow ranks within an experiment; editions are not comparable."""
    mlflow_tracker.bench_cell_finished(record(edition="full"))
    mlflow_tracker.bench_cell_finished(record(edition="subset"))
    names = {experiment.name for experiment in mlflow_tracker.open_client().search_experiments()}
    assert {"chest-xray full", "chest-xray subset"} <= names


def test_the_end_of_a_run_logs_only_what_is_missing() -> None:
    """Reused cells are logged once, failures of this run not a second time."""
    mlflow_tracker.bench_cell_finished(record(cell="a"))
    mlflow_tracker.bench_cell_finished(record("failed", "no luck", cell="b"))
    for _ in range(2):
        mlflow_tracker.bench_run_finished([record(cell="a"), record("failed", "no luck", cell="b"), record(cell="c")])
    assert sorted(run.data.tags["bench.cell"] for run in logged()) == ["a", "b", "c"]


def test_the_store_can_be_chosen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLFLOW_TRACKING_URI wins over the local folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (folder / "elsewhere").as_uri())
    mlflow_tracker.bench_cell_finished(record())
    assert len(logged()) == 1
    assert not (folder / "mlruns").exists()


def test_importing_the_plugin_does_not_import_mlflow() -> None:
    """Or every `bench list` would wait for it."""
    code = f"import sys; sys.path.insert(0, {str(Path(mlflow_tracker.__file__).parent)!r}); import mlflow_tracker"
    code += "; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
