"""Bringing records of an older schema to the present one, a step at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.errors import NewerRecordError, RecordError
from bench.files import write_atomically
from bench.results.record import SCHEMA, parse_record, schema_of
from bench.results.store import RECORD

Step = Callable[[dict[str, Any]], dict[str, Any]]

STEPS: Mapping[int, Step] = MappingProxyType({})
"""By schema, what turns a record of it into one of the next: a pure function of record.json's content, which keeps what
it does not know and leaves ``schema`` alone. Schema 1 is the first, so there is none yet."""


def migrate_record(content: bytes, what: str, steps: Mapping[int, Step] = STEPS) -> bytes:
    """Bring the content of a record.json to the present schema; one that has it is returned as it is.

    Args:
        content: the file.
        what: how messages call it.
        steps: those that are known.

    Raises:
        NewerRecordError: it was written by a newer bench.
        RecordError: it does not say its schema, no step leads on from it, or what comes out is no record.

    """
    schema = schema_of(content)
    if schema == SCHEMA:
        return content
    if schema is None:
        raise RecordError(f"{what} is damaged: it does not say its schema")
    if schema > SCHEMA:
        raise NewerRecordError(f"{what} has schema {schema}; this bench writes {SCHEMA}: install a newer bench")
    plain = json.loads(content)
    for number in range(schema, SCHEMA):
        if number not in steps:
            raise RecordError(f"{what} has schema {number}, from which no step leads to schema {number + 1}")
        plain = {**steps[number](plain), "schema": number + 1}
    return parse_record(json.dumps(plain).encode(), what).to_json()


def migrate(root: Path, steps: Mapping[int, Step] = STEPS) -> tuple[int, int]:
    """Bring every record of a folder of results to the present schema; all are read before any is written.

    Returns:
        how many records have changed, and how many there are.

    Raises:
        RecordError: as :func:`migrate_record`; nothing was written.
        StorageError: the folder cannot be written.

    """
    paths = sorted(root.glob(f"runs/*/*/*/{RECORD}"))
    old = {path: path.read_bytes() for path in paths}
    new = {path: migrate_record(content, str(path), steps) for path, content in old.items()}
    changed = [path for path in paths if new[path] != old[path]]
    for path in changed:
        write_atomically(path, new[path])
    return len(changed), len(paths)
