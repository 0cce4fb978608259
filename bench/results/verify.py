"""Whether records say what their files say: hashes, images against the manifest, every metric computed again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.contracts import MetricSpec
from bench.data.manifest import count_roles, manifest_sha256
from bench.errors import RecordError
from bench.files import file_sha256
from bench.metrics import Sample, auroc_over_seeds
from bench.metrics.image import CLOSED_FORM
from bench.metrics.intervals import RESAMPLES
from bench.results.attestations import attestation_problems
from bench.results.checksums import check_listed
from bench.results.pixels import PIXELS, open_pixels, with_lesions
from bench.results.record import STATE, MetricPart, Record, TaskPart, read_record
from bench.results.scores import Scores, check_table, read_table, sample_of, split_columns
from bench.results.store import RECORD, SCORES
from bench.run.evaluate import evaluate, evaluate_plugins, points

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verified:
    """A cell as it was found, and what is wrong with it."""

    folder: Path
    record: Record | None
    files: dict[str, bytes]
    manifest: bytes
    problems: tuple[str, ...]


class Verifier:
    """Verifies cells, reading each manifest once."""

    def __init__(self, metrics: Sequence[MetricSpec] = (), deep: bool = False) -> None:
        """Say how.

        Args:
            metrics: third-party metrics that are installed.
            deep: compute the bootstrap intervals again too.

        """
        self.metrics, self.deep = metrics, deep
        self._manifests: dict[Path, _Listed] = {}

    def verify(self, folder: Path) -> Verified:
        """Verify ``…/runs/<task>/<detector>/<cell>``; whatever is wrong becomes a problem, never an exception."""
        folder = folder.resolve()
        try:
            record = read_record(folder / RECORD)
        except RecordError as error:
            return Verified(folder, None, {}, b"", (str(error),))
        names = (record.task.name, record.detector.name, record.cell)
        if (folder.parents[1].name, folder.parent.name, folder.name) != names:
            text = f"the record is of {'/'.join(names)}, and lies in a folder of another name"
            return Verified(folder, record, {}, b"", (text,))
        try:
            listed = self._manifest(folder, record)
            if record.status != "ok":
                return Verified(folder, record, {}, listed.content, tuple(listed.problems(record.task)))
            files, problems = _files(folder, record)
            if not problems:
                problems = self._content(folder, record, files, listed)
        except (RecordError, ValueError) as error:  # a ValueError: scores that no metric can be computed from
            return Verified(folder, record, {}, b"", (str(error),))
        return Verified(folder, record, files, listed.content, tuple(problems))

    def check(self, record: Record, files: dict[str, bytes], manifest: bytes) -> list[str]:
        """Verify a finished cell that lies in no folder, against a manifest of the reader's own choice.

        Args:
            record: the record; hashes of its files are not looked at.
            files: what belongs beside it, scores.parquet at least.
            manifest: the file that says which images there are, and their labels.

        Returns:
            every problem.

        """
        try:
            listed = _Listed(manifest, read_table(manifest, f"the manifest of {record.task.name}"))
            return self._content(Path(record.cell), record, files, listed)
        except (RecordError, ValueError) as error:
            return [str(error)]

    def _manifest(self, folder: Path, record: Record) -> _Listed:
        path = folder.parents[3] / "manifests" / record.task.name / f"{record.task.manifest_sha256}.parquet"
        if path not in self._manifests:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise RecordError(f"cannot read the manifest of {folder.name}: {path}: {error.strerror}") from error
            self._manifests[path] = _Listed(content, read_table(content, f"the manifest of {folder}"))
        return self._manifests[path]

    def _content(self, folder: Path, record: Record, files: dict[str, bytes], listed: _Listed) -> list[str]:
        table = read_table(files[SCORES], str(folder / SCORES))
        columns = check_table(table)
        if problems := listed.problems(record.task) or listed.against(columns):
            return problems
        cell = split_columns(columns)
        if PIXELS in files and (unknown := sorted(_lesions(files[PIXELS], cell) - listed.masked)):
            return [f"{PIXELS} has lesions in {len(unknown)} image(s) that have no mask in the manifest ({unknown[0]})"]
        found = points(cell, files.get(PIXELS))
        problems = self._built_in(record, cell, found)
        if self.deep and not problems:
            inner, outer = (evaluate(cell, files.get(PIXELS), level) for level in _levels(RESAMPLES))
            problems += [text for name in inner for text in _between(name, record.metrics[name], inner, outer)]
        return problems + self._others(record, sample_of([cell]), found.keys())

    def _built_in(self, record: Record, cell: Scores, found: Mapping[str, float]) -> list[str]:
        """Values and closed-form intervals, exactly."""
        lacking = [name for name in found if name not in record.metrics]
        problems = [f"metrics are missing ({', '.join(lacking)}): run bench score --write"] if lacking else []
        problems += [
            text
            for name, value in found.items()
            if name in record.metrics and (text := _value(name, record.metrics[name], value))
        ]
        for name in CLOSED_FORM:
            if name in record.metrics:
                problems += _ends(
                    name, record.metrics[name], MetricPart(**auroc_over_seeds(sample_of([cell]))._asdict())
                )
        return problems

    def _others(self, record: Record, sample: Sample, own: Collection[str]) -> list[str]:
        """Metrics of plugins: their values, and with ``deep`` their intervals."""
        names = {spec.name for spec in self.metrics}
        problems = [
            f"metric '{name}' cannot be recomputed: install the plugin that offers it"
            for name in record.metrics
            if name not in own and name not in names
        ]
        for spec in self.metrics:
            if (stated := record.metrics.get(spec.name)) is None:
                continue
            try:
                value = float(spec.compute(sample.labels, sample.scores[0], sample.tune[0]))
            except (Exception, SystemExit) as error:
                problems.append(f"metric '{spec.name}' failed: {type(error).__name__}: {error}")
                continue
            if text := _value(spec.name, stated, value):
                problems.append(text)
            elif self.deep:
                inner, outer = (evaluate_plugins(sample, [spec], level)[0] for level in _levels(spec.resamples))
                problems += _between(spec.name, stated, inner, outer) if inner else []
        return problems


def _lesions(content: bytes, cell: Scores) -> set[str]:
    """Ids of the images that a pixels.npz has lesions of."""
    return set(with_lesions(open_pixels(content, cell.ids, cell.labels, len(cell.tune))))


@dataclass(frozen=True)
class _Listed:
    """A manifest, prepared once for all cells that were made with it."""

    content: bytes
    table: pd.DataFrame
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    """Hash of the manifest under a task's name and version; filled by :meth:`problems`."""

    @cached_property
    def rows(self) -> list[tuple[str, str | None, str, int, str, str | None]]:
        """Id, patient, role, label, category and mask of each image."""
        columns = ["id", "patient", "role", "label", "category", "mask"]
        if missing := [name for name in columns if name not in self.table.columns]:
            raise RecordError(f"the manifest has no column {', '.join(missing)}")
        plain = self.table[columns].astype(object)
        return list(plain.where(plain.notna(), None).itertuples(index=False, name=None))

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images by role and label."""
        return count_roles((role, label) for _, _, role, label, _, _ in self.rows)

    @cached_property
    def masked(self) -> set[str]:
        """Ids of the images that have a mask of their lesions."""
        return {image for image, *_, mask in self.rows if mask is not None}

    @cached_property
    def wanted(self) -> dict[str, tuple[str, str, int, str]]:
        """What the scores must say of each tune and test image: role, category, label and patient."""
        return {
            image: (role, category, label, patient or "")
            for image, patient, role, label, category, _ in self.rows
            if role in ("tune", "test")
        }

    def problems(self, task: TaskPart) -> list[str]:
        """The manifest must have the hash that stands for it, and the counts that the record states."""
        key = (task.name, task.version)
        if key not in self.digests:
            self.digests[key] = manifest_sha256(*key, self.rows)
        found = []
        if self.digests[key] != task.manifest_sha256:
            found.append("the manifest is not the one that the record was made with (its hash differs)")
        if self.counts != task.counts:
            found.append("the record's counts of images are not those of its manifest")
        return found

    def against(self, columns: Mapping[str, NDArray[Any]]) -> list[str]:
        """Every tune and test image scored once, under the label that the manifest gives it."""
        told = (columns[name].tolist() for name in ("role", "category", "label"))
        patients = ["" if name is None else name for name in columns["patient"].tolist()]
        given = dict(zip(columns["image_id"].tolist(), zip(*told, patients, strict=True), strict=True))
        if given == self.wanted:
            return []
        extra, missing = sorted(given.keys() - self.wanted), sorted(self.wanted.keys() - given)
        if extra or missing:
            few = ", ".join([*(f"+{name}" for name in extra[:3]), *(f"-{name}" for name in missing[:3])])
            return [f"{SCORES} has {len(extra)} images that the manifest lacks, and lacks {len(missing)}: {few}"]
        names = ("role", "category", "label", "patient")
        wrong = {
            c for name, own in given.items() for c, a, b in zip(names, own, self.wanted[name], strict=True) if a != b
        }
        return [f"{SCORES} and the manifest disagree on '{column}'" for column in sorted(wrong)]


def verify_results(root: Path, metrics: Sequence[MetricSpec] = (), deep: bool = False) -> tuple[int, list[str]]:
    """Verify every record below a folder of results, and its lists of checksums and attestations where there are any.

    Returns:
        how many records there are, and every problem with the place that it is at.

    """
    verifier = Verifier(metrics, deep)
    folders = sorted(path.parent for path in root.glob(f"runs/*/*/*/{RECORD}"))
    problems = check_listed(root) + attestation_problems(root, {folder.name for folder in folders})
    for folder in folders:
        found = verifier.verify(folder)
        place = folder.relative_to(root)
        problems += [f"{place}: {problem}" for problem in found.problems]
    return len(folders), problems


def _files(folder: Path, record: Record) -> tuple[dict[str, bytes], list[str]]:
    problems, files = [], {}
    for file in record.files:
        if Path(file.path).name != file.path or file.path in ("..", RECORD):
            raise RecordError(f"the record names a file outside its folder, or itself: {file.path}")
        there = (folder / file.path).is_file()
        content = (folder / file.path).read_bytes() if there else b""
        if not there or sha256(content).hexdigest() != file.sha256:
            problems.append(f"{file.path} is missing or is not the file that the record was made with")
        files[file.path] = content
    if SCORES not in files:
        problems.append(f"the record lists no {SCORES}")
    return files, problems + _state(folder, record)


def _state(folder: Path, record: Record) -> list[str]:
    """The learned state may be absent, since it is large; what is there must be that of the record."""
    path = folder / STATE
    if not path.is_file():
        return []
    if record.state is None:
        return [f"{STATE} lies beside a record that tells of none"]
    try:
        same = file_sha256(path) == record.state.sha256
    except OSError as error:
        return [f"{STATE} cannot be read: {error.strerror}"]
    return [] if same else [f"{STATE} is not the file that the record was made with"]


def _value(name: str, stated: MetricPart, value: float) -> str:
    if abs(stated.value - value) <= TOLERANCE and stated.low - TOLERANCE <= value <= stated.high + TOLERANCE:
        return ""
    return (
        f"{name}.value is {stated.value!r} [{stated.low!r}, {stated.high!r}] in the record, {value!r} from its scores"
    )


def _ends(name: str, stated: MetricPart, now: MetricPart) -> list[str]:
    problems = [
        f"{name}.{end} is {getattr(stated, end)!r} in the record, {getattr(now, end)!r} from its scores"
        for end in ("low", "high")
        if not np.isclose(getattr(stated, end), getattr(now, end), rtol=0, atol=TOLERANCE)
    ]
    if stated.method != now.method:
        problems.append(_method(name, stated, now))
    return problems


def _method(name: str, stated: MetricPart, now: MetricPart) -> str:
    return f"{name}.method is {stated.method!r} in the record, {now.method!r} now"


def _levels(resamples: int) -> tuple[float, float]:
    """Levels between whose intervals the ends of a 95 % bootstrap interval lie, whatever was drawn.

    Four standard errors of the difference of two shares of so many resamples below the same end.
    """
    tail = 0.025
    slack = 4 * math.sqrt(2 * tail * (1 - tail) / resamples)
    return 1 - 2 * (tail + slack), 1 - 2 * max(tail - slack, 1 / resamples)


def _between(
    name: str, stated: MetricPart, inner: Mapping[str, MetricPart], outer: Mapping[str, MetricPart]
) -> list[str]:
    least, most = inner[name], outer[name]
    limits = {"low": (most.low, least.low), "high": (least.high, most.high)}
    problems = [] if stated.method == least.method else [_method(name, stated, least)]
    return problems + [
        f"{name}.{end} is {getattr(stated, end)!r} in the record, between {below!r} and {above!r} from its scores"
        for end, (below, above) in limits.items()
        if not below - TOLERANCE <= getattr(stated, end) <= above + TOLERANCE
    ]
