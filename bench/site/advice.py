"""What the numbers of an edition allow to say to somebody who must choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.metrics.paired import ALPHA, FEW
from bench.site.facts import Edition, Row
from bench.site.wording import short

LEAST_SECONDS = 0.01
"""Shorter fits are drawn here: a logarithmic axis has no zero."""


@dataclass(frozen=True)
class Advice:
    """Which rows to look at, and what cannot be said.

    Attributes:
        leaders: rows that no other is better than for sure, best first; rows without images in common have none.
        quickest: the leader that is fitted in the shortest time.
        scratch: the best leader that builds on no weights learned elsewhere.
        pairs: how many pairs were tested.
        open: how many of them cannot be told apart.
        few: whether a class is so small that intervals may be too narrow.

    """

    leaders: tuple[Row, ...]
    quickest: Row | None
    scratch: Row | None
    pairs: int
    open: int
    few: bool


def advise(edition: Edition) -> Advice:
    """Read an edition's ranks."""
    standing = edition.standing
    leaders = tuple(row for row in edition.rows if standing.ranks.get(row.slug, (0, 0))[0] == 1)
    timed = [row for row in leaders if row.fit_seconds is not None]
    return Advice(
        leaders,
        min(timed, key=lambda row: row.fit_seconds or 0.0) if len(leaders) > 1 and timed else None,
        next((row for row in leaders if not row.pretrained), None),
        len(standing.pairs),
        sum(pair.adjusted >= ALPHA for pair in standing.pairs),
        0 < standing.units < FEW,
    )


def never_beaten(editions: Sequence[Edition]) -> tuple[int, tuple[str, ...]]:
    """Names that lead wherever images are real and the protocol is the official one.

    Returns:
        how many such editions have a ranking, and the names that lead on all of them, in the order of the first.

    """
    counted = [
        one
        for one in editions
        if one.standing.ranks and not (one.task.synthetic or one.task.protocol or one.superseded)
    ]
    leading = [[row.name for row in advise(one).leaders] for one in counted]
    first = leading[0] if leading else []
    return len(counted), tuple(name for name in first if all(name in names for names in leading))


def front(edition: Edition) -> list[dict[str, Any]]:
    """Cost against AUROC: for each row whether nothing that costs as little is better, and whether it is named."""
    leaders = {row.slug for row in advise(edition).leaders}
    timed = [
        (row, max(row.fit_seconds, LEAST_SECONDS), row.auroc.value)
        for row in edition.rows
        if row.auroc and row.fit_seconds is not None and row.fit_seconds < float("inf")
    ]
    told = []
    for row, seconds, auroc in timed:
        best = not any(
            cost <= seconds and value >= auroc and (cost, value) != (seconds, auroc) for _, cost, value in timed
        )
        named = best or row.slug in leaders
        told.append({"name": short(row.name), "seconds": seconds, "auroc": auroc, "front": best, "named": named})
    return told
