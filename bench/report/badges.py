"""Badges: how far somebody else than its author has followed a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.report.rows import Row, by_edition
from bench.results.attestations import BADGES, Badge, badges

WORDS: Mapping[Badge, str] = {
    "recomputed": "metrics recomputed from submitted scores",
    "rerun": "re-run with the same scores",
    "reproduced": "reproduced within the interval",
}


def row_badge(row: Row, of_cells: Mapping[str, Badge]) -> Badge | None:
    """The badge that all seeds of a row have earned, or a stronger one; None if a seed has none."""
    found = [of_cells.get(cell) for cell in row.cell_ids]
    earned = [badge for badge in found if badge is not None]
    return min(earned, key=BADGES.index) if earned and len(earned) == len(found) else None


def badge_notes(results: Path, rows: Sequence[Row]) -> dict[str, str]:
    """One line for each edition of which a row has a badge, by hash of the manifest.

    Raises:
        RecordError: the list of attestations is damaged.

    """
    of_cells = badges(results)
    notes = {}
    for task, own in by_edition(rows):
        earned = [(row.name, badge) for row in own if (badge := row_badge(row, of_cells))]
        parts = [
            f"{WORDS[badge]}: {', '.join(name for name, its in earned if its == badge)}"
            for badge in BADGES
            if any(its == badge for _, its in earned)
        ]
        if parts:
            notes[task.manifest_sha256] = f"Followed up: {'; '.join(parts)}."
    return notes
