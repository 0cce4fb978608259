"""``bench leaderboard merge``, ``attest``, ``check`` and ``migrate``: what maintainers do with published records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import BlockOption, catalogue_and_kept
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.report.merging import Merged

PublishedArgument = Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder of published results.")]


def merge(
    submission: Annotated[Path, typer.Argument(metavar="SUBMISSION.zip", help="What bench submit made.")],
    into: Annotated[Path, typer.Option(help="Folder of published results.")] = Path("results"),
    by: Annotated[str, typer.Option(help="Who recomputes the metrics; stands in attestations.json.")] = "maintainers",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Check a submission, recompute its metrics, and refuse it with all reasons or add it; print what ranks change."""
    from datetime import date

    from bench.report.merging import merge_submission

    merged = merge_submission(submission, _folder(into), by, date.today(), dry_run)
    _show(merged)
    verb = "would be added" if dry_run else "added"
    typer.echo(f"{len(merged.added)} record(s) {verb} to {into}", err=True)


def _show(merged: Merged) -> None:
    from rich.console import Console
    from rich.text import Text

    from bench.report.table import plain_table, print_wide

    console = Console()
    for record, standing in zip(merged.added, merged.joined, strict=True):
        detector = record.detector
        name = f"{record.task.name} {detector.name}@{detector.variant} {detector.version} seed {record.seed}"
        notes = [f"says that it is of {detector.distribution} {detector.distribution_version}"]
        notes += [] if record.status == "ok" else [record.status]
        notes += [f"joins a row that has {standing} published record(s)"] if standing else []
        if record.detector.variant != "default":
            notes.append("a variant, which tables show when it is asked for")
        typer.echo(f"{name}: {record.cell} ({'; '.join(notes)})")
    for task, changes in merged.changes:
        shown = plain_table("detector", "rank before", "after", "AUROC [95 % interval]")
        for change in changes:
            shown.add_row(*map(Text, (change.name, change.before or "new", change.after, change.auroc)))
        console.print(Text(f"\n{task}", style="bold"))
        print_wide(shown, console)


def attest(
    results: PublishedArgument,
    cells: Annotated[list[str], typer.Argument(metavar="CELL…", help="Ids of published cells, or how they begin.")],
    badge: Annotated[Literal["rerun", "reproduced"], typer.Option(help="What the second run shows.")],
    by: Annotated[str, typer.Option(help="Who ran it again.")],
    rerun: Annotated[Path, typer.Option(help="Results folder of the second run.")],
) -> None:
    """Note that cells were run again with the same scores, or reproduced within their interval; it is checked."""
    from datetime import date

    from bench.report.merging import attest_cells

    count = attest_cells(_folder(results), cells, badge, by, date.today(), _folder(rerun))
    typer.echo(f"{count} record(s) of {results}: {badge}, by {by}")


def check(results: PublishedArgument = Path("results"), no_plugin: BlockOption = None) -> None:
    """Derive the committed leaderboard again and name every file that differs from the records; exit 1 if one does."""
    from bench.report.published import check_leaderboard
    from bench.site.build import PUBLISHED, published_problems

    problems, site = check_leaderboard(_folder(results)), (results / PUBLISHED).exists()
    if site and not problems:
        problems = published_problems(results, *catalogue_and_kept(no_plugin))
    for problem in problems:
        typer.echo(problem)
    if problems:
        typer.echo(f"{results}: the leaderboard is not what the records give", err=True)
        raise typer.Exit(1)
    typer.echo(f"{results}: checksums, tables and schemas{', and the site' if site else ''} are what the records give")


def migrate(results: PublishedArgument = Path("results")) -> None:
    """Bring records of older schemas to that of this bench; all of them or none."""
    from bench.report.published import write_leaderboard
    from bench.results.checksums import NAME, refuse_edited
    from bench.results.migrate import migrate as migrate_all
    from bench.results.record import SCHEMA
    from bench.whole import changing_whole

    refuse_edited(_folder(results))
    with changing_whole(results) as copy:
        changed, count = migrate_all(copy)
        if changed and (copy / NAME).exists():
            write_leaderboard(copy)
    typer.echo(f"{changed} of {count} record(s) of {results} brought to schema {SCHEMA}")


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder")
    return path
