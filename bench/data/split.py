"""Who is in which role: counts, and the manifest as a table that can be published."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.data.manifest import Entry, Manifest
from bench.files import write_atomically

ROLES = ("fit", "tune", "test", "pool", "skipped")


def as_json(manifest: Manifest) -> dict[str, Any]:
    """Return what identifies the split, and images and patients by role and class."""
    return {
        "task": manifest.task,
        "version": manifest.version,
        "edition": manifest.edition,
        "manifest_sha256": manifest.sha256,
        "grouping": manifest.grouping,
        "roles": [
            {
                "role": role,
                "category": category,
                "label": entries[0].label,
                "images": len(entries),
                "patients": count_patients(entries),
            }
            for (role, category), entries in _groups(manifest).items()
        ],
    }


def count_patients(entries: list[Entry]) -> int | None:
    """How many patients these images are of; None if any of them carries none."""
    patients = {entry.patient for entry in entries}
    return None if None in patients else len(patients)


def write(manifest: Manifest, path: Path) -> None:
    """Write id, patient, role, label, category and mask of each image, in order of id; places of files stay here.

    Args:
        manifest: the manifest.
        path: a name that ends in ``.tsv`` or ``.parquet``.

    Raises:
        StorageError: it cannot be written.

    """
    import pandas as pd

    columns = ["id", "patient", "role", "label", "category", "mask"]
    rows = [(e.id, e.patient, e.role, e.label, e.category, e.mask) for e in manifest.entries]
    table = pd.DataFrame(rows, columns=columns).astype({"label": "int8"})
    tsv = path.suffix == ".tsv"
    write_atomically(path, table.to_csv(sep="\t", index=False).encode() if tsv else table.to_parquet(index=False))


def _groups(manifest: Manifest) -> dict[tuple[str, str], list[Entry]]:
    groups = defaultdict(list)
    for entry in manifest.entries:
        groups[entry.role, entry.category].append(entry)
    return dict(sorted(groups.items(), key=lambda group: (ROLES.index(group[0][0]), group[1][0].label, group[0][1])))
