"""One audit of one task, and how it is shown."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contracts import TaskSpec
from bench.data.audit.confounds import Confound, find_confounds
from bench.data.audit.duplicates import Pair
from bench.data.audit.search import SMALLEST, find_task_duplicates, has_grain
from bench.data.audit.similarity import SIDE
from bench.data.manifest import Entry, Manifest

LEARNED = ("fit", "tune", "pool")
SHOWN = 20


@dataclass(frozen=True)
class SharedPatient:
    """A patient whose images are in test and in another role; images by role."""

    patient: str
    roles: dict[str, int]


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        manifest: of the task.
        folder: the innermost folder that holds all of its files.
        near: whether near-duplicates were searched for: the images must be large enough.
        duplicates: the most alike first.
        shared_patients: in order of patient.
        confounds: the one that separates best first.

    """

    manifest: Manifest
    folder: Path
    near: bool
    duplicates: list[Pair]
    shared_patients: list[SharedPatient]
    confounds: list[Confound]


def audit(spec: TaskSpec, manifest: Manifest, cache: Path, progress: Callable[[str, int, int], None]) -> Audit:
    """Search a task for duplicates, shared patients and confounds.

    Raises:
        BadImagesError: images that cannot be decoded, all of them named.
        StorageError: the cache cannot be written.

    """
    duplicates = find_task_duplicates(spec, manifest, cache, progress)
    confounds = find_confounds(
        spec, manifest, cache, lambda done, total: progress("measuring test images", done, total)
    )
    folder = Path(os.path.commonpath([entry.path.parent for entry in manifest.entries]))
    return Audit(manifest, folder, has_grain(spec, manifest, cache), duplicates, shared_patients(manifest), confounds)


def shared_patients(manifest: Manifest) -> list[SharedPatient]:
    """Find the patients of test who are in another role as well."""
    roles: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in manifest.images():
        if entry.patient is not None:
            roles[entry.patient][entry.role] += 1
    return [
        SharedPatient(patient, dict(counts))
        for patient, counts in sorted(roles.items())
        if counts["test"] and len(+counts) > 1
    ]


def as_json(found: Audit) -> dict[str, Any]:
    """Return what ``bench data audit --json`` prints; paths are relative to the task's folder."""
    return {
        "task": found.manifest.task,
        "version": found.manifest.version,
        "edition": found.manifest.edition,
        "manifest_sha256": found.manifest.sha256,
        "grouping": found.manifest.grouping,
        "near_duplicates_searched": found.near,
        "duplicates": [
            {
                "kind": pair.kind,
                "a": name(found, pair.a),
                "a_role": pair.a.role,
                "b": name(found, pair.b),
                "b_role": pair.b.role,
                "similarity": round(pair.similarity, 4),
                "flip": pair.flip,
            }
            for pair in found.duplicates
        ],
        "shared_patients": [{"patient": shared.patient, "roles": shared.roles} for shared in found.shared_patients],
        "confounds": [
            {
                "name": confound.name,
                "auroc": {
                    "value": confound.auroc.value,
                    "low": confound.auroc.low,
                    "high": confound.auroc.high,
                },
                "images": confound.images,
            }
            for confound in found.confounds
        ],
    }


def name(found: Audit, entry: Entry) -> str:
    """Name an image by its path below the task's folder."""
    text = entry.path.relative_to(found.folder).as_posix()
    return text if entry.member is None else f"{text}[{entry.member[0]}/{entry.member[1]}]"


def print_audit(found: Audit) -> None:
    """Print tables for people; the pairs that leak into test come first."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, manifest = Console(), found.manifest
    console.print(
        f"[bold]{manifest.task}[/] v{manifest.version} · edition {manifest.edition} · "
        f"{len(manifest.images()):,} images · grouping {manifest.grouping}",
        highlight=False,
    )
    kinds = Counter((pair.kind, _where(pair)) for pair in found.duplicates)
    table = Table(title="Duplicate pairs", title_justify="left", pad_edge=False)
    for column in ("", "between test and what is learned", "other roles", "within a role"):
        table.add_column(column, justify="left" if not column else "right")
    for kind in ("exact", "near"):
        counts = [str(kinds[kind, where]) for where in ("test", "other", "within")]
        table.add_row(kind, *(counts if found.near or kind == "exact" else ["not searched"] * 3))
    console.print(table)
    if not found.near:
        console.print(f"No search for near-duplicates: below {SMALLEST} px copies and neighbours look the same.")
    leaks = sorted(found.duplicates, key=lambda pair: (pair.a.role == pair.b.role, -pair.similarity))
    if leaks:
        pairs = Table(title=f"Pairs, leaks first (compared at {SIDE} px)", title_justify="left", pad_edge=False)
        for column in ("kind", "similarity", "role", "image", "role", "image"):
            pairs.add_column(column, overflow="fold")
        for pair in leaks[:SHOWN]:
            sides = [text for entry in (pair.a, pair.b) for text in (entry.role, name(found, entry))]
            pairs.add_row(pair.kind, f"{pair.similarity:.3f}", *map(Text, sides))
        console.print(pairs)
        if len(leaks) > SHOWN:
            console.print(f"… and {len(leaks) - SHOWN} more: --json has all of them.")
    shared = len(found.shared_patients)
    console.print(f"Patients of test who are in another role too: {shared}" + (f" ({_roles(found)})" if shared else ""))
    confounds = Table(
        title="Confounds: AUROC on test of what does not look at disease", title_justify="left", pad_edge=False
    )
    confounds.add_column("predictor")
    confounds.add_column("AUROC (95 % interval)")
    confounds.add_column("images", justify="right")
    for confound in found.confounds:
        auroc = f"{confound.auroc.value:.3f} ({confound.auroc.low:.3f}–{confound.auroc.high:.3f})"
        confounds.add_row(Text(confound.name), auroc, str(confound.images))
    console.print(confounds)


def _where(pair: Pair) -> str:
    if pair.a.role == pair.b.role:
        return "within"
    return "test" if "test" in (pair.a.role, pair.b.role) else "other"


def _roles(found: Audit) -> str:
    counts = Counter(role for shared in found.shared_patients for role in shared.roles if role != "test")
    return ", ".join(f"{number} in {role}" for role, number in sorted(counts.items()))
