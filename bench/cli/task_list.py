"""The tasks, and in what state their images are on this machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bench.errors import BenchError, DataMissingError

if TYPE_CHECKING:
    from bench.contracts import TaskSpec
    from bench.data.manifest import Manifest
    from bench.registry import Registry

MISSING, FOUND = "not here", "found: prepare it"


def task_entries(registry: Registry, data: Path | None) -> list[dict[str, Any]]:
    """One entry a task, as ``bench list tasks --json`` prints it; a protocol variant is in the state of its base."""
    from bench.data.variants import describe
    from bench.files import cache_folder

    cache, states = cache_folder(), {}
    sizes = sorted({offer.spec.config()().image_size for offer in registry.detectors.values()})
    for name, offer in sorted(registry.tasks.items()):
        if offer.spec.base is None:
            states[name] = _state(offer.spec, data, cache, sizes)
    return [
        {
            "name": name,
            "version": offer.spec.version,
            "distribution": offer.plugin.distribution,
            "modality": offer.spec.modality,
            "grouping": offer.spec.grouping,
            "synthetic": offer.spec.synthetic,
            "licence": offer.spec.licence,
            "url": offer.spec.url,
            "base": offer.spec.base.name if offer.spec.base else None,
            "protocol": describe(offer.spec.protocol) or None,
            **({} if offer.spec.base else states[name]),
        }
        for name, offer in sorted(registry.tasks.items())
    ]


def print_notes(registry: Registry, entries: Sequence[Mapping[str, Any]]) -> None:
    """Say how to get what is not here, and which protocol variants there are, without a line for each."""
    from bench.data.sets.medmnist import DOWNLOADS

    missing = [entry for entry in entries if entry["state"] == MISSING]
    for entry in missing:
        if entry["name"] not in DOWNLOADS:
            typer.echo(f"get {entry['name']}: {entry['url']}, then name its folder with --data DIR or BENCH_DATA")
    if small := [entry["name"] for entry in missing if entry["name"] in DOWNLOADS]:
        typer.echo(f"get {', '.join(small)}: bench data fetch NAME --data DIR")
    endings: dict[str, list[str]] = defaultdict(list)
    for name, offer in registry.tasks.items():
        if offer.spec.base is not None:
            endings[offer.spec.base.name].append(name.removeprefix(offer.spec.base.name))
    common = [ending for ending in next(iter(endings.values()), []) if all(ending in own for own in endings.values())]
    if common:
        typer.echo(f"protocol variants of {', '.join(sorted(endings))}: {_brief(common)}")
    for base, own in sorted(endings.items()):
        if more := [ending for ending in own if ending not in common]:
            typer.echo(f"and of {base}: {_brief(more)}")


def _brief(endings: Sequence[str]) -> str:
    """``-few-16, -few-64, -clean`` to ``-few-16|64, -clean``."""
    stems: dict[str, list[str]] = defaultdict(list)
    for ending in endings:
        stem, _, number = ending.rpartition("-")
        stems[stem if number.isdigit() else ending].append(number)
    return ", ".join(f"{stem}-{'|'.join(numbers)}" if numbers[0].isdigit() else stem for stem, numbers in stems.items())


def _state(spec: TaskSpec, data: Path | None, cache: Path, sizes: list[int]) -> dict[str, Any]:
    """How many images and patients there are, and whether they are ready, found, or how to get them."""
    from bench.data.index import is_indexed, list_files

    unknown: dict[str, Any] = {"images": None, "patients": None, "roles": {}}
    if spec.synthetic:
        return {**unknown, "state": "ready: drawn when first used"}
    try:
        if data is None:
            return {**unknown, "state": MISSING}
        if is_indexed(spec, data, cache):
            return _of_manifest(spec, data, cache, sizes)
        files = list_files(spec, data.resolve())
    except DataMissingError:
        return {**unknown, "state": MISSING}
    except BenchError as error:
        return {**unknown, "state": str(error).partition("\n")[0]}
    patients = {file.patient for file in files}
    return {
        "images": len(files),
        "patients": None if None in patients else len(patients),
        "roles": dict(Counter(file.role for file in files)),
        "state": FOUND,
    }


def _of_manifest(spec: TaskSpec, data: Path, cache: Path, sizes: list[int]) -> dict[str, Any]:
    from bench.data.decode import is_prepared
    from bench.data.index import index_task

    manifest: Manifest = index_task(spec, data, cache)
    ready = [size for size in sizes if is_prepared(manifest, size, cache)]
    patients = {entry.patient for entry in manifest.images()}
    return {
        "images": len(manifest.images()),
        "patients": None if None in patients else len(patients),
        "roles": dict(Counter(entry.role for entry in manifest.entries)),
        "state": f"ready at {', '.join(map(str, ready))} px" if ready else FOUND,
    }
