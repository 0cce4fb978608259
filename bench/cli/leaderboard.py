"""``bench leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from bench.cli.options import OneTaskOption, RowsOption, split_names
from bench.errors import UnknownNameError, UsageError

leaderboard = typer.Typer(no_args_is_help=True, help="Tables and curves from published records alone.")


@leaderboard.callback()
def group() -> None:
    """Make this a group of commands even while it has one."""


@leaderboard.command("table")
def table(
    results: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("results"),
    task: OneTaskOption = None,
    detectors: RowsOption = None,
    form: Annotated[str, typer.Option("--format", help="terminal, md, csv or json.")] = "terminal",
    roc: Annotated[Optional[Path], typer.Option(help="Also draw the ROC curves into this folder.")] = None,  # noqa: UP045
) -> None:
    """Print the table of published records; nothing is trained."""
    from rich.console import Console

    from bench.report import table as render
    from bench.report.published import notes_below, published_rows
    from bench.report.roc import write_roc_curves
    from bench.results.store import Store

    writers = {"csv": render.as_csv, "json": render.as_json}
    if form not in (*writers, "md", "terminal"):
        raise UnknownNameError("format", form, [*writers, "md", "terminal"])
    if private := sorted({record.task.name for _, record in Store(results).records() if record.task.private}):
        typer.echo(f"note: private tasks are left out: {', '.join(private)}", err=True)
    rows = published_rows(results, split_names(detectors) if detectors else None, task)
    if not rows:
        raise UsageError(f"no published record in {results} fits")
    if roc is not None:
        write_roc_curves(rows, roc)
    notes = notes_below(results, rows)
    if form == "terminal":
        render.print_tables(rows, Console(), notes)
    elif form == "md":
        typer.echo(render.as_markdown(rows, notes), nl=False)
    else:
        typer.echo(writers[form](rows), nl=form == "json")
