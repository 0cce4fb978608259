"""When a finished record may stand for a cell, and why not."""

from __future__ import annotations

from bench.results.record import Record
from bench.run.plan import Cell


def why_recompute(found: Record, cell: Cell, device: str, sandbox: bool) -> str:
    """Why a record cannot stand for this cell; empty if it can.

    Args:
        found: the record in the cell's folder.
        cell: what is asked for, with the detector's code and weights as they are now.
        device: the device asked for.
        sandbox: whether it must have run in the sandbox.

    """
    now = cell.variant.provenance
    if found.status != "ok":
        return f"its last attempt ended as {found.status}"
    if found.detector.source_digest != now.source_digest:
        return "the detector's source changed"
    if found.detector.pretrained != now.pretrained:
        return "its pretrained weights changed"
    if sandbox and not found.environment.sandbox:
        return "it did not run in the sandbox"
    before, wanted = (found.cost.device, found.cost.precision), _compute_on(cell, device)
    if before != wanted:
        return f"it ran on {before[0]} in {before[1]}, this is {wanted[0]} in {wanted[1]}"
    return ""


def _compute_on(cell: Cell, device: str) -> tuple[str, str]:
    if not cell.variant.spec.torch:
        return "cpu", "float32"
    # Importing torch takes two seconds, so it waits until there is a record to compare with.
    from bench.torchkit import resolve_device, resolve_precision

    resolved = resolve_device(device)
    return resolved, resolve_precision(resolved)
