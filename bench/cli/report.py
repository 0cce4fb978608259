"""``bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import BlockOption, ResultsOption, catalogue_and_kept


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Cell ids, or folders with records.")],
    results: ResultsOption = Path("bench-runs"),
    out: Annotated[Path, typer.Option(help="File of the report.")] = Path("report.html"),
    no_plugin: BlockOption = None,
) -> None:
    """Write one HTML file about runs: ranking, curves, pairs, configuration, provenance; it needs no other file."""
    from bench.files import write_atomically
    from bench.results.publish import find_cells
    from bench.results.store import Store
    from bench.site.run_report import report as render

    folders = find_cells(runs, Store(results))
    page = render(folders, *catalogue_and_kept(no_plugin))
    write_atomically(out, page)
    typer.echo(str(out))
