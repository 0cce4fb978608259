"""Which colour and dash the row at a place of its table has, in every chart and legend of a page."""

from __future__ import annotations

TONES = tuple(f"var(--c{number})" for number in range(7))
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])


def look(place: int) -> tuple[int, int]:
    """Positions in :data:`TONES` and :data:`DASHES`: seven colours, then the next dash."""
    return place % len(TONES), place // len(TONES) % len(DASHES)
