"""What was computed once is kept by the hash of all that it was computed from, so that a second build is quick."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bench.site.facts import Fact

F = TypeVar("F", bound=Fact)
SOURCES = ("site", "report", "metrics", "results")


@dataclass(frozen=True)
class Kept:
    """Facts as JSON in a folder that may be deleted at any time; ``folder`` None keeps nothing."""

    folder: Path | None

    def get(self, kind: type[F], inputs: Iterable[str], compute: Callable[[], F]) -> F:
        """Return the fact of these inputs, computed only if it is not kept.

        Args:
            kind: of fact.
            inputs: hashes of all that it depends on but the source of bench.
            compute: how it is made; its errors are raised, and nothing is kept then.

        """
        if self.folder is None:
            return compute()
        key = sha256("\n".join((kind.__name__, source_digest(), *inputs)).encode()).hexdigest()
        path = self.folder / key[:2] / f"{key}.json"
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):  # not there, or damaged: it is only a copy
            fact = compute()
        with suppress(OSError):  # the site does not depend on it
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f"{path.name}.{os.getpid()}")
            new.write_text(fact.model_dump_json())  # not flushed to disk: one that is damaged is made again
            new.replace(path)
        return fact


@cache
def source_digest() -> str:
    """Hash of the source that facts depend on: an edit computes them anew."""
    root = Path(__file__).parents[1]
    paths = sorted(path for name in SOURCES for kind in ("*.py", "*.j2") for path in (root / name).rglob(kind))
    return sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
