"""Pictures that stand in pages."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.site.pictures import BESIDE, LINE, PARETO, _names, _place, pareto

AXES = ((-2.0, 3.0), (0.3, 1.0))
places = st.lists(st.tuples(st.integers(-20, 30), st.integers(30, 100)), min_size=1, max_size=12)


def points(given: list[tuple[int, int]]) -> list[dict[str, Any]]:
    return [
        {"name": f"detector-{i}", "seconds": 10 ** (power / 10), "auroc": auroc / 100, "front": i == 0, "named": True}
        for i, (power, auroc) in enumerate(given)
    ]


@given(places)
@settings(max_examples=60)
def test_no_name_covers_another(given: list[tuple[int, int]]) -> None:
    told = _names(points(given), *AXES)
    assert {one["name"] for one in told} == {f"detector-{i}" for i in range(len(given))}
    boxes = [_box(one) for one in told]
    for i, (start, end, y) in enumerate(boxes):
        assert start >= 0 and end <= PARETO[0]
        for other_start, other_end, other_y in boxes[:i]:
            assert end <= other_start or other_end <= start or abs(y - other_y) > LINE - 1e-6
        for x, point_y in (_place(one, *AXES) for one in points(given)):
            assert not (start < x < end and abs(y - point_y) < LINE / 2 - 1e-6)


def _box(one: dict[str, Any]) -> tuple[float, float, float]:
    """Left end, right end and middle of a name, in pixels."""
    x, y = _place(one, *AXES)
    width = 7 * len(one["name"])
    return (x + BESIDE, x + BESIDE + width, y) if one["side"] == "left" else (x - BESIDE - width, x - BESIDE, y)


def test_names_are_drawn_once_each_and_those_without_not_at_all() -> None:
    shown = points([(0, 50), (10, 80), (11, 80)])
    shown[2]["named"] = False
    drawn = pareto(shown)
    assert re.findall(r">(detector-\d)</text>", drawn) == ["detector-0", "detector-1"]
