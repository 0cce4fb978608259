"""What is derived from published records and committed beside them: tables and the list of checksums."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.files import write_atomically
from bench.report.audits import audit_notes
from bench.report.rows import Row, make_rows, newest
from bench.report.table import as_markdown
from bench.results.checksums import write_checksums
from bench.results.record import Record
from bench.results.store import Store

TABLES = Path("leaderboard") / "tables.md"


def published_rows(results: Path, names: list[str] | None = None, task: str | None = None) -> list[Row]:
    """Return the rows that may be shown of a folder of results: newest versions, nothing of private tasks.

    Args:
        results: folder of records.
        names: only these rows (``salad@no-ssim``), whatever their variant; None: the default variant of all.
        task: only this task.

    Raises:
        RecordError: a record that cannot be read.

    """
    return newest(make_rows(public(Store(results).records(), task)), names)


def public(found: Iterable[tuple[Path, Record]], task: str | None = None) -> list[tuple[Path, Record]]:
    """Leave out private tasks, and all but one task if one is named."""
    return [(f, record) for f, record in found if not record.task.private and task in (None, record.task.name)]


def render_tables(results: Path) -> bytes:
    """Return the published tables as Markdown; the same records give the same bytes."""
    rows = published_rows(results)
    return as_markdown(rows, audit_notes(results, rows)).encode()


def write_leaderboard(results: Path) -> None:
    """Write the tables and the checksums of a folder of published results.

    Raises:
        StorageError: they cannot be written.
        RecordError: a record that cannot be read.

    """
    write_atomically(results / TABLES, render_tables(results))
    write_checksums(results)


def check_tables(results: Path) -> list[str]:
    """Say whether the committed tables are those of the records; nothing is said where there are none."""
    path = results / TABLES
    if not path.exists():
        return []
    try:
        same = path.read_bytes() == render_tables(results)
    except OSError as error:
        return [f"{TABLES} cannot be read: {error}"]
    return [] if same else [f"{TABLES}: it is not what the records give: run bench score {results} --write"]
