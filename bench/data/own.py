"""A user's own folder of images, or a CSV that lists them, as a task: described in TOML, without code.

::

    [task]
    name = "my-hospital"
    version = "1"
    modality = "OCT"
    [images]                    # pattern, or csv with [columns]
    pattern = "scans/**/*.png"  # below root, which is the folder of this file unless given
    [labels]                    # the label is the image's folder, or the CSV's column `label`
    normal = ["NORMAL"]         # every other label is anomalous, unless `anomalous` lists them
    [split]
    rule = "folders"            # folders | column | hash
    fit = ["train"]             # its anomalies get the role pool
    test = ["test"]             # images in neither are an error, unless `ignore` lists them

All problems of a file are told at once, each with its line. Nothing of a task leaves this machine through
``bench publish`` unless it says ``publish = true``.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Literal

from bench.contracts import Grouping, ImageFile, TaskSpec
from bench.data.own_rows import Row, Source, check_labels, list_rows
from bench.data.own_toml import Column, Folders, Hash, read_toml
from bench.errors import BadTaskError, StorageError
from bench.files import storage_error

Role = Literal["fit", "test", "pool"]
SALT_BYTES = 32


def load_task(path: Path, cache: Path) -> TaskSpec:
    """Read a task from a TOML file. Its ``build`` ignores the data folder it is given.

    Args:
        path: the TOML file.
        cache: where the salt of the patients' keys is kept. Deleting it gives every patient another key, and the task
            another manifest hash.

    Raises:
        UsageError: the TOML file is missing or wrong, with all its problems.
        BadTaskError: the images, the CSV or the split are, with all their problems.
        StorageError: the salt cannot be written.

    """
    task, problems = read_toml(path)
    # Not resolved: a CSV with absolute paths spells links as its author does.
    root = Path(os.path.abspath(path.parent / task.images.root))  # noqa: PTH100
    source = Source(task, root, problems)
    rows = list_rows(source)
    check_labels(source, rows)
    roles = _split(source, rows)
    grouping = _grouping(source, rows, roles)
    if not problems:
        _check_counts(source, rows, roles)
    problems.stop(BadTaskError)
    files = _image_files(source, rows, roles, cache)
    return TaskSpec(
        name=task.task.name,
        version=task.task.version,
        modality=task.task.modality,
        citation=task.task.citation,
        licence=task.task.licence,
        url=task.task.url,
        grouping=grouping,
        layout=f"  {task.images.pattern or task.images.csv}",
        build=lambda _data: files,
        private=not task.task.publish,
    )


def patient_key(patient: str, salt: bytes) -> str:
    """16 hex digits that stand for a patient in records, and that nobody without the salt can join with anything."""
    return sha256(salt + patient.encode()).hexdigest()[:16]


def read_salt(cache: Path) -> bytes:
    """Read this machine's 32 secret bytes, drawing them on first use; processes that race agree on one salt.

    Raises:
        StorageError: they cannot be read or written, or are damaged.

    """
    path = cache / "salt"
    try:
        if not path.exists():
            _write_salt(path)
        salt = path.read_bytes()
    except OSError as error:
        raise storage_error(path, error) from error
    if len(salt) != SALT_BYTES:
        raise StorageError(f"{path} is damaged: restore it, or remove it (every patient then gets another key)")
    return salt


def _write_salt(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".salt.")  # mkstemp gives it mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(SALT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # a link, unlike a rename, never replaces the salt of a faster process
            path.hardlink_to(name)
    finally:
        Path(name).unlink()


def _split(source: Source, rows: Sequence[Row]) -> list[Role | None]:
    """Give every row its role; None where nothing gives it one (ignored, or noted as a problem)."""
    split = source.task.split
    return _by_hash(source, split, rows) if isinstance(split, Hash) else _by_name(source, split, rows)


def _by_hash(source: Source, split: Hash, rows: Sequence[Row]) -> list[Role | None]:
    """Draw the normals to learn from; an anomaly of a patient among them goes to pool, every other one to test.

    By the patient's own number, not the salted one: the split is the same on every machine.
    """
    healthy = [row.label in source.task.labels.normal for row in rows]
    keys = [row.patient or row.path.relative_to(source.root).as_posix() for row in rows]
    learned = {key for key, normal in zip(keys, healthy, strict=True) if normal and _share(split.seed, key) < split.fit}
    return [_role(key in learned, normal) for key, normal in zip(keys, healthy, strict=True)]


def _share(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on seed and key alone."""
    return int(sha256(f"{seed}/{key}".encode()).hexdigest()[:8], 16) / 2**32


