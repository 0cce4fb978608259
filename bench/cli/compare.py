"""``bench compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bench.cli.options import JsonOption, split_names
from bench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from bench.report.rows import Row


def compare(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="DETECTOR…", help="Two or more rows: salad, salad@no-ssim."),
    ] = None,
    task: Annotated[Optional[str], typer.Option(help="Only these tasks, separated by commas.")] = None,  # noqa: UP045
    everything: Annotated[
        bool, typer.Option("--all", help="All pairs of each task, and the mean ranks across tasks.")
    ] = False,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="With --all: draw the critical-difference diagram here (.png, .svg, .pdf)."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    as_json: JsonOption = False,
) -> None:
    """Compare detectors on the same images and seeds: difference, interval, p, and what could have been found."""
    if everything == bool(names) or (names and len(set(names)) < 2):
        raise UsageError("name at least two detectors, or give --all")
    if plot is not None and (not everything or plot.suffix not in (".png", ".svg", ".pdf")):
        raise UsageError("--plot belongs to --all and ends in .png, .svg or .pdf")
    rows = _rows(results, list(dict.fromkeys(names)) if names else None, split_names(task) if task else None)
    if everything:
        _all(rows, plot, as_json)
        return
    from bench.report.comparing import print_comparisons
    from bench.report.comparison import choose, compare_all

    found = compare_all(choose(rows, list(dict.fromkeys(names or []))), by_category=True)
    if not as_json:
        print_comparisons(found)
        return
    whole = [one for one in found if one.category is None]
    plain: list[dict[str, Any]] = []
    for one in whole:
        key = (one.task.manifest_sha256, one.first, one.second)
        own = [c for c in found if c.category and (c.task.manifest_sha256, c.first, c.second) == key]
        plain.append({**one.plain(), "categories": [c.plain() for c in own]})
    typer.echo(json.dumps(plain[0] if len(plain) == 1 else {"comparisons": plain}, indent=1))


def _rows(results: Path, names: list[str] | None, tasks: list[str] | None) -> list[Row]:
    from bench.report.published import published_rows

    if not results.is_dir():
        raise UsageError(f"{results} is not a folder")
    rows = [row for row in published_rows(results, names, private=True) if tasks is None or row.task.name in tasks]
    everything = published_rows(results, private=True) if names else rows
    if missing := set(tasks or []) - {row.task.name for row in everything}:
        raise UsageError(f"no record of task {', '.join(sorted(missing))} in {results} fits")
    for name in names or ():
        if not any(row.name == name for row in rows):
            raise UnknownNameError("row", name, {row.name for row in everything})
    return rows


def _all(rows: list[Row], plot: Path | None, as_json: bool) -> None:
    from bench.report.comparing import across, draw_across, print_across, print_comparisons, print_ranks
    from bench.report.comparison import compare_all
    from bench.report.rows import by_edition
    from bench.report.standing import standings

    editions = [(task, finished) for task, own in by_edition(rows) if len(finished := [r for r in own if r.cells]) > 1]
    if not editions:
        raise UsageError("no task has two finished detectors")
    found = [one for edition in editions for one in compare_all([edition], by_category=False)]
    ranked = [(task, standings(own)) for task, own in editions]
    overall = across(editions)
    if as_json:
        ranks = {
            f"{task.name} {task.edition}": {
                n: {"best": a, "worst": b, "top": own.top[n]} for n, (a, b) in own.ranks.items()
            }
            for task, own in ranked
            if own
        }
        typer.echo(
            json.dumps({"comparisons": [c.plain() for c in found], "ranks": ranks, "across": overall.plain()}, indent=1)
        )
    else:
        print_comparisons(found)
        print_ranks(ranked)
        print_across(overall)
    if plot is not None:
        draw_across(overall, plot)
        typer.echo(f"critical-difference diagram: {plot}", err=True)
