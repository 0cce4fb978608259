"""What is derived from published records and committed beside them: tables, schemas and the list of checksums."""

from __future__ import annotations

import json
from pathlib import Path

from bench.files import write_atomically
from bench.report.audits import audit_notes
from bench.report.rows import Row, make_rows, newest
from bench.report.table import as_markdown
from bench.results.checksums import write_checksums
from bench.results.schema import schemas
from bench.results.store import Store

TABLES = Path("leaderboard") / "tables.md"


def published_rows(
    results: Path, names: list[str] | None = None, task: str | None = None, private: bool = False
) -> list[Row]:
    """Return the rows that are shown of a folder of results: newest versions.

    Args:
        results: folder of records.
        names: only these rows (``salad@no-ssim``), whatever their variant; None: the default variant of all.
        task: only this task.
        private: with private tasks, for the eyes of who has their records; never for what is published.

    Raises:
        RecordError: a record that cannot be read.

    """
    found = [
        (folder, record)
        for folder, record in Store(results).records()
        if (private or not record.task.private) and task in (None, record.task.name)
    ]
    return newest(make_rows(found), names)


def render_tables(results: Path) -> bytes:
    """Return the published tables as Markdown; the same records give the same bytes."""
    rows = published_rows(results)
    return as_markdown(rows, audit_notes(results, rows)).encode()


def write_leaderboard(results: Path) -> None:
    """Write the tables, schemas and checksums of a folder of published results.

    Raises:
        StorageError: they cannot be written.
        RecordError: a record that cannot be read.

    """
    write_atomically(results / TABLES, render_tables(results))
    for name, schema in schemas().items():
        write_atomically(results / "schemas" / name, (json.dumps(schema, indent=1) + "\n").encode())
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
