"""What the data sets share that come with tables: finding the download, reading its CSVs, naming all that is wrong."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.contracts import TaskSpec
from bench.errors import BadTaskError, DataMissingError

SHOWN = 20
"""How many bad items of a kind an error names before it only counts the others."""


@dataclass(frozen=True)
class Table:
    """A CSV in memory: every row has at least as many cells as the header has names, as they stand in the file."""

    path: Path
    header: tuple[str, ...]
    rows: list[list[str]]

    def column(self, *names: str) -> list[str]:
        """Return the cells, stripped, of the first of these columns that the table has.

        Raises:
            KeyError: it has none of them. :func:`read_table` refuses such a table, if it was told the names.

        """
        for name in names:
            if name in self.header:
                place = self.header.index(name)
                return [row[place].strip() for row in self.rows]
        raise KeyError(names)


@dataclass
class Problems:
    """Gathers what is wrong with a download, so that one error names it all: files absent, and anything else."""

    spec: TaskSpec
    absent: list[str] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, item: str) -> None:
        """Note a bad item under a heading, such as "image(s) in both lists"."""
        self.others.setdefault(kind, []).append(item)

    def check(self) -> None:
        """Raise what was gathered, if anything.

        Raises:
            DataMissingError: files that a table lists are not there, and nothing else is wrong.
            BadTaskError: anything else is wrong.

        """
        parts = [f"{len(items)} {kind}:\n  {shorten(items)}" for kind, items in self.others.items()]
        if self.absent:
            parts.append(f"{len(self.absent)} image(s) are listed but not there:\n  {shorten(self.absent)}")
        text = f"task '{self.spec.name}': " + "\n".join(parts)
        if self.others:
            raise BadTaskError(f"{text}\nDownload it again: {self.spec.url}")
        if self.absent:
            raise missing_data(self.spec, text)


def find_root(spec: TaskSpec, data: Path, folders: Sequence[str], files: Sequence[str | tuple[str, ...]]) -> Path:
    """Find the folder of a download: the first of ``folders`` below ``data``, or ``data`` itself, with all ``files``.

    Args:
        spec: the task, whose layout and url an error shows.
        data: the data folder, or the data set's own folder.
        folders: where the downloads put it, relative to ``data``.
        files: names of files or folders that it must have; a tuple where one of several will do.

    Raises:
        DataMissingError: no folder has all of them; the text names what the most complete one lacks.

    """
    wanted = [(names,) if isinstance(names, str) else names for names in files]
    lacking = {
        root: [" or ".join(names) for names in wanted if not any((root / name).exists() for name in names)]
        for root in (*(data / folder for folder in folders), data)
    }
    best = min(lacking, key=lambda root: len(lacking[root]))
    if not lacking[best]:
        return best
    if len(lacking[best]) < len(wanted):
        raise missing_data(spec, f"task '{spec.name}': {best} lacks {', '.join(lacking[best])}")
    looked = ", ".join(f"{folder}/" for folder in folders)
    raise missing_data(spec, f"task '{spec.name}': no images found in {data}\nLooked for: {looked}")


def missing_data(spec: TaskSpec, text: str) -> DataMissingError:
    """Make the error of a task whose images are not there: what is wrong, the layout, the download and the option."""
    return DataMissingError(
        f"{text}\nExpected layout:\n{spec.layout}\nOfficial download: {spec.url}\n"
        "Then name the folder it lies in with --data DIR or BENCH_DATA."
    )


def read_table(path: Path, required: Sequence[str | tuple[str, ...]]) -> Table:
    """Read a CSV with a header; blank lines are skipped.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        required: columns that it must have; a tuple where one of several names will do.

    Raises:
        DataMissingError: there is no such file.
        BadTaskError: it is no CSV, lacks columns, or has rows shorter than its header: all of them are named.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = tuple(name.strip() for name in next(reader, []))
            lines = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError as error:
        raise DataMissingError(f"no file {path}: download it, it comes with the images") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadTaskError(f"{path} is no CSV: {error}. Download it again.") from error
    wanted = [(names,) if isinstance(names, str) else names for names in required]
    lacking = [" or ".join(f"'{name}'" for name in names) for names in wanted if not set(names) & set(header)]
    if lacking:
        has = ", ".join(header[:SHOWN]) or "none"
        raise BadTaskError(f"{path} has no column {', '.join(lacking)}: its columns are {has}. Download it again.")
    # Nameless cells at the end do not count: NIH's header ends with a comma in some copies.
    width = max((place for place, name in enumerate(header) if name), default=-1) + 1
    short = [f"line {line}: {len(row)} cells, expected {width}" for line, row in lines if len(row) < width]
    if short:
        raise BadTaskError(f"{path} is damaged:\n  {shorten(short)}\nDownload it again.")
    return Table(path, header, [row for _, row in lines])


def read_list(path: Path) -> list[str]:
    """Read a text file of one name a line; blank lines are skipped.

    Raises:
        DataMissingError: there is no such file.

    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataMissingError(f"no file {path}: download it, it comes with the images") from error
    return [line.strip() for line in lines if line.strip()]


def list_names(folder: Path) -> set[str]:
    """Names of the files in a folder, hidden ones left out; none if there is no such folder.

    One scan and no stat: a hundred thousand calls of ``Path.exists`` take seconds.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def shorten(items: Iterable[str], limit: int = SHOWN) -> str:
    """Join items, one a line; of more than ``limit`` the others are counted."""
    items = list(items)
    more = [f"… and {len(items) - limit} more"] if len(items) > limit else []
    return "\n  ".join(items[:limit] + more)
