"""What a single record of a submission must keep to, whatever else is in it."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from bench.results.record import EDITED, Record
from bench.run.plan import identity

NAME = r"[a-z][a-z0-9_-]{0,63}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
NUMBERS = r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}"
"""A version that has an order, without which no row of a detector is the newest."""
SEEDS = 1000
LONGEST = 20_000
"""Characters of any one text of a record."""
MOST = {"fit_seconds": 1e8, "score_seconds": 1e8, "images_per_second": 1e9, "peak_rss_bytes": 1e15}
"""Beyond which a cost is no measurement."""
PLACEHOLDERS = ("", "none", "n/a", "na", "tbd", "todo", "-", "?")


def record_problems(record: Record) -> list[str]:
    """Every reason why a record cannot be published, of those that can be told from it alone."""
    detector, found = record.detector, [*_names(record), *_texts("", record.model_dump(mode="json"))]
    if detector.smoke:
        found.append("the preset 'smoke' is a check that things run, and is not published")
    if record.task.private:
        found.append(f"task '{record.task.name}' is private")
    if record.status == "interrupted":
        found.append("it was interrupted: run it again")
    if detector.source_digest == EDITED:
        found.append(f"its detector's source was {EDITED}: run it again")
    if record.environment.dirty:
        found.append(
            "it was made by a bench with uncommitted changes (environment.dirty): commit them and run it again"
        )
    if detector.citation.strip().lower() in PLACEHOLDERS:
        found.append("its detector has no citation: give one in its specification, be it 'unpublished'")
    if not 0 <= record.seed < SEEDS:
        found.append(f"seed {record.seed} is not in 0 to {SEEDS - 1}")
    if not detector.stochastic and record.seed != 0:
        found.append(f"its detector draws no random numbers and has one seed, 0; this is seed {record.seed}")
    found += [
        f"cost.{name} is {value!r}: neither a time, a rate nor a size"
        for name, value in record.cost
        if isinstance(value, int | float) and not 0 <= value <= MOST[name]
    ]
    if record.cell != cell_of(record):
        found.append("its id is not that of its task, detector, configuration and seed in this version of bench")
    return found


def cell_of(record: Record) -> str:
    """The id that a record's cell must have."""
    task, detector = record.task, record.detector
    return identity(
        (task.name, task.version, task.manifest_sha256), (detector.name, detector.version), detector.config, record.seed
    )


def _names(record: Record) -> Iterator[str]:
    named = (
        ("task.name", record.task.name, NAME),
        ("task.version", record.task.version, VERSION),
        ("detector.name", record.detector.name, NAME),
        ("detector.version", record.detector.version, NUMBERS),
        ("detector.variant", record.detector.variant, VERSION),
        ("detector.distribution", record.detector.distribution, VERSION),
        ("detector.distribution_version", record.detector.distribution_version, VERSION),
        ("cell", record.cell, r"[0-9a-f]{16}"),
    )
    for field, text, pattern in named:
        if not re.fullmatch(pattern, text):
            what = "number like 1 or 2.1" if pattern == NUMBERS else "name that can be shown"
            yield f"{field} is no {what}: {text!r}"


def _texts(place: str, value: Any) -> Iterator[str]:
    """Texts that are too long, or hold characters that cannot be seen; NaN and infinity."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts("", f"{name}")
            yield from _texts(f"{place}.{name}" if place else f"{name}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(place, inner)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{place} is {value!r}, no number"
    elif isinstance(value, str):
        where = place or "a name of a field"
        if len(value) > LONGEST:
            yield f"{where} has {len(value)} characters; at most {LONGEST} are taken"
        elif bad := {c for c in value if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn")}:
            yield f"{where} holds characters that cannot be seen: {', '.join(sorted(map(ascii, bad)))}"
