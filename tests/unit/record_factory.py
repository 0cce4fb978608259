"""Records and scores made by hand, for tests that need no run."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.manifest import Entry, Manifest, manifest_sha256
from bench.results.record import CostPart, DetectorPart, EnvironmentPart, Record, StatePart, TaskPart
from bench.results.scores import scores_table, split_scores, to_parquet
from bench.results.store import SCORES, Store
from bench.run.evaluate import evaluate
from bench.run.plan import identity

N = 40


def entries(n: int = N) -> list[Entry]:
    """``n`` test images, half of them anomalous, and a tenth as many tune images."""
    made = []
    for number in range(n + n // 10):
        digest = sha256(str(number).encode()).hexdigest()[:16]
        role = "test" if number < n else "tune"
        label = number % 2 if role == "test" else 0
        made.append(Entry(digest, Path("nowhere"), f"p{number}", role, label, "X", None, None))  # type: ignore[arg-type]
    return sorted(made, key=lambda entry: entry.id)


def toy_manifest(task: str) -> Manifest:
    """The manifest of all records here: what is scored, and nine images to learn from."""
    fit = [Entry(f"{number:016x}", Path("nowhere"), None, "fit", 0, "X", None, None) for number in range(9)]
    every = tuple(sorted([*entries(), *fit], key=lambda entry: entry.id))
    digest = manifest_sha256(task, "1", ((e.id, e.patient, e.role, e.label, e.category, e.mask) for e in every))
    return Manifest(task, "1", "patient", "toy", digest, every)


def add_record(store: Store, seed: int = 0, **changes: Any) -> Record:
    """Write a finished (or, with ``status=``, another) record into a store and return it; ``state=`` is a file."""
    given = entries()
    rng = np.random.default_rng([seed, len(changes.get("detector", "toy"))])
    spread = rng.normal(size=len(given)).round(changes.pop("digits", 9))
    scores = np.array([entry.label for entry in given]) * changes.pop("gap", 1.0) + spread
    table = scores_table(given, scores)
    status = changes.pop("status", "ok")
    name, version = changes.pop("detector", "toy"), changes.pop("version", "1")
    variant, task = changes.pop("variant", "default"), changes.pop("task", "chest-xray")
    state: Path | None = changes.pop("state", None)
    manifest = toy_manifest(task)
    config = {} if variant == "default" else {"variant": variant}
    cell = identity((task, "1", manifest.sha256), (name, version), config, seed)
    store.write_manifest(manifest)
    record = Record(
        schema=1,
        cell=cell,
        status=status,
        reason=changes.pop("reason", ""),
        log_tail="",
        task=TaskPart(
            name=task,
            version="1",
            edition=manifest.edition,
            manifest_sha256=manifest.sha256,
            grouping="patient",
            synthetic=changes.pop("synthetic", False),
            private=changes.pop("private", False),
            counts=manifest.counts(),
        ),
        detector=DetectorPart(
            name=name,
            version=version,
            variant=variant,
            config=config,
            fields_set=[],
            distribution="d",
            distribution_version="1",
            source_digest="s",
            pretrained=changes.pop("pretrained", []),
            stochastic=changes.pop("stochastic", True),
            citation=changes.pop("citation", "Toy et al., 2020"),
        ),
        seed=seed,
        metrics=evaluate(split_scores(table)) if status == "ok" else {},
        files=[],
        state=None if state is None else StatePart(
            sha256=sha256(state.read_bytes()).hexdigest(), api=1, decoder="2", own_decoder=False, threads=1
        ),
        cost=CostPart(fit_seconds=10.0 + seed, score_seconds=1.0, images_per_second=44.0, device="cpu"),
        environment=EnvironmentPart(
            python="3", platform="p", processor="c", packages={}, git_commit=None, dirty=None
        ),
    )  # fmt: skip
    assert not changes, changes
    return store.write(record, {SCORES: to_parquet(table)} if status == "ok" else {}, state)
