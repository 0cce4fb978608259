"""What maintainers add to published results, whole or not at all: submissions, and words on who ran cells again."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bench.errors import RecordError, SubmissionError, UsageError
from bench.report.published import published_rows, write_leaderboard
from bench.report.rows import Row, by_edition
from bench.report.standing import rank_text, standings
from bench.report.table import describe_task, with_interval
from bench.results.archive import plain, unpack_file
from bench.results.attestations import Badge, add_attestations, attest
from bench.results.checksums import refuse_edited
from bench.results.duplicates import row_of
from bench.results.known import Known
from bench.results.merge import add_cells
from bench.results.publish import find_cells
from bench.results.record import Record, read_record
from bench.results.rerun import rerun_problems
from bench.results.store import RECORD, Store
from bench.results.submission import check_submission
from bench.whole import changing_whole


@dataclass(frozen=True)
class RankChange:
    """A row of a task before and after; ``before`` is empty where it is new."""

    name: str
    before: str
    after: str
    auroc: str


@dataclass(frozen=True)
class Merged:
    """What was added, or would be: its records, and the rows of each edition that has changed, by its description.

    ``joined`` says of each record how many published ones its row had before.
    """

    added: tuple[Record, ...]
    joined: tuple[int, ...]
    changes: tuple[tuple[str, tuple[RankChange, ...]], ...]


def merge_submission(archive: Path, results: Path, by: str, on: date, dry_run: bool = False) -> Merged:
    """Check a submission and add it to published results, tables and checksums included: all of it or nothing.

    Args:
        archive: what ``bench submit`` made.
        results: folder of published results.
        by: who computes the metrics again, for the badges.
        on: the day.
        dry_run: only say what would change.

    Raises:
        SubmissionError: it is refused, with all reasons.
        RecordError: the published results were changed by hand, or cannot be read.
        StorageError: they cannot be written as a whole.

    """
    refuse_edited(results)
    members, reasons = unpack_file(archive)
    if reasons:
        raise SubmissionError(plain(archive.name, 80), reasons)
    known = Known.of(results)
    checked = check_submission(members, known)
    if checked.reasons:
        raise SubmissionError(plain(archive.name, 80), checked.reasons)
    before = published_rows(results)
    with _scratch_copy(results) if dry_run else changing_whole(results) as copy:
        add_cells(copy, checked.cells, by, on)
        write_leaderboard(copy)
        after = published_rows(copy)
    added = tuple(cell.record for cell in checked.cells)
    standing = Counter(row_of(record) for _, record in known.records)
    return Merged(added, tuple(standing[row_of(record)] for record in added), tuple(rank_changes(before, after)))


def attest_cells(results: Path, cells: Sequence[str], badge: Badge, by: str, on: date, rerun: Path) -> int:
    """Note that published cells were run again, once it is checked that they were.

    Args:
        results: folder of published results.
        cells: their ids, or how these begin.
        badge: what the second run shows.
        by: who ran it.
        on: the day.
        rerun: folder of results of the second run.

    Returns:
        how many cells there are.

    Raises:
        UsageError: no such cell, or not a published one.
        RecordError: the second run does not show it, or the published results were changed by hand.
        StorageError: the note cannot be written.

    """
    refuse_edited(results)
    store = Store(results)
    found = [(folder, read_record(folder / RECORD)) for folder in find_cells(cells, store)]
    for folder, record in found:
        if folder.resolve() != store.folder_of(record).resolve():
            raise UsageError(f"{folder} is no cell of {results}: name the id of a published cell")
    problems = [problem for one in found for problem in rerun_problems(one, rerun, badge)]
    if problems:
        raise RecordError(f"'{badge}' does not hold:\n  " + "\n  ".join(problems))
    with changing_whole(results) as copy:
        add_attestations(copy, attest((record.cell for _, record in found), badge, by, on))
        write_leaderboard(copy)
    return len(found)


def rank_changes(before: Sequence[Row], after: Sequence[Row]) -> list[tuple[str, tuple[RankChange, ...]]]:
    """Ranks of the rows of every edition in which anything has changed, best AUROC first."""
    old = {task.manifest_sha256: _ranks(rows) for task, rows in by_edition(before)}
    found = []
    for task, rows in by_edition(after):
        was, now = old.get(task.manifest_sha256, {}), _ranks(rows)
        if was != now:
            changes = [RankChange(name, was.get(name, ("", ""))[0], *now[name]) for name in now]
            found.append((describe_task(task), tuple(changes)))
    return found


def _ranks(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """By name of row, its rank and its AUROC as tables show them."""
    found = standings(rows)
    return {
        row.name: (rank_text(found.ranks.get(row.name) if found else None), with_interval(row.auroc))
        for row in rows
        if row.auroc is not None
    }


@contextmanager
def _scratch_copy(results: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(shutil.copytree(results, Path(scratch) / "results"))
