"""Records of an older schema are brought forward by steps; nothing else is touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import NewerRecordError, RecordError
from bench.results.migrate import STEPS, migrate, migrate_record
from bench.results.record import SCHEMA, read_record
from bench.results.store import RECORD, Store
from tests.unit.record_factory import add_record


def from_zero(plain: dict[str, Any]) -> dict[str, Any]:
    """An imagined schema 0, in which a record's reason was called ``why``."""
    return {**{name: value for name, value in plain.items() if name != "why"}, "reason": plain["why"]}


def age(path: Path, schema: object = 0) -> bytes:
    """Make a record as the imagined schema 0 had it."""
    plain = json.loads(path.read_text())
    plain["why"] = plain.pop("reason")
    path.write_text(json.dumps({**plain, "schema": schema}))
    return path.read_bytes()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    store = Store(tmp_path)
    return [store.folder_of(add_record(store, seed=seed)) / RECORD for seed in (0, 1)]


def test_an_older_record_becomes_what_it_would_be_now(tmp_path: Path, paths: list[Path]) -> None:
    wanted = paths[0].read_bytes()
    age(paths[0])
    with pytest.raises(RecordError, match=r"has schema 0.*bench leaderboard migrate"):
        read_record(paths[0])
    assert migrate(tmp_path, {0: from_zero}) == (1, 2)
    assert paths[0].read_bytes() == wanted
    assert migrate(tmp_path, {0: from_zero}) == (0, 2)


def test_several_steps_lead_on_from_one_another(paths: list[Path]) -> None:
    wanted = paths[0].read_bytes()
    older = age(paths[0], -1)
    steps = {-1: lambda plain: {**plain, "why": plain["why"].strip()}, 0: from_zero}
    assert migrate_record(older, "x", steps) == wanted


@pytest.mark.parametrize(
    ("schema", "steps", "error", "named"),
    [
        (0, {}, RecordError, "has schema 0, from which no step leads to schema 1"),
        (0, {0: lambda plain: plain}, RecordError, "is damaged"),
        (SCHEMA + 1, {0: from_zero}, NewerRecordError, "install a newer bench"),
        (None, {0: from_zero}, RecordError, "does not say its schema"),
        (True, {0: from_zero}, RecordError, "does not say its schema"),
    ],
)  # fmt: skip
def test_what_cannot_be_brought_forward_is_named_and_nothing_is_written(
    tmp_path: Path, paths: list[Path], schema: object, steps: Any, error: type[Exception], named: str
) -> None:
    old = [age(paths[0]), age(paths[1], schema)]
    with pytest.raises(error, match=named):
        migrate(tmp_path, steps)
    assert [path.read_bytes() for path in paths] == old


def test_there_is_a_step_from_every_older_schema() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA))
