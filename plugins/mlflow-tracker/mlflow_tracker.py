"""Logs every finished cell to MLflow: parameters, metrics with their intervals, cost, and the record itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    # Imported by functions only: MLflow takes a second, which `bench list` and `bench show` should not spend.
    from mlflow import MlflowClient

    from bench import Record

# A cell that did not end well is no run that MLflow should average.
RUN_STATUS = {"ok": "FINISHED", "skipped": "KILLED", "interrupted": "KILLED"}
MAX_TAG = 5000  # characters; what MLflow's stores take


@bench.hookimpl
def bench_cell_finished(record: Record) -> None:
    """Log a cell as soon as it has ended. (The hook's other argument, ``folder``, is not needed here.)"""
    log_cell(open_client(), record)


@bench.hookimpl
def bench_run_finished(records: Sequence[Record]) -> None:
    """Log the cells that this run reused and MLflow does not have yet, from before the tracker was installed."""
    client = open_client()
    for record in records:
        if record.status == "ok" and not is_logged(client, record):
            log_cell(client, record)


def open_client() -> MlflowClient:
    """Connect to ``MLFLOW_TRACKING_URI``, or to the folder ``mlruns`` here.

    Raises:
        MlflowException: the place cannot be used.

    """
    # MLflow reports its own use over the network unless told not to. Benchmarks of patients' images should not be
    # the place where somebody finds out.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").resolve().as_uri()
    if uri.startswith("file:") or "://" not in uri:
        # MLflow 3 recommends databases and refuses folders without this; its small package has folders only.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def log_cell(client: MlflowClient, record: Record) -> str:
    """Log one cell as one MLflow run and return the run's id."""
    detector = record.detector
    name = f"{detector.name} {detector.variant} seed {record.seed}"
    tags = {"bench.cell": record.cell, "bench.status": record.status, "bench.reason": record.reason[:MAX_TAG]}
    run = client.create_run(find_experiment(client, record), tags=tags, run_name=name).info.run_id
    for key, value in parameters(record).items():
        client.log_param(run, key, value)
    for key, number in numbers(record).items():
        client.log_metric(run, key, number)
    client.log_text(run, record.to_json().decode(), "record.json")
    client.set_terminated(run, RUN_STATUS.get(record.status, "FAILED"))
    return str(run)


def is_logged(client: MlflowClient, record: Record) -> bool:
    """Whether MLflow has a finished run of this cell."""
    wanted = f"tags.`bench.cell` = '{record.cell}' and attributes.status = 'FINISHED'"
    return bool(client.search_runs([find_experiment(client, record)], wanted, max_results=1))


def find_experiment(client: MlflowClient, record: Record) -> str:
    """Return the id of the experiment that the record belongs to, created when it is first needed.

    One for each edition of a task, since MLflow ranks the runs of an experiment and bench never ranks editions
    together.
    """
    name = f"{record.task.name} {record.task.edition}"
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def parameters(record: Record) -> dict[str, Any]:
    """What was run: detector, task, seed, and every field of the configuration as ``config.FIELD``."""
    return {
        "detector": record.detector.name,
        "version": record.detector.version,
        "variant": record.detector.variant,
        "task": record.task.name,
        "task_version": record.task.version,
        "edition": record.task.edition,
        "seed": record.seed,
        "device": record.cost.device,
        "precision": record.cost.precision,
        **dict(flat("config", record.detector.config)),
    }


def numbers(record: Record) -> dict[str, float]:
    """What came out: ``auroc``, ``auroc.low``, ``auroc.high``, …, and ``cost.fit_seconds``, … as far as measured."""
    found: dict[str, float] = {}
    for name, metric in record.metrics.items():
        found |= {name: metric.value, f"{name}.low": metric.low, f"{name}.high": metric.high}
    cost = record.cost.model_dump()
    return found | {f"cost.{key}": value for key, value in cost.items() if isinstance(value, int | float)}


def flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested tables, named by their path: ``config.loss.weight``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(f"{name}.{key}", inner)
    else:
        yield name, value