def _by_name(source: Source, split: Folders | Column, rows: Sequence[Row]) -> list[Role | None]:
    """Go by folders or by a column; what is in neither fit nor test must be ignored by name."""
    unplaced: Counter[str] = Counter()
    unused = {("fit", name) for name in split.fit} | {("test", name) for name in split.test}
    roles: list[Role | None] = []
    for row in rows:
        fit, test, ignore = (
            {name for name in names if _fits(split, row.place, name)} for names in (split.fit, split.test, split.ignore)
        )
        unused -= {("fit", name) for name in fit} | {("test", name) for name in test}
        if fit and test and not ignore:
            source.toml("split", "rule", f"'{row.place}' is in both fit and test: name folders relative to root")
        elif not (fit or test or ignore):
            unplaced[row.place] += 1
        used = not ignore and bool(fit) != bool(test)
        roles.append(_role(bool(fit), row.label in source.task.labels.normal) if used else None)
    for place, count in unplaced.items():
        source.toml("split", "rule", f"{count} image(s) of '{place}' are in neither: add it to fit, test or ignore")
    for key, name in sorted(unused if rows else ()):
        source.toml("split", key, f"'{name}' fits no image: correct it, or remove it")
    return roles


def _fits(split: Folders | Column, place: str, name: str) -> bool:
    """Whether a place is this value of the column, or below a folder of this name (``a/b``: below this very folder)."""
    if isinstance(split, Column):
        return place == name
    return name in place.split("/") or ("/" in name and f"{place}/".startswith(f"{name.strip('/')}/"))


def _role(fit: bool, healthy: bool) -> Role:
    return "test" if not fit else "fit" if healthy else "pool"


def _grouping(source: Source, rows: Sequence[Row], roles: Sequence[Role | None]) -> Grouping:
    """Return the level that the file declares, having checked it, else the one that the split keeps apart."""
    used = [(row.patient, role) for row, role in zip(rows, roles, strict=True) if role]
    without = sum(patient is None for patient, _ in used)
    tested = {patient for patient, role in used if patient and role == "test"}
    both = sorted({patient for patient, role in used if patient and role != "test"} & tested)
    declared = source.task.task.grouping
    if declared == "patient" and without:
        fix = "fill in the column `patient` of [columns], or declare another grouping"
        source.toml("task", "grouping", f"{without} image(s) have no patient: {fix}")
    if declared == "patient" and both:
        named = ", ".join(both[:20]) + (f", … and {len(both) - 20} more" if len(both) > 20 else "")
        source.toml("task", "grouping", f"patients in both fit and test: {named}: move each to one side")
    if declared is not None:
        return declared
    if source.task.split.rule == "hash":
        return "image" if without else "patient"
    return "unknown" if without or both else "patient"


def _check_counts(source: Source, rows: Sequence[Row], roles: Sequence[Role | None]) -> None:
    """Note what a benchmark cannot do without: normals to learn from, normals and anomalies to test on."""
    normal = source.task.labels.normal
    counts = Counter((role, row.label in normal) for row, role in zip(rows, roles, strict=True))
    hashed = source.task.split.rule == "hash"
    if not counts["fit", True]:
        source.toml("split", "fit", "no normal images to learn from: name more in fit, or in normal of [labels]")
    if not counts["test", True]:
        fix = "lower fit, or take another seed" if hashed else "name some in test"
        source.toml("split", "fit" if hashed else "test", f"no normal images to test on: {fix}")
    if not counts["test", False]:
        everything = not counts["pool", False]
        fix = "check normal of [labels]" if everything else "lower fit" if hashed else "name some in test"
        source.toml("split", "fit" if hashed else "test", f"no anomalous images to test on: {fix}")


def _image_files(
    source: Source, rows: Sequence[Row], roles: Sequence[Role | None], cache: Path
) -> tuple[ImageFile, ...]:
    salt = read_salt(cache) if any(row.patient for row in rows) else b""
    return tuple(
        ImageFile(
            path=row.path,
            label=0 if row.label in source.task.labels.normal else 1,
            category=row.category,
            patient=patient_key(row.patient, salt) if row.patient else None,
            role=role,
            mask=row.mask,
        )
        for row, role in zip(rows, roles, strict=True)
        if role
    )
