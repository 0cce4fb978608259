"""What the pool is asked for, and what it tells as events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bench.run.maps import Truth


@dataclass(frozen=True)
class Request:
    """One job to run; ``key`` comes back with every event about it.

    ``truth`` and ``tune``, the rows of held-out normals among the images, never reach its process. ``unfinished``,
    called when it starts, is the folder that its checkpoint is kept in, for a later try; None: nowhere.
    """

    key: str
    plugin: tuple[str, str]
    detector: str
    config: dict[str, Any]
    seed: int
    device: str
    fit: Path
    evaluate: Path
    images: int
    side: int
    truth: Truth | None = None
    keep_state: bool = False
    tune: tuple[int, ...] = ()
    unfinished: Callable[[], Path | None] = lambda: None

    @property
    def maps(self) -> bool:
        """Whether anomaly maps are asked for: to be compared with masks, or to fix the colours of later ones."""
        return self.truth is not None or bool(self.tune)


@dataclass(frozen=True)
class Started:
    """A job's process is about to start."""

    key: str


@dataclass(frozen=True)
class Progress:
    """A job has come further."""

    key: str
    phase: str
    done: int
    total: int
    scalars: dict[str, float]


@dataclass(frozen=True)
class CheckpointLost:
    """A job's checkpoint could not be kept; it goes on without, and this is said once."""

    key: str
    reason: str


@dataclass(frozen=True)
class Kept:
    """What was learned, in a file that is gone once the next event is asked for; see ``StatePart`` of a record."""

    path: Path
    threads: int
    map_range: tuple[float, float] | None


@dataclass(frozen=True)
class Outcome:
    """A job has ended. ``scores``, ``pixels`` (of pixels.npz, if masks are known) and ``kept`` are None unless ok.

    ``resumable``: it was ended from outside, so trying again from its checkpoint need not end the same way.
    """

    key: str
    status: Literal["ok", "failed", "timeout", "oom", "interrupted"]
    reason: str
    scores: NDArray[np.float64] | None = None
    fit_seconds: float | None = None
    score_seconds: float | None = None
    peak_rss_bytes: int | None = None
    device: str | None = None
    precision: str | None = None
    log_tail: str = ""
    pixels: bytes | None = None
    kept: Kept | None = None
    resumable: bool = False
