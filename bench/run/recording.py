"""From a cell's outcome to its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.contracts import API, MetricSpec
from bench.data.decode import DECODER
from bench.data.variants import describe as describe_protocol
from bench.files import file_sha256
from bench.results.pixels import PIXELS
from bench.results.record import CostPart, DetectorPart, MetricPart, Record, StatePart, TaskPart
from bench.results.scores import sample_of, scores_table, split_scores, to_parquet
from bench.results.store import SCORES
from bench.run.environment import describe_environment, redact
from bench.run.evaluate import evaluate, evaluate_plugins
from bench.run.jobs import Kept, Outcome
from bench.run.plan import Cell
from bench.run.worker import describe


def make_record(
    cell: Cell,
    outcome: Outcome,
    source_digest: str,
    metrics: Sequence[MetricSpec],
    places: Mapping[str, Path],
    sandbox: bool,
) -> tuple[Record, dict[str, bytes]]:
    """Evaluate an outcome.

    Args:
        cell: what was run.
        outcome: how it ended.
        source_digest: of the detector's code, or what is to be said instead.
        metrics: third-party metrics.
        places: folders that must not be named in a record, by the word that replaces them.
        sandbox: whether it ran in the sandbox.

    Returns:
        the record, and the files that belong beside it by name.

    """
    reason = outcome.reason
    computed: dict[str, MetricPart] = {}
    files: dict[str, bytes] = {}
    scored = cell.task.manifest.of_role("tune", "test")
    if outcome.scores is not None:
        table = scores_table(scored, outcome.scores)
        scores = split_scores(table)
        offered, failed = evaluate_plugins(sample_of([scores]), metrics)
        computed = {**evaluate(scores, outcome.pixels), **offered}
        files = {SCORES: to_parquet(table)}
        if outcome.pixels is not None:
            files[PIXELS] = outcome.pixels
        reason = "; ".join(f"metric '{name}' failed: {describe(error)}" for name, error in failed.items())
    record = Record(
        schema=1,
        cell=cell.id,
        status=outcome.status,
        reason=redact(reason, places),
        log_tail="" if outcome.status == "ok" else redact(outcome.log_tail, places),
        task=_task_part(cell),
        detector=_detector_part(cell, source_digest),
        seed=cell.seed,
        metrics=computed,
        files=[],
        state=_state_part(cell, outcome.kept) if outcome.kept else None,
        cost=_cost(outcome, len(scored)),
        environment=describe_environment().model_copy(update={"sandbox": sandbox}),
    )
    return record, files


def _task_part(cell: Cell) -> TaskPart:
    manifest = cell.task.manifest
    return TaskPart(
        name=manifest.task,
        version=manifest.version,
        edition=manifest.edition,
        manifest_sha256=manifest.sha256,
        grouping=manifest.grouping,
        synthetic=cell.task.spec.synthetic,
        protocol=describe_protocol(cell.task.spec.protocol),
        private=cell.task.spec.private,
        counts=manifest.counts(),
    )


def _detector_part(cell: Cell, source_digest: str) -> DetectorPart:
    variant, plugin = cell.variant, cell.variant.offer.plugin
    return DetectorPart(
        name=variant.spec.name,
        version=variant.spec.version,
        variant=variant.name,
        config=variant.config.model_dump(mode="json"),
        fields_set=sorted(variant.config.model_fields_set),
        distribution=plugin.distribution,
        distribution_version=plugin.version,
        source_digest=source_digest,
        pretrained=variant.provenance.pretrained,
        stochastic=variant.spec.stochastic,
        citation=variant.spec.citation,
    )


def _state_part(cell: Cell, kept: Kept) -> StatePart:
    return StatePart(
        sha256=file_sha256(kept.path),
        api=API,
        decoder=DECODER,
        own_decoder=cell.task.spec.decode is not None,
        threads=kept.threads,
        map_range=kept.map_range,
    )


def _cost(outcome: Outcome, images: int) -> CostPart:
    seconds = outcome.score_seconds
    return CostPart(
        fit_seconds=outcome.fit_seconds,
        score_seconds=seconds,
        images_per_second=images / seconds if seconds else None,
        peak_rss_bytes=outcome.peak_rss_bytes,
        device=outcome.device,
        precision=outcome.precision,
    )
