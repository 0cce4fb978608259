"""What the rows of one task say of one another: paired differences, ranks as ranges, and what the task can resolve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from bench.errors import RecordError
from bench.metrics.paired import FEW, Difference, Joint, holm, ranks
from bench.report.rows import Row


@dataclass(frozen=True)
class Pair:
    """Two rows and their paired difference; ``adjusted`` is its p after Holm over all pairs of the table."""

    first: str
    second: str
    difference: Difference
    adjusted: float


@dataclass(frozen=True)
class Standings:
    """A task's rows against one another.

    Attributes:
        ranks: by name of row, the best and the worst place that it may have.
        top: by name of row, the probability of the highest true AUROC.
        pairs: all pairs that have a seed in common.
        resolves: the median over the pairs of the smallest difference that each would find; None without pairs.
        units: patients (where known) or images of the smaller class.

    """

    ranks: dict[str, tuple[int, int]]
    top: dict[str, float]
    pairs: tuple[Pair, ...]
    resolves: float | None
    units: int


def shared_seeds(first: Row, second: Row) -> list[tuple[int, int]]:
    """Positions of the seeds that belong together. Where the seed cannot change a score, one stands for all."""
    if not first.stochastic and not second.stochastic:
        return [(0, 0)]
    if not first.stochastic:
        return [(0, place) for place in range(len(second.seeds))]
    if not second.stochastic:
        return [(place, 0) for place in range(len(first.seeds))]
    return [(first.seeds.index(s), second.seeds.index(s)) for s in first.seeds if s in second.seeds]


def join(rows: Sequence[Row]) -> Joint:
    """Compute the covariance of all rows of one edition, images paired by id.

    Raises:
        RecordError: rows that scored other images, or a class with fewer than two units.

    """
    if any(row.cells[0].ids != rows[0].cells[0].ids for row in rows):
        raise RecordError(f"the records of {rows[0].task.name} hold scores of different images: run bench verify")
    try:
        return Joint([row.sample for row in rows])
    except ValueError as error:
        raise RecordError(f"{rows[0].task.name}: {error}") from error


def compare_rows(rows: Sequence[Row], joint: Joint) -> list[tuple[Row, Row, Difference]]:
    """Compare all pairs of rows that have a seed in common; ``joint`` is that of these rows."""
    found = []
    for one, other in combinations(range(len(rows)), 2):
        if pairs := shared_seeds(rows[one], rows[other]):
            found.append((rows[one], rows[other], joint.compare(one, other, pairs)))
    return found


def standings(rows: Sequence[Row]) -> Standings | None:
    """Compare the finished rows of one edition; None where fewer than two have finished or nothing can be said.

    Rows of one name (two versions, two configurations) are not told apart by it, so only the first is compared.
    """
    named = {row.name: row for row in reversed(rows) if row.cells}
    compared = [row for row in rows if named.get(row.name) is row]
    if len(compared) < 2 or min(compared[0].sample.sizes()) < 2:
        return None
    joint = join(compared)
    found = compare_rows(compared, joint)
    adjusted = holm([difference.p for _, _, difference in found])
    pairs = tuple(Pair(a.name, b.name, d, p) for (a, b, d), p in zip(found, adjusted, strict=True))
    names = [row.name for row in compared]
    places = {name: number for number, name in enumerate(names)}
    plain = [(places[pair.first], places[pair.second], pair.difference.value, pair.adjusted) for pair in pairs]
    return Standings(
        dict(zip(names, ranks(len(names), plain), strict=True)),
        dict(zip(names, joint.probability_of_top(), strict=True)),
        pairs,
        median(pair.difference.smallest for pair in pairs) if pairs else None,
        min(compared[0].sample.sizes()),
    )


def standing_note(found: Standings | None) -> str:
    """Say what a task can resolve, who may be the best, and whether there are too few images to trust intervals."""
    if found is None:
        return ""
    parts = []
    if found.resolves is not None:
        parts.append(
            f"To be told apart (80 % power, p < 0.05) two detectors must differ by about {found.resolves:.3f} AUROC"
        )
    leader = max(found.top, key=lambda name: found.top[name])
    parts.append(f"highest true AUROC: {leader} with probability {_chance(found.top[leader])}")
    if found.units < FEW:
        parts.append(f"only {found.units} patients or images in a class: intervals may be too narrow")
    return "; ".join(parts) + "."


def rank_text(rank: tuple[int, int] | None) -> str:
    """``1``, ``2–4``, or nothing."""
    if rank is None:
        return "–"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def _chance(share: float) -> str:
    return "> 0.99" if share > 0.99 else f"{share:.2f}"
