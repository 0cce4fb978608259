"""Pictures that pages hold as SVG, drawn by Vega-Lite without a browser. Colours are variables of the style sheet.

Specifications are plain Vega-Lite: to import Altair and let it check them takes longer than to draw them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import count
from typing import Any

from bench.site.advice import front
from bench.site.facts import Edition, Fact, Row
from bench.site.keeping import Kept

Spec = dict[str, Any]
SPARK = (64, 22)
STRIP = (150, 16)
PARETO = (420, 220)
LINE, BESIDE, DOT, LONGEST_NAME = 13, 7, 4, 110
INK, MUTED, RULE, ACCENT = "var(--ink)", "var(--muted)", "var(--rule)", "var(--accent)"
CONFIG: Spec = {
    "background": None,
    "font": "system-ui, sans-serif",
    "aria": False,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": INK,
        "gridColor": RULE,
        "domainColor": RULE,
        "tickColor": RULE,
        "titleFontWeight": 500,
        "labelFontSize": 11,
        "titleFontSize": 12,
    },
    "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontWeight": 500},
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12},
    "title": {"color": INK},
}


class Marks(Fact):
    """Paths of one row's small pictures: its ROC curve, its interval, and the point in it."""

    spark: str
    interval: str
    point: str


class Pictures(Fact):
    """All pictures of one table.

    Attributes:
        rows: by slug.
        axis: the range of AUROC that the strips share.
        chance: the path of AUROC 0.5 in them.
        pareto: cost against AUROC as SVG; empty where fewer than two rows have a cost.
        front: names of the rows that nothing as cheap is better than.

    """

    rows: dict[str, Marks]
    axis: tuple[float, float]
    chance: str
    pareto: str
    front: tuple[str, ...]


def pictures_of(edition: Edition, kept: Kept) -> Pictures:
    """Draw the pictures of a table, unless the same ones are kept."""
    costs = front(edition)
    shown = [[row.slug, row.auroc and row.auroc.model_dump(), row.spark] for row in edition.rows]
    inputs = [json.dumps([shown, costs]), version("vl-convert-python")]
    return kept.get(Pictures, inputs, lambda: _draw(edition.rows, costs))


def _draw(rows: Sequence[Row], costs: Sequence[Mapping[str, Any]]) -> Pictures:
    marks, chance = small_pictures(rows)
    return Pictures(
        rows=marks,
        axis=axis_of(rows),
        chance=chance,
        pareto=pareto(costs) if len(costs) > 1 else "",
        front=tuple(str(one["name"]) for one in costs if one["front"]),
    )


def svg(chart: Spec) -> str:
    """Draw a chart of Vega-Lite in the looks of the site."""
    from vl_convert import vegalite_to_svg

    return slim(vegalite_to_svg({**chart, "config": CONFIG}))


def slim(drawn: str) -> str:
    """Take from an SVG what only a file of its own needs, and digits that no screen shows."""
    drawn = re.sub(r' (?:role|aria-[a-z]+|pointer-events|class|xmlns(?::xlink)?|version)="[^"]*"', "", drawn)
    drawn = re.sub(r'<path d="[^"]*"(?: display="none")?/>', "", drawn)  # backgrounds and foregrounds of groups
    drawn = re.sub(r"<text [^>]*/>", "", drawn)
    drawn = drawn.replace("<svg ", '<svg aria-hidden="true" ', 1)
    return re.sub(r'(?<= d=")[^"]*|(?<= transform=")[^"]*', _rounded, drawn)


def _rounded(text: re.Match[str]) -> str:
    """Round the numbers of ``d="…"`` and ``transform="…"``: a screen shows no more."""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), text[0])


def axis_of(rows: Sequence[Row]) -> tuple[float, float]:
    """The range of AUROC that the strips of one table share, in tenths; chance is always inside."""
    ends = [end for row in rows if row.auroc for end in (row.auroc.low, row.auroc.high)]
    return min([int(min(ends, default=0.5) * 10) / 10, 0.4]), 1.0


def small_pictures(rows: Sequence[Row]) -> tuple[dict[str, Marks], str]:
    """Draw the small pictures of all rows of a table at once, as one chart that is taken apart into its paths.

    Returns:
        pictures by slug, and the path of AUROC 0.5 in the strips.

    """
    drawn = [(row, row.auroc) for row in rows if row.auroc]
    axis = axis_of(rows)
    sparks = [
        {"row": place, "x": step / (len(row.spark) - 1), "y": value}
        for place, (row, _) in enumerate(drawn)
        for step, value in enumerate(row.spark)
    ]
    intervals = [_end(place, end) for place, (_, auroc) in enumerate(drawn) for end in (auroc.low, auroc.high)]
    points = [_end(place, auroc.value) for place, (_, auroc) in enumerate(drawn) for _ in range(2)]  # no length: a dot
    chance = [{"row": 0, "x": 0.5, "y": end} for end in (0.0, 1.0)]
    charts = [_lines(sparks, SPARK, (0.0, 1.0)), *(_lines(one, STRIP, axis) for one in (intervals, points, chance))]
    paths = _paths(charts, 3 * len(drawn) + 1)
    a, b, c = (paths[kind * len(drawn) : (kind + 1) * len(drawn)] for kind in range(3))
    marks = {row.slug: Marks(spark=a[i], interval=b[i], point=c[i]) for i, (row, _) in enumerate(drawn)}
    return marks, paths[-1]


