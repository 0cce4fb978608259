"""What a published audit says of a task, in the one line that stands beside its table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import RecordError
from bench.files import write_atomically
from bench.report.rows import Row

SHOWN = 3


def publish_audit(told: Mapping[str, Any], results: Path) -> Path:
    """Write an audit into a folder of results: how many pairs there are, and the confounds; no paths.

    Args:
        told: what ``bench data audit --json`` prints.
        results: folder of published results.

    Raises:
        StorageError: it cannot be written.

    """
    pairs = told["duplicates"]
    leaks = [pair for pair in pairs if (pair["a_role"] == "test") != (pair["b_role"] == "test")]
    kept = {name: told[name] for name in ("task", "version", "edition", "manifest_sha256", "near_duplicates_searched")}
    counts = {"pairs": len(pairs), "pairs_across_test": len(leaks), "shared_patients": len(told["shared_patients"])}
    path = _path(results, told["task"], told["manifest_sha256"])
    write_atomically(path, json.dumps({**kept, **counts, "confounds": told["confounds"]}, indent=1).encode())
    return path


def audit_notes(results: Path, rows: Sequence[Row]) -> dict[str, str]:
    """One line for each manifest that was audited.

    Raises:
        RecordError: an audit that cannot be read.

    """
    notes = {}
    for task in {row.task.manifest_sha256: row.task for row in rows}.values():
        path = _path(results, task.name, task.manifest_sha256)
        if not path.exists():
            continue
        try:
            notes[task.manifest_sha256] = _line(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path} is damaged ({error}): write it again with bench data audit --to") from error
    return notes


def _line(audit: Mapping[str, Any]) -> str:
    confounds = ", ".join(
        f"{found['name']} {found['auroc']['value']:.3f} [{found['auroc']['low']:.3f}, {found['auroc']['high']:.3f}]"
        for found in audit["confounds"][:SHOWN]
    )
    copies = f"{audit['pairs_across_test']} copies of test images elsewhere, {audit['shared_patients']} shared patients"
    return f"Audit: {copies}. AUROC of what does not look at disease: {confounds}."


def _path(results: Path, task: str, manifest: str) -> Path:
    return results / "audits" / task / f"{manifest}.json"
