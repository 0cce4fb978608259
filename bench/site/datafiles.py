"""What pages load beside themselves: scripts that hold data, since a page from disk may not fetch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.site.curves import BINS
from bench.site.facts import Edition, Pair, Row, Site
from bench.site.looks import look
from bench.site.thumbnails import COLUMNS, SIDE
from bench.site.wording import short


def script(key: str, value: Any) -> bytes:
    """Assign a value to ``BENCH[key]``; nothing in it can end a script element.

    Raises:
        ValueError: a number that is not finite, which JSON has no word for.

    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f"(window.BENCH=window.BENCH||{{}})[{json.dumps(key)}]={text};\n".encode()


def task_data(edition: Edition) -> dict[str, Any]:
    """Curves, bands, operating points and spreads of all ranked rows."""
    return {
        "title": edition.title,
        "bins": [round(float(edge), 2) for edge in BINS[:-1]],
        "rows": [_row(place, row) for place, row in enumerate(edition.rows)],
    }


def _row(place: int, row: Row) -> dict[str, Any]:
    tone, dash = look(place)
    assert row.curve is not None and row.auroc is not None
    return {
        "row": row.slug,
        "name": short(row.name),
        "tone": tone,
        "dash": dash,
        "auroc": [round(row.auroc.value, 4), round(row.auroc.low, 4), round(row.auroc.high, 4)],
        **row.curve.model_dump(),
        "points": [[point.promise, round(point.fpr, 4), round(point.tpr, 4)] for point in row.points],
        "bars": [[bars.name, bars.shares] for bars in row.bars],
    }


def pair_data(edition: Edition) -> dict[str, Any]:
    """Test images and the tests of all pairs; rows are named by their place in ``rows``."""
    places = {row.slug: place for place, row in enumerate(edition.rows)}
    images, kinds = edition.images, sorted(set(edition.images.categories))
    number = {name: place for place, name in enumerate(kinds)}
    return {
        "task": edition.slug,
        "title": short(edition.title, 120),
        "rows": [[row.slug, short(row.name)] for row in edition.rows],
        "pairs": [_pair(pair, places) for pair in edition.standing.pairs],
        "parts": {name: [_pair(pair, places) for pair in pairs] for name, pairs in edition.standing.parts.items()},
        "ids": images.ids,
        "labels": images.labels,
        "kinds": kinds,
        "categories": [number[name] for name in images.categories],
        "thumbs": {"path": sheet_path(edition), "side": SIDE, "columns": COLUMNS} if edition.sheet.jpeg else None,
    }


def sheet_path(edition: Edition) -> str:
    """Where the sheet of an edition's test images lies."""
    return f"thumbs/{edition.slug}.jpg"


def _pair(pair: Pair, places: dict[str, int]) -> Sequence[float]:
    numbers = (pair.value, pair.low, pair.high, pair.adjusted, pair.smallest)
    return [places[pair.first], places[pair.second], *(float(f"{number:.5g}") for number in numbers)]


def compare_index(site: Site) -> list[dict[str, Any]]:
    """What can be compared: editions with two rows or more."""
    return [
        {"slug": one.slug, "title": short(one.title, 120), "rows": [[row.slug, short(row.name)] for row in one.rows]}
        for one in site.editions
        if len(one.rows) > 1
    ]


def history_data(results: Sequence[tuple[Edition, Row]]) -> list[dict[str, Any]]:
    """AUROC of the default variant of each version on each edition."""
    return [
        {
            "edition": short(edition.title),
            "version": short(row.detector.version, 20),
            "value": row.auroc.value,
            "low": row.auroc.low,
            "high": row.auroc.high,
        }
        for edition, row in results
        if row.auroc and row.detector.variant == "default"
    ]
