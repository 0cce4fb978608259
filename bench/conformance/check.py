"""What a check is, and how it ends."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import ClassVar

from bench.conformance.subject import Subject


class CheckFailed(Exception):
    """A detector does not keep the contract; the text says what was seen."""


class NotApplicable(Exception):
    """A check has nothing to look at in this detector; the text says why."""


class Check(ABC):
    """One rule of the contract.

    The docstring of a check is written for the author of a detector that fails it: the first paragraph is the failure
    message, the rest says how to mend it.
    """

    name: ClassVar[str]

    @abstractmethod
    def run(self, subject: Subject) -> None:
        """Look at a detector.

        Raises:
            CheckFailed: it breaks the rule.
            NotApplicable: the rule does not concern it.

        """

    @classmethod
    def message(cls) -> str:
        """Return the failure message: the docstring's first paragraph, on one line."""
        return " ".join(cls.explanation().split("\n\n")[0].split())

    @classmethod
    def explanation(cls) -> str:
        """Return the whole docstring."""
        return inspect.getdoc(cls) or ""


def require(holds: object, seen: str) -> None:
    """Fail a check unless something holds; ``seen`` says what was found instead."""
    if not holds:
        raise CheckFailed(seen)
