"""``checksums.txt``: the sha256 of every file of published results, as ``sha256sum --check`` reads it.

A record holds the hashes of its files; this list holds those of the records, so that neither an edited nor a missing
record goes unnoticed.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from bench.errors import RecordError
from bench.files import write_atomically

NAME = "checksums.txt"
FOLDERS = ("audits", "manifests", "runs")
FILES = ("attestations.json",)


def write_checksums(root: Path) -> Path:
    """List all files of a folder of results anew.

    Raises:
        StorageError: it cannot be written.

    """
    path = root / NAME
    write_atomically(path, "".join(f"{digest}  {name}\n" for name, digest in _present(root).items()).encode())
    return path


def check_listed(root: Path) -> list[str]:
    """Name every file that differs from the list, is missing from the folder, or from the list.

    Returns:
        one problem a file; none where there is no list, as in a folder of unpublished runs.

    """
    try:
        lines = (root / NAME).read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        return [f"{NAME} cannot be read: {error}"]
    listed: dict[str, str] = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        listed[name] = digest
    present = _present(root)
    problems = [f"{name}: it is listed in {NAME}, and missing" for name in sorted(listed.keys() - present)]
    problems += [f"{name}: it is not listed in {NAME}" for name in sorted(present.keys() - listed)]
    return problems + [
        f"{name}: it is not the file that was published (its sha256 differs from {NAME})"
        for name in sorted(present.keys() & listed)
        if present[name] != listed[name]
    ]


def refuse_edited(root: Path) -> None:
    """Stop before anything is written on top of results that somebody changed by hand.

    Raises:
        RecordError: a file differs from the list, or is missing.

    """
    if problems := check_listed(root):
        raise RecordError(
            f"{root} was changed by hand; put it back first (for example with git):\n  " + "\n  ".join(problems)
        )


def _present(root: Path) -> dict[str, str]:
    inside = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    files = sorted(inside + [root / name for name in FILES if (root / name).is_file()])
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}
