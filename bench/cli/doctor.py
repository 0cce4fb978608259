"""``bench doctor``."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bench.cli.options import BlockOption, DataOption, JsonOption, open_registry
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.registry import Registry


def doctor(data: DataOption = None, as_json: JsonOption = False, no_plugin: BlockOption = None) -> None:
    """Say what this machine offers: python, torch, device, threads, data, plugins. Exit 3 if something is broken."""
    registry = open_registry(no_plugin)
    facts, healthy = examine(registry, data)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        for name, value in facts.items():
            if isinstance(value, dict):
                typer.echo(f"{name}:")
                for key, text in value.items():
                    typer.echo(f"  {key}: {text}")
            else:
                typer.echo(f"{name}: {value}")
    if not healthy:
        raise typer.Exit(3)


def examine(registry: Registry, data: Path | None) -> tuple[dict[str, Any], bool]:
    """Gather the facts, and whether everything that is installed can be used."""
    import joblib

    from bench.files import cache_folder, check_writable
    from bench.run.environment import describe_torch, package_versions, processor_name

    torch, healthy = describe_torch()
    cache = cache_folder()
    try:
        check_writable(cache)
        cache_state = f"{cache} (writable)"
    except BenchError as error:
        cache_state, healthy = str(error), False
    plugins = {
        plugin.name: f"{plugin.status}, {plugin.distribution} {plugin.version}"
        + (f": {plugin.reason}" * bool(plugin.reason))
        for plugin in registry.plugins
    }
    facts = {
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "processor": f"{processor_name()}, {joblib.cpu_count()} cores",
        **torch,
        "packages": package_versions(),
        "image cache": cache_state,
        "data folder": str(data) if data else "none: name one with --data DIR or BENCH_DATA",
        "tasks": _tasks(registry, data),
        "plugins": plugins,
    }
    return facts, healthy and all(plugin.status != "broken" for plugin in registry.plugins)


def _tasks(registry: Registry, data: Path | None) -> dict[str, str]:
    from bench.data.index import list_files

    states = {}
    for name, offer in sorted(registry.tasks.items()):
        if offer.spec.base is not None:
            continue
        if offer.spec.synthetic:
            states[name] = "ready: drawn when first used"
        elif data is None:
            states[name] = f"no data folder given; download: {offer.spec.url}"
        else:
            try:
                states[name] = f"found: {len(list_files(offer.spec, data.resolve())):,} images"
            except BenchError as error:
                states[name] = f"{str(error).splitlines()[0]}; download: {offer.spec.url}"
    return states
