"""When a finished record may stand for a cell, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.results.record import Record
from bench.run.plan import Cell, Variant
from bench.run.source import source_digest

EDITED = "edited while it ran"
"""Stands for the digest of a source that changed under a cell: such a record is neither reused nor published."""


@dataclass(frozen=True)
class Provenance:
    """What decides scores besides the configuration: the detector's code and the weights it starts from."""

    source_digest: str
    pretrained: list[dict[str, str | None]]


def provenance(variant: Variant) -> Provenance:
    """Hash the detector's source and its pretrained weights, as they are on this machine now."""
    weights = variant.spec.pretrained(variant.config)
    return Provenance(
        source_digest(variant.spec),
        [{"name": w.name, "source": w.source, "licence": w.licence, "sha256": w.sha256()} for w in weights],
    )


def why_recompute(found: Record, cell: Cell, now: Provenance, device: str) -> str:
    """Why a record cannot stand for this cell; empty if it can.

    Args:
        found: the record in the cell's folder.
        cell: what is asked for.
        now: the detector's code and weights as they are now.
        device: the device asked for.

    """
    if found.status != "ok":
        return f"its last attempt ended as {found.status}"
    if found.detector.source_digest != now.source_digest:
        return "the detector's source changed"
    if found.detector.pretrained != now.pretrained:
        return "its pretrained weights changed"
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


def unique_variants(cells: Sequence[Cell]) -> list[Variant]:
    """Return the variants of these cells, each once, in order."""
    return list({(cell.variant.spec.name, cell.variant.name): cell.variant for cell in cells}.values())
