"""``bench show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import BlockOption, open_registry
from bench.errors import UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.contracts import DetectorSpec, TaskSpec
    from bench.registry import Offer


def show(
    name: Annotated[str, typer.Argument(help="Name of a detector or a task.")],
    no_plugin: BlockOption = None,
) -> None:
    """Show one detector or task: what it is, where it comes from, every field with default and meaning."""
    from rich.console import Console

    registry = open_registry(no_plugin)
    console = Console(highlight=False, markup=False)
    if name in registry.tasks and name not in registry.detectors:
        _show_task(registry.task(name), console)
    elif name in registry.detectors or ("detector", name) in registry.conflicts:
        _show_detector(registry.detector(name), console)
    else:
        raise UnknownNameError("detector or task", name, [*registry.detectors, *registry.tasks])


def _show_detector(offer: Offer[DetectorSpec], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    spec = offer.spec
    make = spec.config()
    _facts(
        console,
        f"{spec.name} {spec.version}",
        {
            "summary": spec.summary,
            "citation": spec.citation,
            "from": f"{offer.plugin.distribution} {offer.plugin.version}",
            "needs": spec.resources,
            "pretrained": "; ".join(
                f"{weights.name}, from {weights.source}, licence: {weights.licence}"
                for weights in spec.pretrained(make())
            )
            or "no: trained from scratch",
            "anomaly maps": "yes" if spec.maps else "no",
            "seeds": "matter" if spec.stochastic else "do not matter: one is run",
            **spec.card,
            **{f"known failure: {check}": why for check, why in spec.known_failures.items()},
        },
    )
    fields = Table(title="configuration (--set " + spec.name + ".FIELD=VALUE)", title_justify="left", pad_edge=False)
    for heading in ("field", "default", "meaning"):
        fields.add_column(heading, overflow="fold")
    for name, field in make.model_fields.items():
        fields.add_row(
            Text(name), Text(_plain(field.get_default(call_default_factory=True))), Text(field.description or "")
        )
    console.print(fields)
    presets = Table(title="presets (--preset NAME)", title_justify="left", pad_edge=False)
    presets.add_column("preset")
    presets.add_column("changes from the defaults", overflow="fold")
    for name, values in {"default": {}, **spec.presets}.items():
        presets.add_row(
            Text(name), Text(", ".join(f"{key}={_plain(value)}" for key, value in values.items()) or "none")
        )
    console.print(presets)


def _show_task(offer: Offer[TaskSpec], console: Console) -> None:
    spec = offer.spec
    _facts(
        console,
        f"{spec.name} v{spec.version}",
        {
            "modality": spec.modality + (" (SYNTHETIC images)" if spec.synthetic else ""),
            "citation": spec.citation,
            "licence": spec.licence,
            "download": spec.url,
            "grouping": spec.grouping,
            "from": f"{offer.plugin.distribution} {offer.plugin.version}",
            "layout": "\n" + spec.layout,
        },
    )


def _facts(console: Console, title: str, facts: dict[str, str]) -> None:
    console.print(title, style="bold")
    for name, value in facts.items():
        console.print(f"  {name}: {value}", soft_wrap=True)
    console.print()


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
