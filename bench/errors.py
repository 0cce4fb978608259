"""Every error that bench raises on purpose, each with the exit code that the command line gives it.

::

    BenchError                      1
    ├── UsageError                  2   the command or configuration asked for something that does not exist
    │   └── UnknownNameError        2   …and here are the nearest names
    ├── EnvironmentProblem          3   what is asked for is fine, but this machine cannot do it
    │   ├── DataMissingError        3   a task's images are not where they were looked for
    │   ├── DataChangedError        3   a task's images are no longer those that were indexed
    │   ├── BadImagesError          3   images that cannot be read, all of them named
    │   ├── BadTaskError            3   a task whose manifest cannot be benchmarked (an empty role, a class missing)
    │   ├── DownloadError           3   a file that could not be fetched, or is not the one that was published
    │   ├── PluginProblem           3   a plugin that cannot be used
    │   └── StorageError            3   the disk is full, read-only or not a folder
    ├── DetectorError               1   a detector broke its contract (it ends one cell, never a run)
    │   ├── NotFittedError          1   scoring was asked for before fit or load_state
    │   ├── BadScoresError          1   scores that are not finite, or not one per image
    │   ├── BadMapsError            1   maps that are not finite float32 of the images' size, or not one per image
    │   └── BadStateError           1   learned state that is not named numpy arrays of numbers
    └── RecordError                 1   a record that is damaged, or does not match its files
        ├── NewerRecordError        1   a record that a newer bench wrote, and that this one must not touch
        └── SubmissionError         1   a submission that is refused, with all reasons
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BenchError(Exception):
    """Root of the tree; its text names the thing that is wrong and the fix."""

    exit_code = 1


class UsageError(BenchError):
    """The command or configuration asked for something that does not exist."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing offers, with the nearest names that something does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} '{name}': {hint}")
        self.name = name
        self.nearest = near


class EnvironmentProblem(BenchError):
    """What is asked for is fine, but this machine cannot do it as it stands."""

    exit_code = 3


class DataMissingError(EnvironmentProblem):
    """A task's images are not where they were looked for."""


class DataChangedError(EnvironmentProblem):
    """A task's images are no longer those that were indexed before."""


class BadImagesError(EnvironmentProblem):
    """Images that cannot be read; the text names all of them, and ``bad`` is what was found: ``PATH: reason``."""

    def __init__(self, bad: Iterable[str]) -> None:
        self.bad = tuple(sorted(bad))
        lines = "\n  ".join(self.bad)
        super().__init__(f"{len(self.bad)} image(s) cannot be read:\n  {lines}\nDownload them again, or remove them.")


class BadTaskError(EnvironmentProblem):
    """A manifest that cannot be benchmarked: an empty role, a class missing from test."""


class DownloadError(EnvironmentProblem):
    """A file that could not be fetched, or is not the one that was published."""


class PluginProblem(EnvironmentProblem):
    """A plugin that cannot be used, or two that offer one name."""


class StorageError(EnvironmentProblem):
    """The disk is full, read-only, or the path is not a folder."""


class DetectorError(BenchError):
    """A detector broke its contract. It ends one cell, never a run."""


class NotFittedError(DetectorError):
    """Scoring was asked for before ``fit`` or ``load_state``."""


class BadScoresError(DetectorError):
    """Scores that are not finite, or not one per image."""


class BadMapsError(DetectorError):
    """Maps that are not finite, not float32 of the images' size, or not one per image."""


class BadStateError(DetectorError):
    """Learned state that is not named numpy arrays of numbers."""


class RecordError(BenchError):
    """A record that is damaged, or does not match its files."""


class NewerRecordError(RecordError):
    """A record that a newer bench wrote, and that this one must not touch."""


class SubmissionError(RecordError):
    """A submission that is refused; ``reasons`` has all of them, in plain ASCII."""

    def __init__(self, what: str, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        lines = "\n  ".join(self.reasons)
        super().__init__(f"{what} is refused, for {len(self.reasons)} reason(s):\n  {lines}")
