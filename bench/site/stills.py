"""The charts of the site as SVG, for a report that is one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.metrics.paired import ALPHA
from bench.site.charts import specs
from bench.site.datafiles import pair_data, task_data
from bench.site.facts import Edition, Row
from bench.site.pictures import slim
from bench.site.wording import signed

Spec = dict[str, Any]


def stills_of(edition: Edition) -> dict[str, Any]:
    """Draw an edition: ``roc``, ``matrix`` (empty without pairs), and ``bars``, one picture a row."""
    if not edition.rows:
        return {"roc": "", "matrix": "", "bars": []}
    made, told = specs(), task_data(edition)
    return {
        "roc": _still(made["roc"], _curves(told), 520, shown=[row["row"] for row in told["rows"]]),
        "matrix": _still(made["matrix"], {"pairs": _cells(edition)}) if edition.standing.pairs else "",
        "bars": [(row, _still(made["bars"], {"bars": _bars(row, told["bins"])}, 420)) for row in edition.rows],
    }


def _still(spec: Spec, data: Mapping[str, Any], width: int | None = None, **signals: Any) -> str:
    from vl_convert import vega_to_svg

    sources = [{**one, "values": data[one["name"]]} if one["name"] in data else one for one in spec["data"]]
    fixed = {**signals, **({"width": width} if width else {})}
    given = [
        {"name": one["name"], "value": fixed[one["name"]]} if one["name"] in fixed else one
        for one in spec.get("signals", [])
    ]
    return slim(vega_to_svg({**spec, "data": sources, "signals": given}))


def _curves(told: Mapping[str, Any]) -> dict[str, Any]:
    curves, points = [], []
    for row in told["rows"]:
        look = {name: row[name] for name in ("row", "name", "tone", "dash")}
        curves += [{**look, "x": x, "y": y} for x, y in zip(row["fpr"], row["tpr"], strict=True)]
        points += [{**look, "promise": f"{promise} %", "x": x, "y": y} for promise, x, y in row["points"]]
    return {"curves": curves, "points": points, "bands": []}


def _bars(row: Row, bins: list[float]) -> list[dict[str, Any]]:
    return [
        {"class": bars.name, "x": x, "share": share}
        for bars in row.bars
        for x, share in zip(bins, bars.shares, strict=True)
    ]


def _cells(edition: Edition) -> list[dict[str, Any]]:
    told = pair_data(edition)
    names = [name for _, name in told["rows"]]
    cells = []
    for one, other, value, _, _, p, _ in told["pairs"]:
        for row, column, found in ((one, other, value), (other, one, -value)):
            verdict = "open" if p >= ALPHA or value == 0 else "better" if found > 0 else "worse"
            own = {"first": names[row], "second": names[column], "row": row, "column": column}
            cells.append({**own, "verdict": verdict, "brief": signed(found, 2).replace("0.", ".")})
    return cells
