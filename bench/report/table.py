"""The comparative table, for a terminal, for Markdown, and for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.metrics import IMAGE_METRICS, Interval
from bench.report.rows import Row, by_edition, superseded
from bench.report.standing import Standings, rank_text, standing_note, standings
from bench.results.record import TaskPart

EMPTY = ("task", "task_version", "edition", "detector", "version", "variant", "status", "reason", "seeds")
SENSITIVITY = "tune_sensitivity_at_95_specificity"
FALSE_ALARMS = "false_alarm_rate_at_95_specificity"
# Broken headings, so that a table fits a terminal of 80 columns.
NARROW_HEADINGS = (
    "detector",
    "rank",
    "AUROC\n[95 % interval]",
    "AP",
    "sens.",
    "false\nalarms",
    "fit",
    "images\n/s",
    "seeds",
)
HEADINGS = tuple(heading.replace("\n/", "/").replace("\n", " ") for heading in NARROW_HEADINGS)


def prevalence(task: TaskPart) -> float:
    """Share of anomalous images in the test set."""
    test = task.counts["test"]
    return test["anomalous"] / (test["normal"] + test["anomalous"])


def describe_task(task: TaskPart, newer: str | None = None) -> str:
    """One line: name, edition, counts, prevalence, a warning where the images are drawn, and a newer version if any."""
    counts = task.counts
    tune = counts.get("tune", {}).get("normal", 0)
    old = "" if newer is None else f" · superseded by v{newer}"
    return (
        f"{task.name} v{task.version} ({task.edition}{', SYNTHETIC images' if task.synthetic else ''}){old} · "
        f"{counts['fit']['normal']} fit, {tune} tune, "
        f"{counts['test']['normal']} normal + {counts['test']['anomalous']} anomalous test · "
        f"prevalence {prevalence(task):.1%} · grouping: {task.grouping}{f' · {task.protocol}' if task.protocol else ''}"
    )


def as_json(rows: Sequence[Row]) -> str:
    """Return the rows as one JSON object; values of a failed row are null."""
    editions = by_edition(rows)
    found = {task.manifest_sha256: standings(own) for task, own in editions}
    newer = superseded(row.task for row in rows)
    tasks = [
        {
            "name": task.name,
            "version": task.version,
            "superseded_by": newer.get((task.name, task.version)),
            "edition": task.edition,
            "grouping": task.grouping,
            "protocol": task.protocol,
            "synthetic": task.synthetic,
            "counts": task.counts,
            "prevalence": prevalence(task),
            "smallest_resolvable": standing.resolves if (standing := found[task.manifest_sha256]) else None,
        }
        for task, _ in editions
    ]
    plain = [_plain(row, found[row.task.manifest_sha256]) for row in rows]
    return json.dumps({"rows": plain, "tasks": tasks}, indent=1)


def _plain(row: Row, found: Standings | None) -> dict[str, Any]:
    best, worst = found.ranks.get(row.name, (None, None)) if found and row.cells else (None, None)
    return {
        "task": row.task.name,
        "task_version": row.task.version,
        "edition": row.task.edition,
        "detector": row.detector,
        "version": row.version,
        "variant": row.variant,
        "status": row.status,
        "reason": row.reason,
        "seeds": list(row.seeds),
        "best_rank": best,
        "worst_rank": worst,
        "probability_of_top": found.top.get(row.name) if found and row.cells else None,
        **{
            name: {part: getattr(row.metrics.get(name), part, None) for part in ("value", "low", "high")}
            for name in IMAGE_METRICS
        },
        **{
            name: {part: getattr(interval, part) for part in ("value", "low", "high")}
            for name, interval in row.pixels.items()
        },
        "fit_seconds": row.fit_seconds,
        "images_per_second": row.images_per_second,
    }


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV, one column a number."""
    text = io.StringIO()
    found = {task.manifest_sha256: standings(own) for task, own in by_edition(rows)}
    flat = [_flat(_plain(row, found[row.task.manifest_sha256])) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row)) or list(EMPTY)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(plain: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            flat |= {name if part == "value" else f"{name}_{part}": number for part, number in value.items()}
        else:
            flat[name] = " ".join(map(str, value)) if isinstance(value, list) else value
    return flat


def as_markdown(rows: Sequence[Row], notes: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return one Markdown table per task; ``notes`` are lines to stand below it, by hash of the manifest."""
    parts, newer = [], superseded(row.task for row in rows)
    for task, own in by_edition(rows):
        heading = describe_task(task, newer.get((task.name, task.version)))
        lines = [f"**{heading}**", "", "| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
        found = standings(own)
        lines += ["| " + " | ".join(_escape(cell) for cell in cells_of(row, found)) + " |" for row in own]
        below = filter(None, [pretrained_note(own), standing_note(found), notes.get(task.manifest_sha256, "")])
        parts.append("\n".join([*lines, *(line for note in below for line in ("", _escape(note)))]))
    return "\n\n".join(parts) + "\n"


def _escape(cell: str) -> str:
    """Show a text as it is: no table, emphasis, code, link or element begins in it. Records may be a stranger's."""
    cell = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(cell.splitlines()))
    return re.sub(r"[\\|*`]|(?<=\])(?=[(\[:])", lambda found: f"\\{found[0]}", cell)


def print_tables(rows: Sequence[Row], console: Console, notes: Mapping[str, str] = MappingProxyType({})) -> None:
    """Print one table per task; ``notes`` as in :func:`as_markdown`."""
    newer = superseded(row.task for row in rows)
    for task, own in by_edition(rows):
        found = standings(own)
        table = _rich_table(own, found)
        console.print(Text(describe_task(task, newer.get((task.name, task.version))), style="bold"))
        print_wide(table, console)
        for note in filter(None, [standing_note(found), notes.get(task.manifest_sha256, "")]):
            console.print(Text(note, style="dim"))
        console.print(_notes(own))


def plain_table(*headings: str) -> Table:
    """Return a table without edges whose cells are never wrapped."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading), no_wrap=True)
    return table


def print_wide(table: Table, console: Console) -> None:
    """Print a table as wide as it is: a narrow terminal wraps the lines, and cutting numbers off would be worse."""
    screen = console.width
    console.width = max(screen, console.measure(table, options=console.options.update(width=1000)).maximum)
    console.print(table)
    console.width = screen


def _rich_table(rows: Sequence[Row], found: Standings | None) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    for number, heading in enumerate(NARROW_HEADINGS):
        table.add_column(Text(heading), justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, style="" if row.status == "ok" else "red") for cell in cells_of(row, found)))
    return table


def _notes(rows: Sequence[Row]) -> RenderableType:
    """Why cells failed, and which rows build on pretrained weights."""
    failures = [
        Text(f"{row.name}, seed {_seeds(row)}: {row.status}: {row.reason}", style="red") for row in rows if row.reason
    ]
    note = pretrained_note(rows)
    return Group(*failures, *([Text(note, style="dim")] if note else []), Text(""))


def pretrained_note(rows: Sequence[Row]) -> str:
    """Say which detectors build on weights learned elsewhere; empty if none does."""
    return "; ".join(f"* {row.name} uses pretrained {', '.join(row.pretrained)}" for row in rows if row.pretrained)


def cells_of(row: Row, found: Standings | None) -> list[str]:
    """Texts of one line of a table, below :data:`HEADINGS`."""
    name = row.name + ("*" if row.pretrained else "")
    if row.auroc is None:
        return [name, "–", row.status, "–", "–", "–", "–", "–", _seeds(row)]
    return [
        name,
        rank_text(found.ranks.get(row.name) if found else None),
        with_interval(row.auroc),
        _value(row.values.get("average_precision")),
        _value(row.values.get(SENSITIVITY)),
        _value(row.values.get(FALSE_ALARMS)),
        seconds_text(row.fit_seconds),
        rate_text(row.images_per_second),
        _seeds(row),
    ]


def with_interval(interval: Interval) -> str:
    """``0.843 [0.812, 0.870]``."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def seconds_text(seconds: float | None) -> str:
    """``16.4 s`` or ``5.5 min``."""
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def rate_text(rate: float | None) -> str:
    """``1,805`` or ``122k``."""
    if rate is None:
        return "–"
    return f"{rate:,.0f}" if rate < 10_000 else f"{rate / 1000:.0f}k"


def _seeds(row: Row) -> str:
    return ",".join(map(str, row.seeds))
