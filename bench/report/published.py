"""What is derived from published records and committed beside them: tables, schemas and the list of checksums."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.files import write_atomically
from bench.report.audits import audit_notes
from bench.report.badges import badge_notes
from bench.report.rows import Row, make_rows, newest
from bench.report.table import as_markdown
from bench.results.checksums import NAME, check_listed, write_checksums
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


def notes_below(results: Path, rows: Sequence[Row]) -> dict[str, str]:
    """What stands below the table of an edition, by hash of its manifest: its audit, and who followed its rows.

    Raises:
        RecordError: an audit or a list of attestations that cannot be read.

    """
    audits, followed = audit_notes(results, rows), badge_notes(results, rows)
    return {sha: " ".join(filter(None, (audits.get(sha), followed.get(sha)))) for sha in {**audits, **followed}}


def derived_files(results: Path) -> dict[Path, bytes]:
    """All files that are committed and follow from the records alone, by path below the folder of results.

    What is added here is written by ``bench publish``, ``bench score --write`` and ``bench leaderboard merge``, and is
    held against the records by ``bench leaderboard check``. The same records must give the same bytes.

    Raises:
        RecordError: a record that cannot be read.

    """
    rows = published_rows(results)
    files = {TABLES: as_markdown(rows, notes_below(results, rows)).encode()}
    for name, schema in schemas().items():
        files[Path("schemas") / name] = (json.dumps(schema, indent=1) + "\n").encode()
    return files


def write_leaderboard(results: Path) -> None:
    """Write the derived files and checksums of a folder of published results.

    Raises:
        StorageError: they cannot be written.
        RecordError: a record that cannot be read.

    """
    for path, content in derived_files(results).items():
        write_atomically(results / path, content)
    write_checksums(results)


def check_tables(results: Path) -> list[str]:
    """Say whether the committed tables are those of the records; nothing is said where there are none."""
    return check_derived(results) if (results / TABLES).exists() else []


def check_leaderboard(results: Path) -> list[str]:
    """Say what of a published leaderboard differs from its records: a checksum, a table, a schema.

    Raises:
        RecordError: a record that cannot be read.

    """
    listed = check_listed(results) if (results / NAME).exists() else [f"{NAME}: it is missing"]
    if listed:
        return [*listed, f"put back what was changed by hand, for example with git checkout -- {results}"]
    return check_derived(results)


def check_derived(results: Path) -> list[str]:
    """Name every derived file that is missing or is not what the records give, with the command that writes it anew."""
    problems = []
    for path, content in derived_files(results).items():
        try:
            same = (results / path).read_bytes() == content
        except FileNotFoundError:
            problems.append(f"{path}: it is missing: run bench score {results} --write")
            continue
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}")
            continue
        if not same:
            problems.append(f"{path}: it is not what the records give: run bench score {results} --write")
    return problems
