"""Charts that a browser draws, as Vega specifications without data; data files fill them by name.

Colours are variables of the style sheet, so that a chart follows the light or dark of its page. Expressions are
interpreted, never compiled: a page needs no ``unsafe-eval``.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from bench.site.datafiles import script
from bench.site.facts import Fact
from bench.site.keeping import Kept
from bench.site.looks import DASHES, TONES
from bench.site.pictures import ACCENT, CONFIG, INK, MUTED, RULE

VERDICTS = {"better": "var(--good)", "worse": "var(--bad)", "open": "var(--open)"}


class Script(Fact):
    """A script that is made once."""

    text: str


def vega_script(kept: Kept) -> bytes:
    """Vega's own code, for all pages that draw."""
    return kept.get(Script, ["vega", version("vl-convert-python")], lambda: Script(text=bundle())).text.encode()


def chart_script(kept: Kept) -> bytes:
    """The specifications of all charts."""
    inputs = ["charts", version("vl-convert-python"), version("altair")]
    return kept.get(Script, inputs, lambda: Script(text=script("specs", specs()).decode())).text.encode()


def bundle() -> str:
    """JavaScript of Vega for all pages that draw."""
    from vl_convert import javascript_bundle

    code: str = javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return code


def specs() -> dict[str, dict[str, Any]]:
    """Compile every chart, by name."""
    from vl_convert import vegalite_to_vega

    made = {"roc": _roc(), "bars": _bars(), "matrix": _matrix(), "scatter": _scatter(), "history": _history()}
    compiled: dict[str, dict[str, Any]] = {}
    for name, chart in made.items():
        told = {**chart.to_dict(), "config": {**CONFIG, "aria": True}}
        compiled[name] = vegalite_to_vega(told)
    for scale in compiled["roc"]["scales"]:  # Vega-Lite cannot say that a domain is a signal's alone
        if scale["name"] in ("x", "y"):
            scale["domain"] = [0, {"signal": "reach"} if scale["name"] == "x" else 1]
            scale["nice"] = False
    return compiled