def _end(place: int, x: float) -> dict[str, float]:
    """An end of a line in the middle of a strip."""
    return {"row": place, "x": x, "y": 0.5}


def _lines(values: Sequence[Mapping[str, float]], size: tuple[int, int], domain: tuple[float, float]) -> Spec:
    """Draw a line for each row."""
    scales = {"x": list(domain), "y": [0, 1]}
    axes = {
        name: {"field": name, "type": "quantitative", "axis": None, "scale": {"domain": ends, "nice": False}}
        for name, ends in scales.items()
    }
    return {
        "data": {"values": list(values)},
        "width": size[0],
        "height": size[1],
        "mark": "line",
        "encoding": {**axes, "detail": {"field": "row", "type": "ordinal"}, "order": {"value": 0}},
    }


def _paths(charts: Sequence[Spec], count: int) -> list[str]:
    found = re.findall(r'<path d="([^"]+)" stroke=', svg({"hconcat": list(charts)}))
    assert len(found) == count, (len(found), count)
    return found


def pareto(points: Sequence[Mapping[str, Any]]) -> str:
    """Cost against AUROC of one table.

    Args:
        points: each {name, seconds, auroc, front, named}; ``front``: nothing cheaper is as good.

    """
    costs = _tens([math.log10(point["seconds"]) for point in points], 1)
    powers = [10.0**power for power in range(int(costs[0]), int(costs[1]) + 1)]
    aurocs = _tens([point["auroc"] for point in points], 10)
    x = {
        "field": "seconds",
        "type": "quantitative",
        "title": "seconds to fit, on a logarithmic scale",
        "scale": {"type": "log", "domain": [powers[0], powers[-1]], "nice": False},
        "axis": {"values": powers, "format": "~g", "grid": False},
    }
    y = {
        "field": "auroc",
        "type": "quantitative",
        "title": "AUROC",
        "scale": {"domain": aurocs, "nice": False},
        "axis": {"tickCount": 5, "format": ".2f"},
    }
    tone = {"condition": {"test": "datum.front", "value": ACCENT}, "value": MUTED}
    line = _layer("datum.front", {"type": "line", "interpolate": "step-after", "stroke": ACCENT, "opacity": 0.5})
    dots = _layer("!datum.side", {"type": "circle", "size": 46, "opacity": 1}, color=tone)
    text = {"type": "text", "baseline": "middle", "fontSize": 11, "color": INK, "limit": LONGEST_NAME}
    names = [
        _layer(f"datum.side == '{side}'", {**text, "align": side, "dx": dx}, text={"field": "name", "type": "nominal"})
        for side, dx in (("left", BESIDE), ("right", -BESIDE))
    ]
    return svg(
        {
            "data": {"values": [*points, *_names(points, costs, aurocs)]},
            "width": PARETO[0],
            "height": PARETO[1],
            "encoding": {"x": x, "y": y},
            "layer": [line, dots, *names],
        }
    )


def _layer(shown: str, mark: Spec, **encoding: Spec) -> Spec:
    """Marks of some points alone."""
    return {"transform": [{"filter": shown}], "mark": mark, "encoding": encoding}


def _tens(values: Sequence[float], parts: int) -> tuple[float, float]:
    """The range of some numbers in whole steps of 1 / ``parts``, one at the least."""
    low, high = math.floor(min(values) * parts), math.ceil(max(values) * parts)
    return low / parts, max(high, low + 1) / parts


def _names(
    points: Sequence[Mapping[str, Any]], costs: tuple[float, float], aurocs: tuple[float, float]
) -> list[dict[str, Any]]:
    """Where names stand: beside their points, as near as no other name and no point is.

    Args:
        points: all of them, as :func:`pareto` has them; names are those of the ``named``.
        costs: ends of the axis, as powers of ten.
        aurocs: ends of the axis.

    """
    places = [_place(point, costs, aurocs) for point in points]
    taken = [(x - DOT, x + DOT, y - DOT, y + DOT) for x, y in places]
    told = []
    for point, (x, y) in zip(points, places, strict=True):
        if not point["named"]:
            continue
        width = min(7 * len(point["name"]), LONGEST_NAME)
        sides = ("left", "right") if x < PARETO[0] / 2 else ("right", "left")
        for side, middle in ((side, y + LINE * step) for step in _steps(up=point["front"]) for side in sides):
            start = x + BESIDE if side == "left" else x - BESIDE - width
            box = (start, start + width, middle - LINE / 2, middle + LINE / 2)
            if start >= 0 and box[1] <= PARETO[0] and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        auroc = aurocs[1] - middle / PARETO[1] * (aurocs[1] - aurocs[0])
        told.append({**point, "auroc": auroc, "front": False, "side": side})
    return told


def _place(point: Mapping[str, Any], costs: tuple[float, float], aurocs: tuple[float, float]) -> tuple[float, float]:
    """Pixels from the left and from the top."""
    x = (math.log10(point["seconds"]) - costs[0]) / (costs[1] - costs[0]) * PARETO[0]
    return x, (aurocs[1] - point["auroc"]) / (aurocs[1] - aurocs[0]) * PARETO[1]


def _steps(up: bool) -> Iterator[float]:
    """Lines away from a point, near ones first; ``up`` where the line that joins the front is below."""
    for number in count():
        yield from (sign * (number + 0.5) for sign in ((-1, 1) if up else (1, -1)))


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (left, right, top, bottom) have a part in common."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
