"""Whether a submission can be added: every reason against it at once, and its records with metrics of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from bench.errors import RecordError
from bench.results.archive import plain
from bench.results.duplicates import likeness_problems, seed_problems
from bench.results.foreign import pixels_anew, scores_anew
from bench.results.known import Known
from bench.results.pixels import PIXELS
from bench.results.record import Record, TaskPart, parse_record
from bench.results.rules import record_problems
from bench.results.scores import Scores, read_table, split_scores
from bench.results.store import RECORD, SCORES
from bench.results.verify import Verifier
from bench.run.evaluate import evaluate


@dataclass(frozen=True)
class Candidate:
    """A cell of a submission.

    Attributes:
        record: the record; once it is checked, with metrics that were computed here.
        files: what belongs beside it; once checked, written anew.
        scores: None where the cell failed.

    """

    record: Record
    files: dict[str, bytes]
    scores: Scores | None = None


@dataclass(frozen=True)
class Checked:
    """What was found of a submission: it can be added if there is no reason against it."""

    cells: tuple[Candidate, ...]
    reasons: tuple[str, ...]


def check_submission(members: Mapping[str, bytes], known: Known) -> Checked:
    """Check the files of a submission; nothing of it is believed that can be computed, and nothing is executed.

    Args:
        members: what :func:`bench.results.archive.unpack_file` returns.
        known: the maintainers' side. Labels, roles, ids and patients come from its manifests.

    """
    folders: dict[str, dict[str, bytes]] = {}
    for name, content in members.items():
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, {})[file] = content
    verifier = Verifier(deep=True)
    cells, reasons = [], []
    for folder, files in sorted(folders.items()):
        cell, problems = _check_cell(folder, files, known, verifier)
        reasons += [f"{folder}: {problem}" for problem in problems]
        cells += [cell] if cell else []
    records, standing = [cell.record for cell in cells], [record for _, record in known.records]
    reasons += seed_problems(records, standing)
    scored = [(cell.record, cell.scores) for cell in cells if cell.scores is not None]
    reasons += likeness_problems(scored, known.scored(record.task.manifest_sha256 for record, _ in scored))
    return Checked(tuple(cells), tuple(plain(reason) for reason in reasons))


def _check_cell(
    folder: str, files: dict[str, bytes], known: Known, verifier: Verifier
) -> tuple[Candidate | None, list[str]]:
    """Check a cell by itself; what can be read of it is returned for the checks between cells."""
    if RECORD not in files:
        return None, [f"it has no {RECORD}"]
    try:
        record = parse_record(files[RECORD], RECORD)
    except RecordError as error:
        return None, [str(error)]
    named = f"runs/{record.task.name}/{record.detector.name}/{record.cell}"
    problems = [f"the record is of {named}"] if named != folder else []
    beside = {name: content for name, content in files.items() if name != RECORD}
    files_problems, own = _file_problems(record, beside), known.tasks.get(record.task.manifest_sha256)
    problems += record_problems(record) + files_problems + _task_problems(record.task, own)
    cell = Candidate(record, beside)
    if record.status == "ok" and own is not None and not files_problems:  # whatever else is wrong: all reasons at once
        cell, content_problems = _check_content(record, beside, own, known, verifier)
        problems += content_problems
    return cell, problems


def _check_content(
    record: Record, files: dict[str, bytes], own: TaskPart, known: Known, verifier: Verifier
) -> tuple[Candidate, list[str]]:
    """Hold files and metrics against the manifest that is known here, and take over what is computed here."""
    try:
        cell = _anew(record, files, own)
        if problems := verifier.check(record.model_copy(update={"task": own}), cell.files, known.manifest(own)):
            return cell, problems
        assert cell.scores is not None
        metrics = evaluate(cell.scores, cell.files.get(PIXELS))
    except (RecordError, ValueError) as error:
        return Candidate(record, files), [str(error)]
    return Candidate(record.model_copy(update={"metrics": metrics}), cell.files, cell.scores), []


def _file_problems(record: Record, beside: Mapping[str, bytes]) -> list[str]:
    """Just the files that the record lists, each with the hash that it states."""
    listed = {file.path: file.sha256 for file in record.files}
    problems = []
    if record.status == "ok" and (not {SCORES} <= set(listed) <= {SCORES, PIXELS} or len(listed) != len(record.files)):
        named = ", ".join(sorted(listed)) or "no file"
        problems.append(f"the record lists {named}; it must list {SCORES}, and {PIXELS} where it has maps")
    if record.status != "ok" and (record.files or record.metrics or record.state):
        problems.append("it did not finish, and has files or metrics")
    problems += [f"{name} is not listed by the record" for name in sorted(beside.keys() - listed)]
    problems += [f"{name} is listed by the record, and missing" for name in sorted(listed.keys() - beside)]
    return problems + [
        f"{name} is not the file that the record was made with (its sha256 differs)"
        for name in sorted(beside.keys() & listed)
        if sha256(beside[name]).hexdigest() != listed[name]
    ]


def _task_problems(task: TaskPart, own: TaskPart | None) -> list[str]:
    """The task must be one that is known here (``own``), and be described as it is here."""
    if own is None:
        return [
            f"no manifest of '{task.name}' version {task.version} with hash {task.manifest_sha256[:16]} is known here, "
            "so nothing says what its labels are: a maintainer who has the images adds it with "
            f"bench run --detectors random --tasks {task.name} --data DIR and bench publish"
        ]
    wrong = [name for name, value in own if getattr(task, name) != value]
    return [f"task.{name} is {getattr(task, name)!r}; it is {getattr(own, name)!r} here" for name in wrong]


def _anew(record: Record, files: Mapping[str, bytes], own: TaskPart) -> Candidate:
    """Write the files anew from their values.

    Raises:
        RecordError: they are damaged, too large, or not as many images as the task has.

    """
    images = sum(sum(own.counts.get(role, {}).values()) for role in ("tune", "test"))
    found = {SCORES: scores_anew(files[SCORES], images)}
    scores = split_scores(read_table(found[SCORES], SCORES))
    if PIXELS in files:
        found[PIXELS] = pixels_anew(files[PIXELS], scores)
    return Candidate(record, found, scores)
