"""What comes back from a worker: events and scores. All of it is checked, for a detector may have written it."""

from __future__ import annotations

import io
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from bench.errors import BadScoresError
from bench.run.worker import REASON_LIMIT

LINE_LIMIT = 1 << 16
"""Bytes of a line that may wait for its end; what is longer is no event of ours."""


def printable(text: str) -> str:
    """Replace what could steer a terminal; line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _plain(text: str) -> str:
    """As printable, and without brackets, which the progress display would read as markup."""
    return re.sub(r"\s", " ", printable(text)).replace("[", "(").replace("]", ")")


Label = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
Line = Annotated[str, Field(max_length=REASON_LIMIT), AfterValidator(printable)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Event(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ProgressEvent(_Event):
    """``done`` of ``total`` steps of a phase; ``total`` is 0 where it is not known."""

    event: Literal["progress"]
    phase: Label
    done: Count
    total: Count
    scalars: Annotated[dict[Label, float], Field(max_length=50)]


class DeviceEvent(_Event):
    """What the detector computes on."""

    event: Literal["device"]
    device: Label
    precision: Literal["float32", "bfloat16"]


class ScoredEvent(_Event):
    """The scores are written."""

    event: Literal["scored"]
    fit_seconds: Seconds
    score_seconds: Seconds


class ErrorEvent(_Event):
    """The detector failed; ``reason`` is one line."""

    event: Literal["error"]
    status: Literal["failed", "oom"]
    reason: Line


class ExitEvent(_Event):
    """The worker has ended: its exit code (negative: the signal), and its peak memory in bytes."""

    event: Literal["exit"]
    code: Annotated[int, Field(ge=-255, le=255)]
    peak_rss_bytes: Count


WorkerEvent = ProgressEvent | DeviceEvent | ScoredEvent | ErrorEvent | ExitEvent
_EVENTS: TypeAdapter[WorkerEvent] = TypeAdapter(Annotated[WorkerEvent, Field(discriminator="event")])


def parse_event(line: bytes) -> WorkerEvent | None:
    """Read one line; None if it is not exactly one of the events, whatever else it may be."""
    try:
        return _EVENTS.validate_json(line)
    except ValueError:
        return None


def read_scores(path: Path, images: int) -> NDArray[np.float64]:
    """Read what ``np.save`` has written for ``images`` float64 scores. Nothing else is accepted, nor parsed.

    Raises:
        OSError: no such file, or a symbolic link.
        BadScoresError: no regular file, or not exactly the bytes of such an array.

    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (images,)})
    expected = header.getvalue()
    size = len(expected) + 8 * images
    # A pipe must not block, and a link must not lead elsewhere.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            raise BadScoresError(f"{path.name} is not a file of {images} float64 scores")
        content = file.read(size)
    if len(content) != size or not content.startswith(expected):
        raise BadScoresError(f"{path.name} is not an array of {images} float64 scores")
    return np.frombuffer(content, "<f8", offset=len(expected))
