"""From a folder of results to the cells in it; what cannot be read becomes a problem, and the rest goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bench.errors import RecordError
from bench.results.attestations import BADGES, NAME, Attestation, read_attestations
from bench.results.record import Record, TaskPart, read_record
from bench.results.scores import read_table
from bench.results.store import RECORD
from bench.site.facts import Audit, Estimate, Problem

PRIVATE = re.compile(rb'"private"\s*:\s*true')
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Found:
    """A record, the folder that it lies in, and the sha256 of its record.json."""

    folder: Path
    record: Record
    digest: str


@dataclass(frozen=True)
class Unread:
    """A record that cannot be read, of a task and a detector as their folders are called."""

    task: str
    detector: str


def read_cells(
    folders: Iterable[Path], root: Path, own: bool = False
) -> tuple[list[Found], list[Unread], list[Problem]]:
    """Read records and check the files that they list, one by one.

    Args:
        folders: of cells, in order.
        root: folder of results, for the names of what is wrong.
        own: with private tasks and smoke tests, for the eyes of who ran them.

    Returns:
        the cells that can be shown, those that cannot be read, and all that is wrong.

    """
    cells: list[Found] = []
    unread: list[Unread] = []
    problems: list[Problem] = []
    for folder in folders:
        try:
            content = (folder / RECORD).read_bytes()
            record = read_record(folder / RECORD)
        except (OSError, RecordError) as error:
            if own or not _is_private(folder / RECORD):
                problems.append(problem(folder / RECORD, error, root))
                unread.append(Unread(folder.parents[1].name, folder.parent.name))
            continue
        if not own and (record.task.private or record.detector.smoke):
            continue
        if found := list(_files(folder, record, root)):
            problems += found
            unread.append(Unread(folder.parents[1].name, folder.parent.name))
        else:
            cells.append(Found(folder, record, sha256(content).hexdigest()))
    return cells, unread, problems


def cell_folders(results: Path) -> list[Path]:
    """All folders of cells, in order."""
    return sorted(path.parent for path in results.glob(f"runs/*/*/*/{RECORD}"))


def problem(path: Path, error: Exception | str, root: Path) -> Problem:
    """Say what is wrong with a file, without the folders above the results."""
    where = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return Problem(where=where, what=str(error).replace(f"{root}/", ""))


def _is_private(path: Path) -> bool:
    """Whether even what cannot be read says that it is private: then not even its name is shown."""
    try:
        return PRIVATE.search(path.read_bytes()) is not None
    except OSError:
        return False


def _files(folder: Path, record: Record, root: Path) -> Iterator[Problem]:
    for file in record.files:
        if Path(file.path).name != file.path:
            yield problem(folder / RECORD, f"it lists a file of another folder: {file.path[:80]!r}", root)
            continue
        try:
            if sha256((folder / file.path).read_bytes()).hexdigest() != file.sha256:
                yield problem(folder / file.path, "it is not the file that its record was made with", root)
        except (OSError, ValueError) as error:
            yield problem(folder / file.path, f"it cannot be read: {error}", root)


def read_badges(root: Path) -> tuple[dict[str, Attestation], list[Problem]]:
    """The most that maintainers say of each cell; empty where nothing is said."""
    try:
        said = read_attestations(root)
    except RecordError as error:
        return {}, [problem(root / NAME, error, root)]
    return {one.cell: one for one in sorted(said, key=lambda one: BADGES.index(one.badge))}, []


def read_test_images(root: Path, folder: str, task: TaskPart) -> dict[str, int]:
    """Labels of the test images by id, as the manifest has them.

    Args:
        root: folder of results.
        folder: of the task, as it is called there; what a record calls it may be anything.
        task: as recorded.

    Raises:
        RecordError: there is no such manifest, or it is damaged.

    """
    if not HASH.fullmatch(task.manifest_sha256):
        raise RecordError("the record names no manifest")
    path = root / "manifests" / folder / f"{task.manifest_sha256}.parquet"
    try:
        table = read_table(path.read_bytes(), path.name)
        test = table[table["role"] == "test"]
        return {str(one): int(label) for one, label in zip(test["id"], test["label"], strict=True)}
    except OSError as error:
        raise RecordError(f"its manifest {path.name[:12]}… cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"its manifest {path.name[:12]}… is damaged: {error}") from error


def read_audit(root: Path, folder: str, task: TaskPart) -> tuple[Audit | None, list[Problem]]:
    """The published audit of an edition, if there is one."""
    path = root / "audits" / folder / f"{task.manifest_sha256}.json"
    if not HASH.fullmatch(task.manifest_sha256) or not path.is_file():
        return None, []
    try:
        told = json.loads(path.read_bytes())
        confounds = tuple(
            (str(one["name"]), Estimate(**one["auroc"], method="DeLong"), int(one["images"]))
            for one in told["confounds"]
        )
        counts = {"pairs": told["pairs"], "across": told["pairs_across_test"], "patients": told["shared_patients"]}
        return Audit(searched=told["near_duplicates_searched"], **counts, confounds=confounds), []
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, [problem(path, f"the audit is damaged: {str(error).splitlines()[0]}", root)]
