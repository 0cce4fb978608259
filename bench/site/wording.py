"""How pages write numbers and names."""

from __future__ import annotations

import re

from bench.report.badges import WORDS
from bench.report.standing import rank_text
from bench.report.table import rate_text, seconds_text

LONGEST = 60
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
BADGES = {
    "recomputed": "recomputed",
    "rerun": "re-run",
    "reproduced": "reproduced",
}


def short(text: str, longest: int = LONGEST) -> str:
    """Text of a length that fits a page, without control characters."""
    clean = CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def number(value: float | None, digits: int = 3) -> str:
    """``0.856``, or a dash for what is not known."""
    return "–" if value is None or value != value else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 3) -> str:
    """``+0.012``, with a true minus sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def p_value(value: float) -> str:
    """``<0.001`` or ``0.012``."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """``16.4 s``, ``5.5 min`` or ``2.0 h``."""
    return seconds_text(value) if value is None or value < 6000 else f"{value / 3600:.1f} h"


def gigabytes(value: int | None) -> str:
    """``1.16 GB``."""
    return "–" if value is None else f"{value / 1e9:.2f} GB"


def seeds(found: tuple[int, ...]) -> str:
    """``0–4``, or ``0, 2``."""
    if len(found) > 2 and list(found) == list(range(found[0], found[-1] + 1)):
        return f"{found[0]}–{found[-1]}"
    return short(", ".join(map(str, found)))


def words(name: str) -> str:
    """``tune_f1_at_95_specificity`` as words."""
    return short(name.replace("_", " "))


FILTERS = {
    "short": short,
    "number": number,
    "signed": signed,
    "p": p_value,
    "seconds": seconds,
    "rate": rate_text,
    "gigabytes": gigabytes,
    "rank": rank_text,
    "seeds": seeds,
    "words": words,
    "badge": lambda name: BADGES[name],
    "meaning": lambda name: WORDS[name],
}
