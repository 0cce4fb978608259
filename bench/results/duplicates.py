"""Seeds that are there twice or are missing, and scores that are too much like those of another detector."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.results.record import Record
from bench.results.rules import SEEDS
from bench.results.scores import Scores

ALIKE = 0.999
"""Spearman's correlation over the test images above which two detectors are taken for one.

Among the published records, different detectors reach 0.877, two seeds of one detector 0.973, and two versions of one
detector that differ by rounding 0.99999995.
"""

Key = tuple[str, str, str, str, str, str]


def row_of(record: Record) -> Key:
    """Task, version, manifest, detector, version and variant: the row of a table that a record belongs to."""
    task, detector = record.task, record.detector
    return task.name, task.version, task.manifest_sha256, detector.name, detector.version, detector.variant


def seed_problems(new: Sequence[Record], standing: Sequence[Record]) -> list[str]:
    """Every reason that lies in the seeds and configurations of rows, and in whose a detector's name is.

    Args:
        new: records that are to be added.
        standing: those that are there.

    """
    found = list(_owners(new, standing))
    there = {record.cell for record in standing}
    rows: dict[Key, list[Record]] = {}
    for record in new:
        if record.cell in there:
            found.append(f"{_name(record)} is there already ({record.cell})")
        rows.setdefault(row_of(record), []).append(record)
    for key, own in rows.items():
        every = own + [record for record in standing if row_of(record) == key and record.cell not in _cells(own)]
        found += _row_problems(own[0], every)
    return found


def _cells(records: Sequence[Record]) -> set[str]:
    return {record.cell for record in records}


def _row_problems(first: Record, every: Sequence[Record]) -> Iterator[str]:
    name, seeds = _name(first).rpartition(" seed ")[0], [record.seed for record in every]
    if len({json.dumps(record.detector.config, sort_keys=True) for record in every}) > 1:
        yield f"{name} has several configurations under one name: give one of them a label (--label)"
    elif twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        yield f"{name} has two records of seed {', '.join(map(str, twice))}"
    gaps = first.detector.stochastic and min(seeds) >= 0 and max(seeds) < SEEDS  # other seeds are refused elsewhere
    if gaps and (missing := sorted(set(range(max(seeds) + 1)) - set(seeds))[:10]):
        listed = ", ".join(map(str, missing))
        yield f"{name} lacks seed {listed}: seeds are 0, 1, 2 and so on, so that none can be chosen; failed ones count"


def _owners(new: Sequence[Record], standing: Sequence[Record]) -> Iterator[str]:
    owners = {record.detector.name: record.detector.distribution for record in standing}
    for name, distribution in sorted({(record.detector.name, record.detector.distribution) for record in new}):
        owner = owners.setdefault(name, distribution)
        if owner != distribution:
            yield f"detector '{name}' is that of package '{owner}', not of '{distribution}': choose another name"


def likeness_problems(new: Sequence[tuple[Record, Scores]], standing: Sequence[tuple[Record, Scores]]) -> list[str]:
    """Every pair of cells that cannot both be what they claim, one of them new, with the same images.

    That is: two detectors of which Spearman's correlation is above :data:`ALIKE`, or two seeds of one row with the very
    same scores, though its detector draws random numbers.
    """
    every = [*new, *standing]
    ranks = [_ranks(scores.scores) for _, scores in every]
    found: dict[tuple[Key, Key], str] = {}
    for place, (record, scores) in enumerate(new):
        for other in range(place + 1, len(every)):
            against, theirs = every[other]
            pair = (row_of(record), row_of(against))
            if pair[0][:3] != pair[1][:3] or scores.ids != theirs.ids or pair in found:
                continue
            same = np.array_equal(scores.scores, theirs.scores)
            rho = float(ranks[place] @ ranks[other])
            if record.detector.name != against.detector.name and (same or rho > ALIKE):
                how = "identical scores" if same else f"Spearman's correlation {rho:.6f}, above {ALIKE}"
                found[pair] = (
                    f"{_name(record)} and {_name(against)} have {how}: they are taken for one detector. "
                    "A maintainer who has read both can add it with bench publish"
                )
            elif same and pair[0] == pair[1] and record.seed != against.seed and record.detector.stochastic:
                found[pair] = f"{_name(record)} and seed {against.seed} have identical scores: one run is no two seeds"
    return list(found.values())


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks with mean 0 and length 1, so that a product is Spearman's correlation; zeros where all are tied."""
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(scores), np.float64)
    ranks -= ranks.mean()
    length = float(np.linalg.norm(ranks))
    return ranks / length if length else ranks


def _name(record: Record) -> str:
    detector = record.detector
    return f"{record.task.name} {detector.row} {detector.version} seed {record.seed}"
