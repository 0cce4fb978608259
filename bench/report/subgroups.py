"""One detector on parts of the test set: each disease, patients as a whole, sexes, ages, views, devices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.metrics import Interval, Sample, auroc_over_seeds
from bench.metrics.paired import FEW
from bench.report.rows import Row
from bench.results.scores import GROUPS, Scores

BY = ("category", "patient", *GROUPS)


class Subgroup(NamedTuple):
    """A part of the test set.

    Attributes:
        name: the disease, or the value that its images share.
        auroc: None where a class has fewer than two units.
        normal: healthy images in it.
        anomalous: likewise.
        units: patients where known, else images, of the smaller class.
        note: a warning, or nothing.

    """

    name: str
    auroc: Interval | None
    normal: int
    anomalous: int
    units: int
    note: str


def subgroups(row: Row, by: str) -> list[Subgroup]:
    """Split a row's test images.

    ``category`` sets the images of each disease against all healthy ones. ``patient`` gives each patient the mean score
    of its images and calls it anomalous if any of them is. The others take the images that share a value.

    Raises:
        UsageError: something that the scores do not know.

    """
    if by == "patient":
        return [judge("one score a patient", by_patient(row.sample, row.task.name))]
    return [judge(name, row.sample.only(chosen)) for name, chosen in parts(row.cells[0], by, row.task.name).items()]


def parts(cell: Scores, by: str, task: str) -> dict[str, NDArray[np.bool_]]:
    """Return the test images of each subgroup that has both classes, bool (n,), by its name.

    Raises:
        UsageError: something that the scores do not know.

    """
    anomalous = cell.labels == 1
    if by == "category":
        return {
            str(name): ~anomalous | (cell.categories == name)
            for name in sorted(set(cell.categories[anomalous].tolist()))
        }
    if by not in cell.groups:
        raise UsageError(f"the scores of {task} do not say '{by}': known: {', '.join(['category', *cell.groups])}")
    found = {str(name): cell.groups[by] == name for name in sorted(set(cell.groups[by].tolist())) if name}
    return {name: of for name, of in found.items() if anomalous[of].any() and not anomalous[of].all()}


def by_patient(sample: Sample, task: str) -> Sample:
    """Return the sample with one score a patient, the mean of its images'.

    Raises:
        UsageError: no patient is known.

    """
    if sample.clusters is None:
        raise UsageError(f"the scores of {task} name no patients")
    names, codes = np.unique(sample.clusters, return_inverse=True)
    size = np.bincount(codes)
    scores = np.stack([np.bincount(codes, weights=one) / size for one in sample.scores])
    labels = (np.bincount(codes, weights=sample.positive) > 0).astype(np.int8)
    if labels.all():
        raise UsageError(f"no patient of {task} is healthy throughout")
    return Sample(labels, scores, np.empty((len(scores), 0)), np.arange(len(names)))


def judge(name: str, sample: Sample) -> Subgroup:
    """Measure a subgroup, and warn where it is too small to say."""
    units = min(sample.sizes())
    anomalous = int(sample.positive.sum())
    note = (
        ""
        if units >= FEW
        else f"{units} in a class: the interval may be too narrow"
        if units >= 20
        else (f"{units} in a class: too few to say")
    )
    found = auroc_over_seeds(sample) if units >= 2 else None
    return Subgroup(name, found, len(sample.labels) - anomalous, anomalous, units, note)
