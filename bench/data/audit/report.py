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
from bench.data.audit.search import find_task_duplicates, has_grain
from bench.data.manifest import Entry, Manifest

LEARNED = ("fit", "tune", "pool")


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
