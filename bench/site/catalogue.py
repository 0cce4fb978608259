"""What installed plugins say of the names in records: licences, citations, summaries. No number comes from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results.record import TaskPart
from bench.site.facts import DetectorEntry, TaskEntry
from bench.site.thumbnails import sheet

if TYPE_CHECKING:
    from bench.contracts import DetectorSpec
    from bench.registry import Registry


@dataclass(frozen=True)
class Catalogue:
    """Entries by name. A name that no installed plugin offers has none, and pages say so.

    Attributes:
        tasks: what is said of tasks.
        detectors: what is said of detectors.
        sheets: how the images of a task that are drawn are put on a sheet; see :func:`bench.site.thumbnails.sheet`.

    """

    tasks: Mapping[str, TaskEntry] = field(default_factory=dict)
    detectors: Mapping[str, DetectorEntry] = field(default_factory=dict)
    sheets: Mapping[str, Callable[[TaskPart, Sequence[str]], str]] = field(default_factory=dict)


def catalogue_of(registry: Registry, cache: Path) -> Catalogue:
    """Ask the plugins; no network is imported for it. Images are drawn into the cache folder, when they are needed."""
    specs = {name: offer.spec for name, offer in registry.tasks.items()}
    tasks = {
        name: TaskEntry(modality=spec.modality, citation=spec.citation, licence=spec.licence, url=spec.url)
        for name, spec in specs.items()
    }
    sheets = {name: partial(sheet, spec, cache) for name, spec in specs.items() if spec.synthetic}
    return Catalogue(tasks, {name: _entry(offer.spec) for name, offer in registry.detectors.items()}, sheets)


def _entry(spec: DetectorSpec) -> DetectorEntry:
    try:
        fields = {name: field.description or "" for name, field in spec.config().model_fields.items()}
    except Exception:  # a plugin's own code: the rest of what it says still stands
        fields = {}
    return DetectorEntry(
        version=spec.version,
        summary=spec.summary,
        citation=spec.citation,
        resources=str(spec.resources),
        maps=bool(spec.maps),
        fields=fields,
        known_failures=dict(spec.known_failures),
        card=dict(spec.card),
    )
