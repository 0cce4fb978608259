"""``bench publish``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import BlockOption, ResultsOption, open_registry


def publish(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Cell ids, or folders with records.")],
    results: ResultsOption = Path("bench-runs"),
    to: Annotated[Path, typer.Option(help="Folder of published results.")] = Path("results"),
    no_plugin: BlockOption = None,
) -> None:
    """Verify records (hashes, images, every metric recomputed) and copy them into results/; all of them or none."""
    from bench.report.published import write_leaderboard
    from bench.results.checksums import refuse_edited
    from bench.results.publish import check_publishable, find_cells, publish_cell
    from bench.results.store import Store

    metrics = [offer.spec for offer in open_registry(no_plugin).metrics.values()]
    checked = [check_publishable(folder, metrics) for folder in find_cells(runs, Store(results))]
    target = Store(to)
    target.check_writable()
    refuse_edited(to)
    for found in checked:
        record = publish_cell(found, target)
        typer.echo(
            f"{record.task.name} {record.detector.name}@{record.detector.variant} seed {record.seed}: {record.cell}"
        )
    write_leaderboard(to)
    typer.echo(f"published {len(checked)} record(s) to {to}", err=True)
