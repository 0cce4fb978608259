"""What protocol variants do to the manifest of their base; :mod:`bench.data.variants` declares them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from bench.contracts import TaskSpec
from bench.data.audit.duplicates import Pair
from bench.data.audit.search import find_task_duplicates
from bench.data.index import Steps
from bench.data.manifest import Entry, Manifest, seal
from bench.errors import BadTaskError


def derive(spec: TaskSpec, base: Manifest, cache: Path, progress: Steps) -> Manifest:
    """Make a variant's manifest from that of its base.

    Raises:
        BadTaskError: the base has too few images for it.

    """
    assert spec.base is not None
    protocol, entries = spec.protocol, list(base.entries)
    leaks: frozenset[str] = frozenset()
    if protocol.clean or protocol.contamination:
        leaks = leaks_of(base, find_task_duplicates(spec.base, base, cache, progress))
    if protocol.clean:
        entries = [entry for entry in entries if entry.role not in ("fit", "tune") or entry.id not in leaks]
    if protocol.normals is not None:
        entries = few(spec, entries, protocol.normals)
    if protocol.contamination:
        entries = contaminate(spec, entries, protocol.contamination, leaks)
    if protocol.categories:
        entries = of_categories(spec, entries, protocol.categories)
    return seal(spec, entries, base)


def leaks_of(base: Manifest, duplicates: Iterable[Pair]) -> frozenset[str]:
    """Ids of images outside test that share a patient or an exposure with it."""
    patients = {entry.patient for entry in base.of_role("test")} - {None}
    shared = {entry.id for entry in base.entries if entry.patient in patients}
    copies = {e.id for pair in duplicates if "test" in (pair.a.role, pair.b.role) for e in (pair.a, pair.b)}
    return frozenset(entry.id for entry in base.entries if entry.role != "test" and entry.id in shared | copies)


def few(spec: TaskSpec, entries: Sequence[Entry], normals: int) -> list[Entry]:
    """Keep some fit images: those whose hash is smallest, so that 16 are among 64."""
    fit = sorted((entry for entry in entries if entry.role == "fit"), key=_draw)
    if len(fit) < normals:
        raise BadTaskError(f"task '{spec.name}' needs {normals} fit images, there are {len(fit)}")
    return [*fit[:normals], *(entry for entry in entries if entry.role != "fit")]


def contaminate(spec: TaskSpec, entries: Sequence[Entry], share: float, leaks: Container[str]) -> list[Entry]:
    """Move anomalies from pool to fit until they are a share of it; ``leaks`` share a patient or exposure with test."""
    pool = [entry for entry in entries if entry.role == "pool" and entry.label and entry.id not in leaks]
    normals = sum(entry.role == "fit" for entry in entries)
    wanted = round(normals * share / (1 - share))
    if wanted > len(pool):
        raise BadTaskError(f"task '{spec.name}' needs {wanted} anomalies from pool, there are {len(pool)}")
    taken = {entry.id for entry in sorted(pool, key=_draw)[:wanted]}
    return [entry._replace(role="fit") if entry.id in taken else entry for entry in entries]


def of_categories(spec: TaskSpec, entries: Sequence[Entry], categories: Sequence[str]) -> list[Entry]:
    """Leave only some classes of anomalies in test."""
    kept = [e for e in entries if e.role != "test" or e.label == 0 or e.category in categories]
    if not any(entry.role == "test" and entry.label for entry in kept):
        raise BadTaskError(f"task '{spec.name}' has no test images of {', '.join(categories)}")
    return kept


def _draw(entry: Entry) -> str:
    return sha256(f"draw/{entry.id}".encode()).hexdigest()
