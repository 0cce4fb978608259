"""What pages say in words, and the table for a paper."""

from pathlib import Path

import pytest

from bench.report.latex import as_latex, escape
from bench.report.published import published_rows
from bench.site import wording
from bench.site.advice import advise, front, never_beaten
from bench.site.keeping import Kept
from bench.site.model import build_model
from tests.unit.record_factory import add_record
from tests.unit.site.sites import CATALOGUE, small_store


def test_numbers_are_written_as_people_read_them() -> None:
    assert [wording.number(value) for value in (None, float("nan"), -0.5)] == ["–", "–", "−0.500"]
    assert wording.signed(-0.1) == "−0.100"
    assert [wording.p_value(p) for p in (0.0001, 0.04)] == ["<0.001", "0.040"]
    assert [wording.seconds(value) for value in (None, 1.0, 120.0, 7200.0)] == ["–", "1.0 s", "2.0 min", "2.0 h"]
    assert [wording.FILTERS["rate"](value) for value in (None, 1805.0, 122_000.0)] == ["–", "1,805", "122k"]
    assert [wording.FILTERS["rank"](one) for one in (None, (1, 1), (2, 4))] == ["–", "1", "2–4"]
    assert [wording.seeds(one) for one in ((0,), (0, 1), (0, 1, 2), (0, 2, 3))] == ["0", "0, 1", "0–2", "0, 2, 3"]
    assert wording.short("a\x00b" + "c" * 100, 5) == "a\ufffdbc…"


def test_advice_names_the_leaders_and_what_they_cost(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    add_record(store, detector="drawn", task="a-phantom", synthetic=True)
    add_record(store, detector="other", task="a-phantom", synthetic=True)
    site = build_model(tmp_path, CATALOGUE, Kept(None))
    edition = site.editions[0]
    advice = advise(edition)
    assert advice.leaders[0].name == "toy"
    assert advice.pairs == 3
    assert advice.few  # 20 patients a class
    assert advice.scratch is not None
    counted, names = never_beaten(site.editions)
    assert counted == 1  # drawn images do not count
    assert names == tuple(row.name for row in advice.leaders)
    costs = {one["name"]: one for one in front(edition)}
    assert costs["toy"]["front"]  # the best is always on the line
    assert not costs["other"]["front"]


def test_latex_prints_any_text_and_does_nothing_else(tmp_path: Path) -> None:
    assert escape("a_b & 50% {x} \\input #1 $ ^ ~\n") == (
        r"a\_b \& 50\% \{x\} \textbackslash{}input \#1 \$ \textasciicircum{} \textasciitilde{}"
    )
    text = as_latex(published_rows(small_store(tmp_path).root))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(lines) == 5
    assert {line.count(" & ") for line in lines} == {8}


@pytest.mark.parametrize("name", ["recomputed", "rerun", "reproduced"])
def test_every_badge_has_a_name_and_a_meaning(name: str) -> None:
    assert wording.BADGES[name]
    assert wording.WORDS[name]