def _roc() -> Any:
    """ROC curves: ``shown`` says which, ``pick`` is brought forward with its band, ``reach`` is the end of the axis."""
    import altair as alt

    pick, shown = alt.param("pick", value=""), alt.param("shown", value=[])
    reach = alt.param("reach", value=1)
    x = alt.X("x:Q", title="false-positive rate (1 − specificity)").axis(tickCount=6)
    y = alt.Y("y:Q", title="true-positive rate (sensitivity)").axis(tickCount=6)
    tone = alt.Color("tone:O", legend=None).scale(domain=list(range(len(TONES))), range=list(TONES))
    dash = alt.StrokeDash("dash:O", legend=None).scale(domain=list(range(len(DASHES))), range=list(DASHES))
    visible = "indexof(shown, datum.row) >= 0"
    near = alt.condition("pick == '' || pick == datum.row", alt.value(1), alt.value(0.22))
    chance = (
        alt.Chart(alt.InlineData(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(stroke=RULE, strokeWidth=1.5, clip=True)
        .encode(x=x, y=y)
    )
    curves = alt.Chart(alt.NamedData("curves")).transform_filter(visible)
    lines = curves.mark_line(interpolate="step-after", clip=True).encode(
        x=x, y=y, color=tone, strokeDash=dash, detail="row:N", opacity=near,
        strokeWidth=alt.condition("pick == datum.row", alt.value(3), alt.value(1.8)),
    )  # fmt: skip
    band = (
        alt.Chart(alt.NamedData("bands"))
        .transform_filter("pick == datum.row && indexof(shown, datum.row) >= 0")
        .mark_area(opacity=0.16, clip=True)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=tone)
    )
    hit = curves.mark_line(interpolate="step-after", clip=True, strokeWidth=14, opacity=0).encode(
        x=x, y=y, detail="row:N"
    )
    chart = (chance + band + lines + hit + _points(x, y, tone, near).transform_filter(visible)).add_params(
        pick, shown, reach
    )
    return chart.properties(width="container", height=500)


def _points(x: Any, y: Any, tone: Any, near: Any) -> Any:
    """Operating points on the axes and in the colours of the curves."""
    import altair as alt

    return (
        alt.Chart(alt.NamedData("points"))
        .mark_point(filled=True, size=80, opacity=1, clip=True, stroke="var(--paper)", strokeWidth=1)
        .encode(
            x=x, y=y, color=tone, opacity=near,
            shape=alt.Shape("promise:N", title="threshold of held-out normals").scale(
                domain=["95 %", "99 %"], range=["circle", "diamond"]
            ).legend(orient="bottom", symbolFillColor=MUTED, symbolStrokeColor=MUTED),
            tooltip=[
                alt.Tooltip("name:N", title="detector"), alt.Tooltip("promise:N", title="specificity promised"),
                alt.Tooltip("x:Q", title="false alarms", format=".3f"),
                alt.Tooltip("y:Q", title="sensitivity", format=".3f"),
            ],
        )
    )  # fmt: skip


def _bars() -> Any:
    """How one detector's scores are spread."""
    import altair as alt

    x = (
        alt.X("x:Q", title="score, in units of the 95 % threshold")
        .scale(domain=[-2, 6], nice=False)
        .axis(tickCount=8, grid=False)
    )
    base = alt.Chart(alt.NamedData("bars")).encode(
        x=x,
        y=alt.Y("share:Q", title="share of images").axis(format="%", tickCount=4),
        color=alt.Color("class:N", title=None, sort=None)
        .scale(range=[MUTED, *TONES])
        .legend(orient="top", columns=3, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3),
        tooltip=[
            alt.Tooltip("class:N"), alt.Tooltip("x:Q", title="from", format=".1f"),
            alt.Tooltip("share:Q", title="share", format=".1%"),
        ],
    )  # fmt: skip
    rule = alt.Chart(alt.InlineData(values=[{"x": 1}])).mark_rule(stroke=INK, strokeDash=[3, 3]).encode(x=alt.X("x:Q"))
    area = base.mark_area(interpolate="step-after", opacity=0.12).encode(y=alt.Y("share:Q", stack=None))
    line = base.mark_line(interpolate="step-after", strokeWidth=1.8)
    return (area + line + rule).properties(width="container", height=240)


def _matrix() -> Any:
    """Which row is better than which column; ``verdict`` and numbers come with the data."""
    import altair as alt

    x = alt.X("second:N", sort=alt.SortField("column"), title=None).axis(
        labelAngle=-45, orient="top", domain=False, ticks=False
    )
    y = alt.Y("first:N", sort=alt.SortField("row"), title=None).axis(domain=False, ticks=False)
    base = alt.Chart(alt.NamedData("pairs"), width=alt.Step(36), height=alt.Step(30)).encode(
        x=x, y=y,
        tooltip=[
            alt.Tooltip("text:N", title="pair"), alt.Tooltip("difference:N", title="difference of AUROC"),
            alt.Tooltip("p:N", title="p after Holm"),
        ],
    )  # fmt: skip
    words = "{better: 'row is better', worse: 'column is better', open: 'not told apart'}[datum.label]"
    colour = alt.Color("verdict:N", title=None).scale(domain=list(VERDICTS), range=list(VERDICTS.values()))
    cells = base.mark_rect(stroke="var(--paper)", strokeWidth=2, cornerRadius=3).encode(
        color=colour.legend(orient="bottom", direction="vertical", labelExpr=words)
    )
    ink = alt.condition("datum.verdict == 'open'", alt.value(INK), alt.value("var(--paper)"))
    return cells + base.mark_text(fontSize=11).encode(text="brief:N", color=ink)


def _scatter() -> Any:
    """Places of each image by two detectors."""
    import altair as alt

    places = alt.Scale(domain=[0, 1], nice=False)
    diagonal = alt.Chart(alt.InlineData(values=[{"a": 0, "b": 0}, {"a": 1, "b": 1}])).mark_line(
        stroke=RULE, strokeWidth=1.5
    ).encode(x="a:Q", y="b:Q")  # fmt: skip
    dots = (
        alt.Chart(alt.NamedData("images"))
        .mark_point(filled=True, size=34, opacity=0.7)
        .encode(
            x=alt.X("a:Q", title="first").scale(places).axis(tickCount=5),
            y=alt.Y("b:Q", title="second").scale(places).axis(tickCount=5),
            color=alt.Color("category:N", title=None, sort=None).scale(range=[MUTED, *TONES]).legend(orient="top"),
            shape=alt.Shape("kind:N", legend=None).scale(domain=["healthy", "diseased"], range=["circle", "triangle"]),
            tooltip=[
                alt.Tooltip("id:N", title="image"), alt.Tooltip("category:N"),
                alt.Tooltip("a:Q", title="first", format=".3f"), alt.Tooltip("b:Q", title="second", format=".3f"),
            ],
        )
    )  # fmt: skip
    return (diagonal + dots).properties(width="container", height=520)


def _history() -> Any:
    """AUROC of the versions of a detector on each edition."""
    import altair as alt

    x, y = alt.X("value:Q", title="AUROC").scale(zero=False), alt.Y("version:N", title="version")
    shown = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
    low = alt.X("low:Q", title="AUROC").scale(zero=False)
    interval = alt.Chart().mark_rule(stroke=ACCENT, strokeWidth=2).encode(x=low, x2="high:Q", y=y)
    dot = alt.Chart().mark_circle(fill=ACCENT, size=70, opacity=1).encode(x=x, y=y, tooltip=["version:N", *shown])
    header = alt.Row("edition:N", title=None).header(labelAngle=0, labelAnchor="start", labelOrient="top")
    layers = alt.layer(interval, dot, data=alt.NamedData("history"), width=420, height=alt.Step(24))
    return layers.facet(row=header)
