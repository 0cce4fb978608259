"""The record: what one cell leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import NewerRecordError, RecordError

SCHEMA: Literal[1] = 1
Status = Literal["ok", "failed", "skipped", "timeout", "oom", "interrupted"]
STATE: Literal["state.safetensors"] = "state.safetensors"
EDITED = "edited while it ran"
"""Stands for the digest of a source that changed under a cell: such a record is neither reused nor published."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class TaskPart(_Part):
    """Which images: a task, and the edition of it that was found."""

    name: str
    version: str
    edition: str
    manifest_sha256: str
    grouping: str
    synthetic: bool
    protocol: str = ""
    private: bool = False
    counts: dict[str, dict[str, int]]


class DetectorPart(_Part):
    """Which detector, in which configuration, from which code.

    ``stochastic`` is false where the seed cannot change a score: the one seed then stands for all. ``citation`` is
    empty in records that were made before it was kept.
    """

    name: str
    version: str
    variant: str
    config: dict[str, Any]
    fields_set: list[str]
    distribution: str
    distribution_version: str
    source_digest: str
    pretrained: list[dict[str, str | None]]
    stochastic: bool = True
    citation: str = ""

    @field_validator("pretrained")
    @classmethod
    def _named(cls, value: list[dict[str, str | None]]) -> list[dict[str, str | None]]:
        if not all(weights.get("name") for weights in value):
            raise ValueError("pretrained weights without a name")
        return value

    @property
    def row(self) -> str:
        """``salad``, or ``salad@no-ssim`` where the variant is not the default."""
        return self.name if self.variant == "default" else f"{self.name}@{self.variant}"

    @property
    def smoke(self) -> bool:
        """Whether it only shows that things run, which is never published."""
        return self.variant.partition("+")[0] == "smoke"


class MetricPart(_Part):
    """A metric with its 95 % interval and the method of it."""

    value: float
    low: float
    high: float
    method: str


class FilePart(_Part):
    """A file beside record.json."""

    path: str
    sha256: str


class StatePart(_Part):
    """What was learned, in a file beside record.json, and what the same scores depend on besides.

    The file is large: it is not among ``files``, and a published record stands without it.

    Attributes:
        path: always state.safetensors.
        sha256: of that file.
        api: version of the detector contract.
        decoder: version of the decoding of images.
        own_decoder: whether the task has a decoder of its own.
        threads: how many the detector was given; sums of many numbers may be rounded otherwise with more or fewer.
        map_range: where heat maps begin to show a colour, and where it is full: the median pixel of the held-out
            normals' anomaly maps, and the value that 95 % of these maps nowhere exceed. None without such maps.

    """

    path: Literal["state.safetensors"] = STATE
    sha256: str
    api: int
    decoder: str
    own_decoder: bool
    threads: int
    map_range: tuple[float, float] | None = None


class CostPart(_Part):
    """What it took; measured, not re-derivable. Seconds, bytes."""

    fit_seconds: float | None = None
    score_seconds: float | None = None
    images_per_second: float | None = None
    peak_rss_bytes: int | None = None
    device: str | None = None
    precision: str | None = None


class EnvironmentPart(_Part):
    """Where it ran, without naming the host, the user or a path. ``sandbox``: detector code ran in it alone."""

    python: str
    platform: str
    processor: str
    packages: dict[str, str]
    git_commit: str | None
    dirty: bool | None
    sandbox: bool = False


class Record(_Part):
    """record.json. ``metrics`` and ``files`` are empty unless ``status`` is ok; ``state`` is there if it was kept."""

    schema_: Literal[1] = Field(SCHEMA, alias="schema")
    cell: str
    status: Status
    reason: str
    log_tail: str
    task: TaskPart
    detector: DetectorPart
    seed: int
    metrics: dict[str, MetricPart]
    files: list[FilePart]
    state: StatePart | None = None
    cost: CostPart
    environment: EnvironmentPart

    def to_json(self) -> bytes:
        """Serialise as record.json holds it."""
        absent = {"state"} if self.state is None else None
        return (self.model_dump_json(by_alias=True, indent=1, exclude=absent) + "\n").encode()


def read_record(path: Path) -> Record:
    """Read a record.json.

    Raises:
        NewerRecordError: it was written by a newer bench.
        RecordError: it cannot be read, is damaged, or has an older schema.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    return parse_record(content, str(path))


def parse_record(content: bytes, what: str) -> Record:
    """Read the content of a record.json; ``what`` names it in messages.

    Raises:
        NewerRecordError: it was written by a newer bench.
        RecordError: it is damaged, or has an older schema.

    """
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        schema = schema_of(content)
        if schema is not None and schema > SCHEMA:
            text = f"{what} has schema {schema}; this bench reads {SCHEMA}: install a newer bench"
            raise NewerRecordError(text) from error
        if schema is not None and schema < SCHEMA:
            text = f"{what} has schema {schema}; this bench reads {SCHEMA}: bring it up to date with bench leaderboard"
            raise RecordError(f"{text} migrate") from error
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise RecordError(f"{what} is damaged: {where}: {first['msg']}") from error


def schema_of(content: bytes) -> int | None:
    """The schema that a record says it has; None if it does not say."""
    try:
        schema = json.loads(content)["schema"]
    except (ValueError, KeyError, TypeError, RecursionError):  # the last: brackets within brackets, ten thousand deep
        return None
    return schema if isinstance(schema, int) and not isinstance(schema, bool) else None
