"""``bench leaderboard``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bench.cli.options import BlockOption, OneTaskOption, RowsOption, catalogue_and_kept, split_names
from bench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from bench.site.build import Built

leaderboard = typer.Typer(no_args_is_help=True, help="Tables, curves and a site from published records alone.")
RecordsArgument = Annotated[Path, typer.Argument(help="Folder of records.")]


@leaderboard.command("table")
def table(
    results: RecordsArgument = Path("results"),
    task: OneTaskOption = None,
    detectors: RowsOption = None,
    form: Annotated[str, typer.Option("--format", help="terminal, md, csv, json or latex.")] = "terminal",
    roc: Annotated[Optional[Path], typer.Option(help="Also draw the ROC curves into this folder.")] = None,  # noqa: UP045
) -> None:
    """Print the table of published records; nothing is trained."""
    from rich.console import Console

    from bench.report import table as render
    from bench.report.latex import as_latex
    from bench.report.published import notes_below, published_rows
    from bench.report.roc import write_roc_curves
    from bench.results.store import Store

    writers = {"csv": render.as_csv, "json": render.as_json}
    texts = {"md": render.as_markdown, "latex": as_latex}
    if form not in (*writers, *texts, "terminal"):
        raise UnknownNameError("format", form, [*writers, *texts, "terminal"])
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
    elif form in texts:
        typer.echo(texts[form](rows, notes), nl=False)
    else:
        typer.echo(writers[form](rows), nl=form == "json")


@leaderboard.command("build")
def build(
    results: RecordsArgument = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder of the site; a new one, or one that bench wrote.")] = Path("site"),
    no_plugin: BlockOption = None,
) -> None:
    """Write the leaderboard as a static site: any web server can host it, and it opens from disk too."""
    _tell(_builder(results, out, no_plugin)(), out)


@leaderboard.command("serve")
def serve(
    results: RecordsArgument = Path("results"),
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 8000,
    no_plugin: BlockOption = None,
) -> None:
    """Show the site on this machine, and build it again whenever the records change."""
    from tempfile import TemporaryDirectory

    from bench.site.serve import HOST, open_server
    from bench.site.serve import serve as run

    with TemporaryDirectory(prefix="bench-site-") as folder:
        out = Path(folder) / "site"
        builder = _builder(results, out, no_plugin)
        server = open_server(out, port)
        _tell(builder(), out)
        typer.echo(f"http://{HOST}:{server.server_address[1]}/ (Ctrl-C ends it)")
        run(server, results, lambda: _tell(builder(), out))


def _builder(results: Path, out: Path, no_plugin: list[str] | None) -> Callable[[], Built]:
    from bench.site.build import build_site

    catalogue, kept = catalogue_and_kept(no_plugin)
    return lambda: build_site(results, out, catalogue, kept)


def _tell(built: Built, out: Path) -> None:
    count = len(built.site.problems)
    typer.echo(
        f"{out / 'index.html'}: {built.site.records} records, {built.written} of {built.files} files written", err=True
    )
    if count:
        typer.echo(f"warning: {count} problem(s) are not shown but named on problems.html: run bench verify", err=True)
