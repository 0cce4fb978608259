"""Pictures that pages hold as SVG, drawn by Vega-Lite without a browser. Colours are variables of the style sheet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from bench.site.advice import front
from bench.site.facts import Edition, Fact, Row
from bench.site.keeping import Kept

Spec = dict[str, Any]
SPARK = (64, 22)
STRIP = (150, 16)
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
    inputs = [json.dumps([shown, costs]), version("vl-convert-python"), version("altair")]
    return kept.get(Pictures, inputs, lambda: _draw(edition.rows, costs))


def _draw(rows: Sequence[Row], costs: Sequence[Mapping[str, Any]]) -> Pictures:
    return Pictures(
        rows=small_pictures(rows),
        axis=axis_of(rows),
        chance=chance_of(rows),
        pareto=pareto(costs) if len(costs) > 1 else "",
        front=tuple(str(one["name"]) for one in costs if one["front"]),
    )


def svg(chart: Any) -> str:
    """Draw an Altair chart in the looks of the site."""
    from vl_convert import vegalite_to_svg

    return slim(vegalite_to_svg({**chart.to_dict(), "config": CONFIG}))


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


def small_pictures(rows: Sequence[Row]) -> dict[str, Marks]:
    """Draw the small pictures of all rows of a table, by slug: one chart, taken apart into its paths."""
    drawn = [row for row in rows if row.auroc]
    if not drawn:
        return {}
    sparks = [
        {"row": place, "x": step / (len(row.spark) - 1), "y": value}
        for place, row in enumerate(drawn)
        for step, value in enumerate(row.spark)
    ]
    low, high = axis_of(drawn)
    ends = [
        {"row": place, "x": end, "y": 0.5}
        for place, row in enumerate(drawn)
        if row.auroc
        for end in (row.auroc.low, row.auroc.high)
    ]
    points = [
        {"row": place, "x": row.auroc.value, "y": 0.5}
        for place, row in enumerate(drawn)
        if row.auroc
        for _ in range(2)  # a line of no length with a round cap is a dot
    ]
    paths = [
        _paths(_lines(sparks, SPARK, (0.0, 1.0)), len(drawn)),
        _paths(_lines(ends, STRIP, (low, high)), len(drawn)),
        _paths(_lines(points, STRIP, (low, high)), len(drawn)),
    ]
    return {row.slug: Marks(spark=a, interval=b, point=c) for row, a, b, c in zip(drawn, *paths, strict=True)}


def chance_of(rows: Sequence[Row]) -> str:
    """The path of AUROC 0.5 in the strips of a table."""
    low, high = axis_of(rows)
    (path,) = _paths(_lines([{"row": 0, "x": 0.5, "y": end} for end in (0, 1)], STRIP, (low, high)), 1)
    return path


def _lines(values: Sequence[Mapping[str, float]], size: tuple[int, int], domain: tuple[float, float]) -> Any:
    import altair as alt

    return (
        alt.Chart(alt.InlineData(values=list(values)), width=size[0], height=size[1])
        .mark_line()
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=list(domain), nice=False)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False)),
            detail=alt.Detail("row:O"),
            order=alt.value(0),
        )
    )


def _paths(chart: Any, count: int) -> list[str]:
    found = re.findall(r'<path d="([^"]+)" stroke=', svg(chart))
    assert len(found) == count, (len(found), count)
    return found


def pareto(points: Sequence[Mapping[str, Any]]) -> str:
    """Cost against AUROC of one table.

    Args:
        points: each {name, seconds, auroc, front, named}; ``front``: nothing cheaper is as good.

    """
    import altair as alt

    ends = [math.log10(float(point["seconds"])) for point in points]
    powers = [10.0**power for power in range(math.floor(min(ends)), math.ceil(max(ends)) + 1)]
    x = alt.X("seconds:Q", title="seconds to fit, on a logarithmic scale").scale(
        type="log", domain=[powers[0], max(powers[-1], powers[0] * 10)], nice=False
    )
    y = alt.Y("auroc:Q", title="AUROC").scale(zero=False, padding=12).axis(tickCount=5, format=".2f")
    base = alt.Chart(alt.InlineData(values=list(points)), width=420, height=220).encode(
        x=x.axis(values=powers, format="~g", grid=False), y=y
    )
    front = base.transform_filter("datum.front")
    return svg(
        front.mark_line(interpolate="step-after", stroke=ACCENT, opacity=0.5)
        + base.mark_circle(size=46, opacity=1).encode(
            color=alt.condition("datum.front", alt.value(ACCENT), alt.value(MUTED))
        )
        + base.transform_filter("datum.named")
        .mark_text(align="left", dx=7, dy=-7, fontSize=11, color=INK, limit=110)
        .encode(text="name:N")
    )
