"""``bench run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bench.cli.options import (
    AcceptOption,
    BlockOption,
    DataOption,
    JsonOption,
    SkipBadOption,
    open_registry,
    split_names,
)
from bench.errors import BadImagesError, BenchError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from bench.cli.progress import Display
    from bench.contracts import TaskSpec
    from bench.data.index import IndexOptions
    from bench.registry import Registry
    from bench.report.rows import Row
    from bench.run.plan import Changes, TaskImages, Variant
    from bench.run.sandbox import Sandbox

DEFAULT_TASKS = "oct-phantom,cxr-phantom"


def run(
    detectors: Annotated[str, typer.Option(help="Names of detectors, separated by commas, or 'all'.")],
    tasks: Annotated[
        str, typer.Option(help="Names of tasks, or TOML files, separated by commas. The default needs no download.")
    ] = DEFAULT_TASKS,
    data: DataOption = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds: 3 runs seeds 0, 1 and 2.")] = 1,
    preset: Annotated[str, typer.Option(help="Named configuration: smoke, default, paper, …")] = "default",
    assignments: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="NAME.FIELD=VALUE", help="Change one field of a detector. May be repeated."),
    ] = None,
    label: Annotated[Optional[str], typer.Option(help="Name the changed configuration: detector@LABEL.")] = None,  # noqa: UP045
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="TOML file with a table of fields per detector.", exists=True, dir_okay=False),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder that records go to.")] = Path("bench-runs"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Cells at a time; the cores are divided among them.")] = 1,
    timeout: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=1.0, help="Seconds after which a cell is ended."),
    ] = None,
    keep_state: Annotated[
        bool,
        typer.Option(
            "--keep-state", help="Keep what was learned beside each record, so that bench predict can use it."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Compute every cell again.")] = False,
    accept_data_changes: AcceptOption = False,
    skip_bad: SkipBadOption = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Run detector code in bubblewrap, without data, results or network.")
    ] = False,
    no_plugin: BlockOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Train detectors on normal images, score the test images, and print one comparable table per task."""
    if as_json and as_csv:
        raise UsageError("choose one of --json and --csv")
    if device.partition(":")[0] not in ("auto", "cpu", "cuda", "mps"):
        raise UsageError(f"--device {device}: choose auto, cpu, cuda or mps")
    from bench.cli.progress import make_display
    from bench.data.index import IndexOptions
    from bench.files import cache_folder
    from bench.results.store import Store
    from bench.run.plan import make_cells, read_changes
    from bench.run.runner import RunOptions, run_cells
    from bench.run.sandbox import Sandbox

    cache, store, called = cache_folder(), Store(results), split_names(tasks)
    folders = [*([data] if data else []), *(Path(name).parent for name in called if name.endswith(".toml"))]
    box = Sandbox((results, cache, *folders), device) if sandbox else None
    names = None if detectors.strip() == "all" else split_names(detectors)
    registry, variants = _choose(names, read_changes(preset, label, config, assignments or []), no_plugin, box)
    specs = _find_tasks(registry, called, cache, sandbox)
    if not variants or not specs:
        raise UsageError("name at least one detector and one task")
    options = RunOptions(cache, tuple(folders), device, jobs, timeout, force, box, keep_state)
    store.check_writable()
    with make_display() as display:
        found = _open_tasks(specs, data, cache, IndexOptions(accept_data_changes, skip_bad), display)
        cells = make_cells(variants, found, seeds)
        display.plan(len(cells))
        ending: KeyboardInterrupt | BenchError | None = None
        try:
            run_cells(cells, registry, store, options, display.watch)
        except (KeyboardInterrupt, BenchError) as error:
            ending = error  # what has finished until now is reported all the same
    if display.finished or ending is None:
        _report(display, registry, results, as_json, as_csv)
    if ending is not None:
        raise ending
    if any(event.record.status != "ok" for event in display.finished):
        raise typer.Exit(1)


