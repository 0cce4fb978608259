"""Whether a second run bears out a published record: checked with its scores, never believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.metrics import auroc_over_seeds
from bench.results.attestations import Badge
from bench.results.duplicates import row_of
from bench.results.record import Record
from bench.results.scores import Scores, sample_of, scores_of
from bench.results.store import Store
from bench.results.verify import Verifier

AGREE = 1e-3
"""How far a score may be off in a rerun, in standard deviations of the published scores: more than rounding moves."""

Cell = tuple[Path, Record]


def rerun_problems(published: Cell, reruns: Path, badge: Badge) -> list[str]:
    """Hold a published cell against all records of the same detector, configuration and images in another folder.

    Args:
        published: folder and record of the published cell.
        reruns: a results folder of the second run.
        badge: ``rerun`` demands the same cell with the same scores, up to :data:`AGREE`; ``reproduced`` that the AUROC
            of every matching record, whatever its seed, lies within the published record's interval.

    Returns:
        every reason why the badge is not deserved.

    """
    folder, record = published
    found = [(there, other) for there, other in Store(reruns).records() if _same(record, other, badge)]
    if not found:
        what = "of this cell" if badge == "rerun" else "of this detector, configuration and edition"
        return [f"{record.cell}: {reruns} has no record {what}"]
    problems = []
    for there, other in found:
        own: Sequence[str] = Verifier().verify(there).problems
        if there.resolve() == folder.resolve() or other.cost == record.cost:
            own = ("it is the published record itself: its times are the same",)
        elif other.status != "ok" or record.status != "ok":
            own = ("both must have finished",)
        if not own:
            own = _compare(scores_of(folder, record), scores_of(there, other), badge)
        problems += [f"{record.cell}, held against {there}: {problem}" for problem in own]
    return problems


def _same(record: Record, other: Record, badge: Badge) -> bool:
    if badge == "rerun":
        return record.cell == other.cell
    configs = [json.dumps(one.detector.config, sort_keys=True) for one in (record, other)]
    return row_of(record) == row_of(other) and configs[0] == configs[1]


def _compare(published: Scores, again: Scores, badge: Badge) -> Sequence[str]:
    if published.ids != again.ids:
        return ["it scored other images"]
    if badge == "rerun":
        limit = AGREE * float(published.scores.std())
        largest = float(np.abs(published.scores - again.scores).max())
        return [] if largest <= limit else [f"scores differ by up to {largest:.3g}; {limit:.3g} is allowed"]
    interval = auroc_over_seeds(sample_of([published]))
    value = auroc_over_seeds(sample_of([again])).value
    if interval.low <= value <= interval.high:
        return []
    return [f"its AUROC {value:.4f} is not within {interval.low:.4f} to {interval.high:.4f}"]
