"""``attestations.json``: who has looked at which published cell, and how far: what a badge in a table stands on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bench.errors import RecordError
from bench.files import write_atomically

NAME = "attestations.json"
Badge = Literal["recomputed", "rerun", "reproduced"]
BADGES: tuple[Badge, ...] = ("recomputed", "rerun", "reproduced")
"""From the weakest: metrics computed again from the scores; the run repeated, with the same scores; the run repeated,
with this seed or another, and an AUROC within the published interval."""


class Attestation(BaseModel):
    """One look at one cell.

    Attributes:
        cell: its id.
        badge: what was found to hold.
        by: who looked.
        on: the day.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    badge: Badge
    by: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f<>|`\u200e\u200f\u202a-\u202e\u2066-\u2069]{1,100}$")]
    on: date


_LIST = TypeAdapter(list[Attestation])


def attest(cells: Iterable[str], badge: Badge, by: str, on: date) -> list[Attestation]:
    """Make attestations of several cells.

    Raises:
        RecordError: a name that is empty, longer than 100 characters or cannot be shown.

    """
    try:
        return [Attestation(cell=cell, badge=badge, by=by, on=on) for cell in cells]
    except ValidationError as error:
        where = error.errors()[0]["loc"][0]
        raise RecordError(f"an attestation's '{where}' cannot be shown: {error.errors()[0]['msg']}") from error


def read_attestations(root: Path) -> list[Attestation]:
    """Read those of a folder of results; none where there is no list.

    Raises:
        RecordError: the list is damaged.

    """
    try:
        return _LIST.validate_json((root / NAME).read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise RecordError(f"{root / NAME} is damaged: {first}") from error


def add_attestations(root: Path, new: Iterable[Attestation]) -> None:
    """Add to the list of a folder of results; an older one of the same cell, badge and person is replaced.

    Raises:
        RecordError: the list is damaged.
        StorageError: it cannot be written.

    """
    every = {(one.cell, one.badge, one.by): one for one in [*read_attestations(root), *new]}
    ordered = sorted(every.values(), key=lambda one: (one.cell, BADGES.index(one.badge), one.by))
    lines = [json.dumps(one.model_dump(mode="json"), ensure_ascii=False) for one in ordered]
    write_atomically(root / NAME, ("[\n " + ",\n ".join(lines) + "\n]\n").encode())


def badges(root: Path) -> Mapping[str, Badge]:
    """The strongest badge of each cell.

    Raises:
        RecordError: the list is damaged.

    """
    found: dict[str, Badge] = {}
    for one in read_attestations(root):
        found[one.cell] = max(one.badge, found.get(one.cell, one.badge), key=BADGES.index)
    return found


def attestation_problems(root: Path, cells: Iterable[str]) -> list[str]:
    """Say whether the list can be read and speaks of cells that are there."""
    try:
        strangers = sorted({one.cell for one in read_attestations(root)} - set(cells))
    except RecordError as error:
        return [str(error)]
    return [f"{NAME}: there is no record of cell {cell}" for cell in strangers]
