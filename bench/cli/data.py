"""``bench data``: prepare, audit, split, fetch and unpack."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bench.cli.options import AcceptOption, BlockOption, DataOption, JsonOption, SkipBadOption, open_registry
from bench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from bench.cli.progress import Display
    from bench.contracts import TaskSpec
    from bench.data.index import IndexOptions
    from bench.data.manifest import Manifest
    from bench.registry import Registry

app = typer.Typer(no_args_is_help=True, help="Look at the images: check and decode, audit for leaks, show the split.")

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Name of a task, or a TOML file that describes one.")]


@app.command("prepare")
def prepare(
    task: TaskArgument,
    data: DataOption = None,
    size: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option(min=8, max=1024, help="Side in pixels. May be repeated. Default: what the detectors ask for."),
    ] = None,
    skip_bad: SkipBadOption = False,
    accept_data_changes: AcceptOption = False,
    no_plugin: BlockOption = None,
) -> None:
    """Check, hash and decode a task's images once, so that runs begin at once. Interrupted, it goes on next time."""
    from bench.cli.progress import make_display
    from bench.data.decode import prepare_images
    from bench.data.index import IndexOptions
    from bench.files import cache_folder

    registry, cache = open_registry(no_plugin), cache_folder()
    sizes = size or sorted({offer.spec.config()().image_size for offer in registry.detectors.values()})
    with make_display() as display:
        spec, manifest = _open(task, data, cache, IndexOptions(accept_data_changes, skip_bad), display, registry)
        for side in sizes:
            tell = partial(display.step, f"{spec.name}: decoding at {side} px")
            prepare_images(spec, manifest, side, cache, tell)
    typer.echo(f"{_title(manifest)}: ready at {', '.join(f'{side} px' for side in sizes)}")


@app.command("audit")
def audit(
    task: TaskArgument,
    data: DataOption = None,
    sheet: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Draw the suspect pairs side by side into this PNG file."),
    ] = None,
    to: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Publish counts and confounds, without paths, into this folder of results."),
    ] = None,
    skip_bad: SkipBadOption = False,
    accept_data_changes: AcceptOption = False,
    as_json: JsonOption = False,
    no_plugin: BlockOption = None,
) -> None:
    """Find duplicates, shared patients, and what separates the classes without looking at the disease."""
    from bench.cli.progress import make_display
    from bench.data.audit import report
    from bench.data.index import IndexOptions
    from bench.files import cache_folder

    registry, cache = open_registry(no_plugin), cache_folder()
    with make_display() as display:
        spec, manifest = _open(task, data, cache, IndexOptions(accept_data_changes, skip_bad), display, registry)
        found = report.audit(spec, manifest, cache, display.preparing(spec.name))
    if as_json:
        typer.echo(json.dumps(report.as_json(found), indent=1))
    else:
        from bench.cli.data_tables import print_audit

        print_audit(found)
    if to is not None:
        from bench.report.audits import publish_audit

        if spec.private:
            raise UsageError(f"task '{spec.name}' is private: its TOML file says publish = false")
        typer.echo(f"published: {publish_audit(report.as_json(found), to)}", err=True)
    if sheet is not None:
        from bench.data.audit.sheet import draw_sheet

        drawn = draw_sheet(spec, found, cache, sheet)
        typer.echo(f"contact sheet of {drawn} pair(s): {sheet}", err=True)


@app.command("split")
def split(
    task: TaskArgument,
    data: DataOption = None,
    show: Annotated[bool, typer.Option("--show", help="Print counts by role, class and patient.")] = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the manifest: .tsv or .parquet, without the places of the files."),
    ] = None,
    croissant: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Describe task and manifest (--out of kind .tsv) as Croissant metadata in this JSON file."),
    ] = None,
    skip_bad: SkipBadOption = False,
    accept_data_changes: AcceptOption = False,
    as_json: JsonOption = False,
    no_plugin: BlockOption = None,
) -> None:
    """Show which images have which role, or write the manifest to a file."""
    from bench.cli.progress import make_display
    from bench.data import split as splits
    from bench.data.index import IndexOptions
    from bench.files import cache_folder

    if out is not None and out.suffix not in (".tsv", ".parquet"):
        raise UsageError(f"--out {out}: the name must end in .tsv or .parquet")
    if croissant is not None and (out is None or out.suffix != ".tsv"):
        raise UsageError("--croissant describes the table that --out writes: give --out MANIFEST.tsv as well")
    registry, options = open_registry(no_plugin), IndexOptions(accept_data_changes, skip_bad)
    with make_display() as display:
        spec, manifest = _open(task, data, cache_folder(), options, display, registry)
    if as_json:
        typer.echo(json.dumps(splits.as_json(manifest), indent=1))
    elif show or out is None:
        from bench.cli.data_tables import print_split

        print_split(manifest)
    if out is not None:
        splits.write(manifest, out)
        typer.echo(f"manifest: {out}", err=True)
    if croissant is not None and out is not None:
        from bench.data.croissant import write_croissant

        write_croissant(spec, manifest, out, croissant)
        typer.echo(f"metadata: {croissant}", err=True)


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A small public set: octmnist, pneumoniamnist-64, …")],
    data: DataOption = None,
) -> None:
    """Download a small public set into the data folder: resumed if it was cut off, and checked."""
    from bench.cli.progress import make_display
    from bench.data.fetch import fetch
    from bench.data.sets.medmnist import DOWNLOADS

    if name not in DOWNLOADS:
        raise UnknownNameError("download", name, DOWNLOADS)
    if data is None:
        raise UsageError("name the folder that it is to go to with --data DIR or BENCH_DATA")
    with make_display() as display:
        path = fetch(DOWNLOADS[name], data, partial(display.step, f"{name}: bytes"))
    typer.echo(f"{path}\nnext: bench data prepare {name} --data {data}")


@app.command("unpack")
def unpack(
    archive: Annotated[Path, typer.Argument(help="A .zip or .tar archive that you downloaded.", exists=True)],
    data: DataOption = None,
) -> None:
    """Unpack a downloaded archive into the data folder; one with members that lead outside is refused."""
    from bench.data.fetch import unpack

    if data is None:
        raise UsageError("name the folder that it is to go to with --data DIR or BENCH_DATA")
    unpack(archive, data)
    typer.echo(f"unpacked {archive.name} into {data}\nnext: bench list tasks --data {data}")


def _open(
    name: str, data: Path | None, cache: Path, options: IndexOptions, display: Display, registry: Registry
) -> tuple[TaskSpec, Manifest]:
    from bench.cli.tasks import data_folder, find_task
    from bench.data.index import index_task

    spec = find_task(registry, name, cache)
    folder = data_folder(spec, name, data, cache)
    return spec, index_task(spec, folder, cache, options, display.preparing(spec.name))


def _title(manifest: Manifest) -> str:
    counts = ", ".join(f"{role} {sum(classes.values()):,}" for role, classes in manifest.counts().items())
    return f"{manifest.task} v{manifest.version}, edition {manifest.edition} ({counts})"
