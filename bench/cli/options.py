"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from bench.registry import Registry
    from bench.site.catalogue import Catalogue
    from bench.site.keeping import Kept

# typer reads these annotations when the program starts, so they name only what is already imported.
DataOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--data", envvar="BENCH_DATA", help="Folder that the downloaded data sets lie in."),
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder that records go to.")]
BlockOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--no-plugin", metavar="NAME", help="Do not load this plugin. May be repeated."),
]
AcceptOption = Annotated[
    bool, typer.Option("--accept-data-changes", help="Take a changed data folder as a new edition.")
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out images that cannot be read; the manifest says which.")
]
OneTaskOption = Annotated[Optional[str], typer.Option("--task", help="Only this task.")]  # noqa: UP045
RowsOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--detectors", help="Only these rows, e.g. salad,salad@no-ssim; the default variant of all otherwise."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_registry(blocked: list[str] | None) -> Registry:
    """Load the plugins and say on stderr which ones are broken."""
    from bench.registry import load_registry

    registry = load_registry(blocked or [])
    for plugin in registry.plugins:
        if plugin.status == "broken":
            typer.echo(f"warning: plugin '{plugin.name}' is broken: {plugin.reason}", err=True)
    return registry


def catalogue_and_kept(no_plugin: list[str] | None) -> tuple[Catalogue, Kept]:
    """What installed plugins say of the names in records, and where facts are kept between builds."""
    from bench.files import cache_folder
    from bench.site.catalogue import catalogue_of
    from bench.site.keeping import Kept

    cache = cache_folder()
    return catalogue_of(open_registry(no_plugin), cache), Kept(cache / "site")


def split_names(text: str) -> list[str]:
    """``"a, b,a"`` to ``["a", "b"]``."""
    return list(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
