"""``bench predict``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bench.cli.options import BlockOption, ResultsOption, open_registry
from bench.errors import BadImagesError, UsageError

if TYPE_CHECKING:
    from bench.registry import Registry
    from bench.report.predictions import HeldOut, MapsWriter, ScoresWriter
    from bench.run.learned import Learned
    from bench.run.predict import Scorer


def predict(
    record: Annotated[
        str,
        typer.Argument(metavar="RECORD", help="Id of a run made with --keep-state (or its beginning), or a folder."),
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES…", help="Images, or folders with all that is below.")],
    out: Annotated[Path, typer.Option(help="Write the scores to this CSV file.", dir_okay=False)],
    maps: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Draw heat maps as PNG files into this folder, which must be new or empty."),
    ] = None,
    specificity: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Share of held-out normals that the threshold is not to flag.")
    ] = 0.95,
    batch_size: Annotated[
        int,
        typer.Option(min=1, max=4096, help="Images at a time, for the memory that there is; no score depends on it."),
    ] = 256,
    device: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="auto, cpu, cuda or mps.", show_default="that of the run"),
    ] = None,
    results: ResultsOption = Path("bench-runs"),
    no_plugin: BlockOption = None,
) -> None:
    """Score new images with what a run has learned. A research tool, not a medical device.

    The same file gets the same score as in the run: images are prepared as there.

    A row of the CSV has image, score (higher is more anomalous), percentile (the
    share of the run's held-out normals with a lower score, 0 to 1, ties half),
    threshold (at the wanted specificity) and flagged (the score is above it).

    Of folders, all images below are taken, and DICOM files under any name. A file
    that cannot be read has a row without a score, is named at the end with the
    reason, and makes the exit code 3.
    """
    if device is not None and device.partition(":")[0] not in ("auto", "cpu", "cuda", "mps"):
        raise UsageError(f"--device {device}: choose auto, cpu, cuda or mps")
    _check_places(out, maps)
    from bench.data.finding import find_images
    from bench.files import cache_folder, check_writable
    from bench.report.predictions import HeldOut, drawing_maps, writing_scores
    from bench.results.store import Store
    from bench.run.learned import find_record, open_learned
    from bench.run.predict import Scorer

    folder = find_record(record, Store(results))
    registry = open_registry(no_plugin)
    learned = open_learned(folder, registry)
    if maps is not None:
        _check_maps(learned, registry)
    found = find_images(images, maps)
    for place in [out.parent, *([maps.parent] if maps else [])]:
        check_writable(place)
    held_out = HeldOut(learned.tune, specificity)
    _say_notes(learned, held_out, maps is not None)
    if found.others:
        typer.echo(f"note: {len(found.others)} other file(s) left out, such as {found.others[0]}", err=True)
    with ExitStack() as stack:
        scorer = stack.enter_context(Scorer(learned, device, maps is not None))
        _say_device(scorer)
        writer = stack.enter_context(writing_scores(out, held_out))
        # Entered last, so renamed first: where the table is, all else is.
        drawer = stack.enter_context(drawing_maps(maps, len(found.images), learned.kept.map_range)) if maps else None
        bad = [*found.unread, *_predict(scorer, found.images, cache_folder(), batch_size, writer, drawer)]
    _say_result(learned, held_out, out, writer.scored, writer.flagged)
    if bad:
        raise BadImagesError(bad)


def _check_places(out: Path, maps: Path | None) -> None:
    """Refuse, before anything is loaded, places that would mix these results with something else."""
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder: name a file in it")
    if maps is None:
        return
    if maps.exists() and (not maps.is_dir() or any(maps.iterdir())):
        raise UsageError(f"--maps {maps} is not empty: name a new folder, so that heat maps of two calls never mix")
    if out.resolve().is_relative_to(maps.resolve()):
        raise UsageError(f"--out {out} lies in the folder of --maps: choose another")


def _check_maps(learned: Learned, registry: Registry) -> None:
    if not learned.offer.spec.maps:
        able = sorted(name for name, offer in registry.detectors.items() if offer.spec.maps)
        others = f"those that do: {', '.join(able)}" if able else "none of the installed ones does"
        raise UsageError(f"--maps: detector '{learned.offer.spec.name}' draws no anomaly maps; {others}")


def _say_notes(learned: Learned, held_out: HeldOut, maps: bool) -> None:
    """Say on stderr what a reader of the scores should know."""
    notes, normals = list(learned.notes), len(learned.tune)
    if not normals:
        notes.append("the run had no held-out normals: percentile, threshold and flagged stay empty")
    elif normals * (1 - held_out.specificity) < 1:
        notes.append(f"with {normals} held-out normals the threshold is the highest of their scores")
    if maps and learned.kept.map_range is None:
        notes.append(
            "the record has no range of held-out normals' maps: colours go from each map's least to its greatest"
        )
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _say_device(scorer: Scorer) -> None:
    cost = scorer.learned.record.cost
    if (scorer.device, scorer.precision) != (cost.device, cost.precision):
        before, now = f"{cost.device} in {cost.precision}", f"{scorer.device} in {scorer.precision}"
        typer.echo(f"note: the run was on {before}, this is {now}: scores may differ a little", err=True)


def _predict(
    scorer: Scorer,
    images: Sequence[Path],
    cache: Path,
    batch_size: int,
    writer: ScoresWriter,
    drawer: MapsWriter | None,
) -> list[str]:
    """Write a row and a heat map for each image as it comes; returns what could not be read, with the reason."""
    from functools import partial

    from bench.cli.progress import make_display
    from bench.run.predict import predict

    bad = []
    with make_display() as display:
        tell = partial(display.step, f"{scorer.learned.name}: scoring")
        for row, one in enumerate(predict(scorer, images, cache, batch_size, tell), start=1):
            writer.add(one.path, one.score)
            if drawer is not None and one.heat is not None and one.picture is not None:
                drawer.add(row, one.path, one.picture, one.heat)
            if one.problem:
                bad.append(f"{one.path}: {one.problem}")
    return bad


def _say_result(learned: Learned, held_out: HeldOut, out: Path, scored: int, flagged: int) -> None:
    task = learned.record.task
    typer.echo(f"{scored} image(s) scored by {learned.name} of {task.name}, seed {learned.record.seed}: {out}")
    if (threshold := held_out.threshold) is not None:
        normals = f"{held_out.specificity:.4g} of {len(held_out.ordered)} held-out normals"
        typer.echo(f"{flagged} above {threshold:.6g}, which {normals} do not exceed")
    typer.echo("A research tool, not a medical device.", err=True)
