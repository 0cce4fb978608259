"""Rows: the cells of one task, detector and variant with their seeds averaged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Protocol, TypeVar

from bench.errors import RecordError
from bench.metrics import Interval, Sample, auroc_over_seeds, measure, over_seeds, values
from bench.metrics.pixels import PIXEL_METRICS
from bench.results.record import Record, TaskPart
from bench.results.scores import Scores, sample_of, scores_of


@dataclass(frozen=True)
class Row:
    """One line of a table. It has no cells, times and metrics unless ``status`` is ok.

    Attributes:
        task: the task and edition that it was measured on.
        detector: name of the detector.
        version: version of the detector.
        variant: name of the configuration.
        pretrained: names of the weights that it builds on.
        status: ok, or how the cells of this row ended.
        reason: why, if not ok.
        seeds: the seeds that are averaged.
        stochastic: False if one seed stands for all.
        cells: the scores of each seed.
        pixels: pixel metrics, by name, where the task has masks and the detector draws maps.
        fit_seconds: mean over the seeds.
        images_per_second: mean over the seeds, while scoring.
        cell_ids: the cells that are averaged, in order of their seeds.

    """

    task: TaskPart
    detector: str
    version: str
    variant: str
    pretrained: tuple[str, ...]
    status: str
    reason: str
    seeds: tuple[int, ...]
    stochastic: bool = True
    cells: tuple[Scores, ...] = ()
    pixels: Mapping[str, Interval] = field(default_factory=dict)
    fit_seconds: float | None = None
    images_per_second: float | None = None
    cell_ids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``salad``, or ``salad@no-ssim`` where the variant is not the default."""
        return self.detector if self.variant == "default" else f"{self.detector}@{self.variant}"

    @cached_property
    def sample(self) -> Sample:
        """The scores of all seeds.

        Raises:
            RecordError: the seeds scored different images, or the row is not ok.

        """
        try:
            return sample_of(self.cells)
        except (ValueError, IndexError) as error:
            raise RecordError(f"{self.name} on {self.task.name}: {error}") from error

    @cached_property
    def auroc(self) -> Interval | None:
        """Mean over the seeds, with its interval in closed form."""
        return auroc_over_seeds(self.sample) if self.cells else None

    @cached_property
    def values(self) -> dict[str, float]:
        """Every image metric, mean over the seeds, without the cost of bootstraps."""
        return {name: float(of.mean()) for name, of in values(self.sample).items()} if self.cells else {}

    @cached_property
    def metrics(self) -> dict[str, Interval]:
        """Every image metric with its interval."""
        return measure(self.sample) if self.cells else {}


def make_rows(found: Iterable[tuple[Path, Record]]) -> list[Row]:
    """Average the seeds of finished cells into rows; cells that ended otherwise make rows of their own.

    Args:
        found: folder and record of each cell.

    Returns:
        rows by task, best AUROC first, failed ones last.

    Raises:
        RecordError: scores that are missing or are not those of their record.

    """
    groups: dict[tuple[str, ...], list[tuple[Path, Record]]] = {}
    for folder, record in found:
        groups.setdefault(row_key(record), []).append((folder, record))
    rows = [_row(sorted(group, key=lambda item: item[1].seed)) for group in groups.values()]
    order = {name: number for number, name in enumerate(dict.fromkeys(row.task.name for row in rows))}
    return sorted(rows, key=lambda row: (order[row.task.name], -(row.auroc.value if row.auroc else -1.0), row.name))


def row_key(record: Record) -> tuple[str, ...]:
    """What tells the cells of one row from those of another: all but the seed."""
    task, detector = record.task, record.detector
    ending = (record.status, record.reason) if record.status != "ok" else ("ok", "")
    return (
        task.name,
        task.version,
        task.manifest_sha256,
        detector.name,
        detector.version,
        detector.variant,
        *ending,
        json.dumps(detector.config, sort_keys=True),
    )


def by_edition(rows: Sequence[Row]) -> list[tuple[TaskPart, list[Row]]]:
    """Group rows that may be compared: one task, one version, one edition."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task.name, row.task.version, row.task.manifest_sha256), []).append(row)
    return [(own[0].task, own) for own in groups.values()]


def superseded(tasks: Iterable[TaskPart]) -> dict[tuple[str, str], str]:
    """Tasks of which a newer version is among them: by name and version, the newest version."""
    versions: dict[str, set[str]] = {}
    for task in tasks:
        versions.setdefault(task.name, set()).add(task.version)
    newest_of = {name: max(every, key=_version) for name, every in versions.items()}
    return {(name, one): newest_of[name] for name, every in versions.items() for one in every - {newest_of[name]}}


def _row(group: Sequence[tuple[Path, Record]]) -> Row:
    record = group[0][1]
    seeds = tuple(one.seed for _, one in group)
    detector = record.detector
    pretrained = tuple(str(weights["name"]) for weights in detector.pretrained)
    names = (detector.name, detector.version, detector.variant)
    if record.status != "ok":
        return Row(record.task, *names, pretrained, record.status, record.reason, seeds)
    if len(set(seeds)) != len(seeds):
        folders = ", ".join(str(folder) for folder, _ in group)
        raise RecordError(f"{detector.name} on {record.task.name} has two records of one seed: remove one of {folders}")
    row = Row(
        record.task,
        *names,
        pretrained,
        "ok",
        "",
        seeds,
        detector.stochastic,
        tuple(scores_of(folder, one) for folder, one in group),
        _pixels([one for _, one in group]),
        _mean(one.cost.fit_seconds for _, one in group),
        _mean(one.cost.images_per_second for _, one in group),
        tuple(one.cell for _, one in group),
    )
    assert row.sample is not None  # refused here rather than where it is first shown
    return row


def _pixels(records: Sequence[Record]) -> dict[str, Interval]:
    """Pixel metrics that all seeds have. They are taken from the records: to compute them again takes seconds each."""
    return {
        name: over_seeds([Interval(**record.metrics[name].model_dump()) for record in records])
        for name in PIXEL_METRICS
        if all(name in record.metrics for record in records)
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


class Named(Protocol):
    """What says whether one row replaces another."""

    @property
    def task(self) -> TaskPart: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def variant(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102


R = TypeVar("R", bound=Named)


def newest(rows: Sequence[R], names: Sequence[str] | None = None) -> list[R]:
    """Keep the rows that a leaderboard shows: variant ``default``, newest version of each detector on each edition.

    Args:
        rows: any rows.
        names: ``salad`` or ``salad@no-ssim``; only these, whatever their variant.

    """
    chosen = [row for row in rows if (row.name in names if names else row.variant == "default")]
    latest: dict[tuple[str, str, str], str] = {}
    for row in chosen:
        key = (row.task.name, row.task.manifest_sha256, row.name)
        latest[key] = max(latest.get(key, row.version), row.version, key=lambda version: (_version(version), version))
    return [row for row in chosen if row.version == latest[row.task.name, row.task.manifest_sha256, row.name]]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
