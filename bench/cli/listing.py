"""``bench list``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import BlockOption, DataOption, JsonOption, open_registry
from bench.cli.task_list import print_notes, task_entries
from bench.errors import UnknownNameError

if TYPE_CHECKING:
    from bench.registry import Plugin, Registry


def listing(
    kind: Annotated[str, typer.Argument(help="detectors, tasks, plugins, or all of them.")] = "all",
    data: DataOption = None,
    as_json: JsonOption = False,
    no_plugin: BlockOption = None,
) -> None:
    """List detectors, tasks and plugins."""
    kinds = list(COLUMNS) if kind == "all" else [kind]
    if kind not in (*COLUMNS, "all"):
        raise UnknownNameError("kind of list", kind, COLUMNS)
    registry = open_registry(no_plugin)
    found = {name: LISTS[name](registry) if name != "tasks" else task_entries(registry, data) for name in kinds}
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for name, entries in found.items():
        if name == "plugins":
            entries = [
                {**entry, "offers_or_reason": _offers_or_reason(plugin, registry)}
                for entry, plugin in zip(entries, registry.plugins, strict=True)
            ]
        if name == "tasks":
            entries = [entry for entry in entries if entry["base"] is None]
        _print(name, entries, COLUMNS[name])
        if name == "tasks":
            print_notes(registry, entries)


def _offers_or_reason(plugin: Plugin, registry: Registry) -> str:
    """What people want to know of a plugin in one cell: what it is for, or why it is not there."""
    kinds = {kind: plugin.offered(kind) for kind in ("detector", "task", "metric")}
    kinds["task"] = [
        name for name in kinds["task"] if name not in registry.tasks or registry.tasks[name].spec.base is None
    ]
    kinds["hook"] = [hook.removeprefix("bench_") for hook in plugin.hooks if hook.endswith("_finished")]
    offers = [f"{kind}{'s' * (len(names) > 1)} {', '.join(names)}" for kind, names in kinds.items() if names]
    return "\n".join(filter(None, [*(offers if plugin.status == "ok" else []), plugin.reason]))


def detector_entries(registry: Registry) -> list[dict[str, Any]]:
    """One entry a detector, as ``bench list detectors --json`` prints it."""
    return [
        {
            "name": name,
            "version": offer.spec.version,
            "distribution": offer.plugin.distribution,
            "summary": offer.spec.summary,
            "pretrained": [weights.name for weights in offer.spec.pretrained(offer.spec.config()())],
            "maps": offer.spec.maps,
        }
        for name, offer in sorted(registry.detectors.items())
    ]


def plugin_entries(registry: Registry) -> list[dict[str, Any]]:
    """One entry a plugin, as ``bench list plugins --json`` prints it."""
    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "status": plugin.status,
            "reason": plugin.reason,
            "hooks": list(plugin.hooks),
            "detectors": plugin.offered("detector"),
            "import_seconds": round(plugin.import_seconds, 4),
        }
        for plugin in registry.plugins
    ]


LISTS: dict[str, Callable[[Registry], list[dict[str, Any]]]] = {
    "detectors": detector_entries,
    "plugins": plugin_entries,
}
COLUMNS = {
    "detectors": ("name", "version", "summary", "pretrained"),
    "tasks": ("name", "modality", "images", "patients", "grouping", "licence", "state"),
    "plugins": ("name", "distribution", "version", "status", "offers_or_reason", "import_seconds"),
}


NARROW = ("name", "distribution", "version", "status")


def _print(title: str, entries: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in NARROW)
    for entry in entries:
        table.add_row(*(Text(_text(entry[column])) for column in columns))
    Console().print(table)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
