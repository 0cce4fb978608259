"""What ``bench score`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from bench.metrics import Interval
from bench.report.rows import Row, by_edition
from bench.report.subgroups import Subgroup
from bench.report.table import describe_task, plain_table, print_wide, with_interval


def print_metrics(rows: Sequence[Row], found: Sequence[Mapping[str, Interval]], names: Sequence[str]) -> None:
    """Print one table a task: a line for each metric and detector, with its interval and the method of it."""
    metrics = dict(zip(map(id, rows), found, strict=True))
    console = Console(soft_wrap=False)
    for task, own in by_edition(rows):
        table = plain_table("metric", "detector", "value [95 % interval]", "method")
        for name in names:
            for row in own:
                if interval := metrics[id(row)].get(name):
                    table.add_row(Text(name), Text(row.name), Text(with_interval(interval)), Text(interval.method))
        console.print(Text(describe_task(task), style="bold"))
        print_wide(table, console)
        console.print()


def print_subgroups(found: Sequence[tuple[Row, Sequence[Subgroup]]], by: str) -> None:
    """Print one table a task: a line for each subgroup and detector, with counts and a warning where it is small."""
    parts = {id(row): of for row, of in found}
    console = Console(soft_wrap=False)
    for task, own in by_edition([row for row, _ in found]):
        table = plain_table(by, "detector", "AUROC [95 % interval]", "normal + anomalous", "note")
        for place in range(len(parts[id(own[0])])):
            for row in own:
                one = parts[id(row)][place]
                value = with_interval(one.auroc) if one.auroc else "–"
                table.add_row(*map(Text, (one.name, row.name, value, f"{one.normal} + {one.anomalous}", one.note)))
        console.print(Text(describe_task(task), style="bold"))
        print_wide(table, console)
        console.print()
