"""Rows compared pair by pair on each edition of a task that they share, as a whole and for each disease."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.metrics.paired import FEW, Difference, Joint, holm
from bench.report.rows import Row, by_edition
from bench.report.standing import compare_rows, join, shared_seeds
from bench.report.subgroups import parts
from bench.results.record import TaskPart


@dataclass(frozen=True)
class Comparison:
    """One pair on one task, or on one disease of it.

    Attributes:
        task: the edition.
        first: name of a row; the difference is its AUROC less that of the other.
        second: name of the other.
        category: the disease whose images stand for the anomalous ones; None: all of them.
        difference: with interval and p; None where the images are too few for a variance.
        adjusted: p after Holm, over the comparisons of all images or over those of the categories.
        seeds: pairs of seeds that were compared.
        images: test images.
        patients: of the test images; None where not known.
        units: patients (else images) of the smaller class.

    """

    task: TaskPart
    first: str
    second: str
    category: str | None
    difference: Difference | None
    adjusted: float | None
    seeds: int
    images: int
    patients: int | None
    units: int

    @property
    def resolvable(self) -> bool:
        """Whether the difference is one that as many images and seeds find with a power of 80 %."""
        found = self.difference
        return found is not None and found.value != 0 and abs(found.value) >= found.smallest

    def plain(self) -> dict[str, Any]:
        """Values for JSON; numbers are null where the images are too few."""
        found = self.difference
        return {
            "task": self.task.name,
            "edition": self.task.edition,
            "first": self.first,
            "second": self.second,
            "category": self.category,
            "difference": found and found.value,
            "low": found and found.low,
            "high": found and found.high,
            "p": found and found.p,
            "p_adjusted": self.adjusted,
            "resolvable": self.resolvable,
            "smallest_resolvable": found and found.smallest,
            "method": found.method if found else f"too few to say: {self.units} in a class",
            "n_images": self.images,
            "n_patients": self.patients,
            "n_seeds": self.seeds,
        }


def choose(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[TaskPart, list[Row]]]:
    """Find the editions on which all named rows were run.

    Raises:
        UsageError: a name without a finished record, or no edition that all share.

    """
    finished = [row for row in rows if row.cells]
    for name in names:
        if not any(row.name == name for row in finished):
            known = ", ".join(sorted({row.name for row in finished}))
            raise UsageError(f"no finished record of '{name}' there: known: {known or 'none'}")
    editions = by_edition(finished)
    shared = [(task, own) for task, own in editions if {row.name for row in own}.issuperset(names)]
    if not shared:
        where = "; ".join(
            f"{name} on {', '.join(_edition(task) for task, own in editions if name in {row.name for row in own})}"
            for name in names
        )
        raise UsageError(f"they were not run on the same images, so nothing can be compared: {where}")
    return [(task, [next(row for row in own if row.name == name) for name in names]) for task, own in shared]


def _edition(task: TaskPart) -> str:
    return f"{task.name} v{task.version} ({task.edition}, manifest {task.manifest_sha256[:8]})"


def compare_all(editions: Iterable[tuple[TaskPart, Sequence[Row]]], by_category: bool) -> list[Comparison]:
    """Compare all pairs of rows on each edition; p values are adjusted over all that is returned.

    Raises:
        UsageError: two rows without a seed in common.
        RecordError: rows that scored other images, or a class with fewer than two units.

    """
    whole: list[Comparison] = []
    diseases: list[Comparison] = []
    for task, rows in editions:
        for first, second, found in compare_rows(rows, join(rows)):
            pair = _comparison(task, first, second, None, np.ones(len(first.sample.labels), bool), found)
            whole.append(pair)
            diseases += _categories(task, first, second) if by_category else []
        if not whole and len(rows) > 1:
            raise UsageError(f"{rows[0].name} and {rows[1].name} have no seed in common on {task.name}")
    return [*_adjusted(whole), *_adjusted(diseases)]


def _categories(task: TaskPart, first: Row, second: Row) -> list[Comparison]:
    found = []
    for name, chosen in parts(first.cells[0], "category", task.name).items():
        samples = [row.sample.only(chosen) for row in (first, second)]
        enough = min(samples[0].sizes()) >= 2
        difference = Joint(samples).compare(0, 1, shared_seeds(first, second)) if enough else None
        found.append(_comparison(task, first, second, name, chosen, difference))
    return found if len(found) > 1 else []  # a single disease is the whole again


def _comparison(
    task: TaskPart, first: Row, second: Row, category: str | None, chosen: np.typing.NDArray[np.bool_], found: Any
) -> Comparison:
    part = first.sample.only(chosen)
    patients = None if part.clusters is None else len(np.unique(part.clusters))
    seeds = len(shared_seeds(first, second))
    units = min(part.sizes())
    return Comparison(task, first.name, second.name, category, found, None, seeds, int(chosen.sum()), patients, units)


def _adjusted(found: Sequence[Comparison]) -> list[Comparison]:
    """Holm over those that have a p."""
    tested = [one for one in found if one.difference is not None]
    values = iter(holm([one.difference.p for one in tested if one.difference is not None]))
    return [replace(one, adjusted=next(values)) if one.difference is not None else one for one in found]


def verdict(one: Comparison) -> str:
    """Say in words what a comparison shows."""
    if one.difference is None or one.adjusted is None:
        return f"too few to say ({one.units} in a class)"
    few = f"; only {one.units} in a class, the interval may be too narrow" if one.units < FEW else ""
    if one.adjusted < 0.05:
        better = one.first if one.difference.value > 0 else one.second
        return f"{better} is better{few}"
    return f"not told apart: {one.difference.smallest:.3f} would be found with 80 % power{few}"
