"""Names of files for any name at all."""

import re

from hypothesis import given
from hypothesis import strategies as st

from bench.site.naming import slug
from tests.unit.site.sites import HOSTILE, LONG


@given(st.text(max_size=300))
def test_a_slug_is_always_a_plain_file_name(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{8}", slug(name))
    assert len(slug(name)) <= 49


def test_names_that_look_alike_are_kept_apart() -> None:
    names = ["a b", "a-b", "A B", "a  b", HOSTILE, LONG, LONG + "x", "", "..", "../..", "ａ b", slug("a b")]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("salad", "1") != slug("salad", "2")
    assert slug("a", "b") != slug("a\0b", "c")