def _choose(
    names: list[str] | None, changes: Changes, blocked: list[str] | None, sandbox: Sandbox | None
) -> tuple[Registry, list[Variant]]:
    """Load plugins and configure detectors: here, or with a sandbox in there."""
    from bench.run.plan import choose_variants

    if sandbox is None:
        registry = open_registry(blocked)
        names = sorted(registry.detectors) if names is None else names
        return registry, choose_variants(registry, names, changes)
    from bench.run.collected import collect_plugins

    sandbox.check()
    collection = collect_plugins(sandbox, names, changes, blocked or [])
    for plugin in collection.registry.plugins:
        if plugin.status == "broken":
            typer.echo(f"warning: plugin '{plugin.name}' is broken: {plugin.reason}", err=True)
    if others := collection.left_out():
        typer.echo(f"note: tasks, metrics and hooks do not run with --sandbox: those of {', '.join(others)}", err=True)
    return collection.registry, collection.variants(names, changes)


def _find_tasks(registry: Registry, names: Sequence[str], cache: Path, sandbox: bool) -> dict[str, TaskSpec]:
    """Find the tasks by what they were called on the command line."""
    from bench.cli.tasks import find_task

    try:
        return {name: find_task(registry, name, cache) for name in names}
    except UnknownNameError as error:
        raise (UsageError(f"{error}; tasks of plugins do not run with --sandbox") if sandbox else error) from None


def _open_tasks(
    specs: Mapping[str, TaskSpec], data: Path | None, cache: Path, options: IndexOptions, display: Display
) -> list[TaskImages]:
    """Find every task's images; if files of any task cannot be read, one error names those of all tasks."""
    from bench.cli.tasks import data_folder
    from bench.data.decode import place, undecodable
    from bench.data.index import index_task
    from bench.run.plan import TaskImages

    found: list[TaskImages] = []
    bad: list[str] = []
    for name, spec in specs.items():
        folder = data_folder(spec, name, data, cache)
        try:
            found.append(TaskImages(spec, index_task(spec, folder, cache, options, display.preparing(spec.name))))
        except BadImagesError as error:
            bad += error.bad
    if bad:
        for task in found:
            entries = task.manifest.images()
            reasons = undecodable(task.spec, entries, cache)
            bad += [f"{place(entry)}: {why}" for entry, why in zip(entries, reasons, strict=True) if why]
        raise BadImagesError(dict.fromkeys(bad))
    return found


def _report(display: Display, registry: Registry, results: Path, as_json: bool, as_csv: bool) -> None:
    """Print the table of what finished on stdout, and draw the ROC curves."""
    from rich.console import Console

    from bench.report import table
    from bench.report.roc import write_roc_curves
    from bench.report.rows import make_rows

    rows = make_rows((event.folder, event.record) for event in display.finished)
    if as_json:
        typer.echo(table.as_json(rows))
    elif as_csv:
        typer.echo(table.as_csv(rows), nl=False)
    else:
        table.print_tables(rows, Console(soft_wrap=False))
    pictures = write_roc_curves(rows, results / "roc")  # last: a full disk costs the pictures, not the table
    _say_where(rows, results, pictures, registry)
    if kept := [event.record.cell for event in display.finished if event.record.state]:
        where = "" if results == Path("bench-runs") else f" --results {results}"
        typer.echo(f"to score new images: bench predict {kept[0]} IMAGES… --out scores.csv{where}", err=True)


def _say_where(rows: Sequence[Row], results: Path, pictures: Sequence[Path], registry: Registry) -> None:
    if rows:
        typer.echo(f"records: {results / 'runs'}", err=True)
    if pictures:
        typer.echo(
            f"ROC curves: {', '.join(str(path) for path in pictures if path.suffix == '.png')} (and .svg)", err=True
        )
    for text in registry.conflicts.values():
        typer.echo(f"warning: {text}", err=True)
