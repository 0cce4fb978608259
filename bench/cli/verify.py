"""``bench verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import BlockOption, JsonOption, open_registry
from bench.errors import UsageError


def verify(
    results: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("results"),
    deep: Annotated[bool, typer.Option("--deep", help="Compute the bootstrap intervals again too.")] = False,
    no_plugin: BlockOption = None,
    as_json: JsonOption = False,
) -> None:
    """Derive every published number again from the per-image scores, and name what differs; nothing is trained."""
    from bench.errors import RecordError
    from bench.report.published import check_tables
    from bench.results.verify import verify_results

    metrics = [offer.spec for offer in open_registry(no_plugin).metrics.values()]
    if not results.is_dir():
        raise UsageError(f"{results} is not a folder")
    count, problems = verify_results(results, metrics, deep)
    if not problems:  # tables of records that do not verify would only say the same again
        try:
            problems = check_tables(results)
        except RecordError as error:
            problems = [str(error)]
    if as_json:
        typer.echo(json.dumps({"records": count, "problems": problems}, indent=1))
    else:
        for problem in problems:
            typer.echo(problem)
    if problems:
        typer.echo(f"{len(problems)} problem(s) in {count} record(s) of {results}", err=True)
        raise typer.Exit(1)
    if count == 0:
        raise UsageError(f"no record in {results}")
    if not as_json:
        rest = "" if deep else "; bootstrap intervals are looked at with --deep"
        typer.echo(f"{count} record(s) verified: files, images, metrics and tables are what the scores give{rest}")
