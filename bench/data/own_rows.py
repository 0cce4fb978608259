"""The images of a user's own task, one row each: what a pattern finds below its root, or what a CSV lists."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from bench.data.own_toml import OwnTask, Problems, nearest


class Row(NamedTuple):
    """One image as the folder or the CSV has it.

    Attributes:
        line: of the CSV; 0 where a pattern found the image.
        path: absolute, below the root as it is spelt (a link in it may lead elsewhere: its owner put it there).
        label: in the user's words.
        category: the label, unless a column says more.
        patient: as in the CSV, or None.
        mask: as path, or None.
        place: what the split goes by: value of its column, or the folder relative to the root.

    """

    line: int
    path: Path
    label: str
    category: str
    patient: str | None
    mask: Path | None
    place: str


@dataclass(frozen=True)
class Source:
    """What the helpers below need to know of one TOML file: its contents, its root and where to put problems."""

    task: OwnTask
    root: Path
    problems: Problems

    def toml(self, table: str, key: str, text: str) -> None:
        """Note a problem of a key of the TOML file."""
        self.problems.add_key(table, key, text)

    def row(self, line: int, text: str) -> None:
        """Note a problem of a row of the CSV, or of an image that the pattern found."""
        if line:
            self.problems.add(self.csv, line, text)
        else:
            self.problems.add_key("images", "pattern", text)

    @property
    def csv(self) -> Path:
        """The CSV file, beside the TOML file unless its name says otherwise."""
        return self.problems.path.parent / (self.task.images.csv or "")


def list_rows(source: Source) -> list[Row]:
    """List the usable images, having noted what is wrong with the others."""
    if not source.root.is_dir():
        source.toml("images", "root", f"no folder {source.root}: name the folder that the images lie in")
        return []
    return _list_csv(source) if source.task.images.csv else _list_folder(source)


def _list_folder(source: Source) -> list[Row]:
    """List what the pattern finds; hidden files (``._copy.png``) are no images."""
    pattern = source.task.images.pattern or ""
    if PurePath(pattern).is_absolute() or ".." in PurePath(pattern).parts:
        source.toml("images", "pattern", f"'{pattern}' leads outside root: write it relative to root, without '..'")
        return []
    try:
        found = sorted({p for p in source.root.glob(pattern) if p.is_file() and not p.name.startswith(".")})
    except ValueError as error:  # '**' beside other characters, in older versions of Python
        source.toml("images", "pattern", f"'{pattern}' is no pattern: {error}")
        return []
    if not found:
        source.toml("images", "pattern", f"'{pattern}' fits no file in {source.root}: correct it, or root")
    return [_row(source, 0, path, {}) for path in found]


def _list_csv(source: Source) -> list[Row]:
    """List the usable rows of the CSV, having noted what is wrong with the others."""
    rows: dict[Path, Row] = {}
    for line, cells in _read_csv(source):
        path = _inside(source, line, cells["path"], "image")
        mask = _inside(source, line, cells["mask"], "mask") if cells.get("mask") else None
        if path in rows:
            source.row(line, f"'{cells['path']}' is in line {rows[path].line} already: remove one of the two rows")
        elif path is not None:
            rows[path] = _row(source, line, path, cells)._replace(mask=mask)
    if not rows and not source.problems:
        source.row(1, "lists no images: add a row for each")
    return list(rows.values())


def _row(source: Source, line: int, path: Path, cells: dict[str, str]) -> Row:
    label = cells.get("label", path.parent.name)
    place = cells.get("split", path.parent.relative_to(source.root).as_posix())
    return Row(line, path, label, cells.get("category", label), cells.get("patient") or None, None, place)


def _read_csv(source: Source) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, cells by what they mean) of every complete row: path, label, patient, category, mask, split."""
    try:
        text = source.csv.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        source.problems.add(source.csv, line, "not UTF-8: save the file as 'CSV UTF-8'")
        return
    except OSError as error:
        source.toml("images", "csv", f"cannot read {source.csv}: {error.strerror}")
        return
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)  # spreadsheets of half of Europe write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        wanted = _wanted_columns(source, names)
        if source.problems:  # every row would only repeat that its column is missing
            return
        before = reader.line_num
        for cells in reader:
            line, before = before + 1, reader.line_num  # a quoted cell may hold line breaks: name its first line
            if cells and len(cells) != len(names):
                source.row(line, f"{len(cells)} cells, but the header has {len(names)}: put text with commas in quotes")
            elif cells:
                yield line, {meaning: cells[column].strip() for meaning, column in wanted.items()}
    except csv.Error as error:
        source.row(reader.line_num, f"not CSV: {error}: check its quotes")


def _wanted_columns(source: Source, names: list[str]) -> dict[str, int]:
    """Find the columns that the TOML file names; those that are not there are noted."""
    asked = {key: ("columns", key, name) for key, name in (source.task.columns or ()) if name}
    split = source.task.split
    if split.rule == "column":
        asked["split"] = ("split", "column", split.column)
    wanted = {}
    for meaning, (table, key, name) in asked.items():
        near = nearest(name, names)
        if names.count(name) == 1:
            wanted[meaning] = names.index(name)
        elif name in names:
            source.toml(table, key, f"{source.csv.name} has two columns '{name}': rename one")
        else:
            hint = f"did you mean '{near}'?" if near else f"it has {', '.join(names) or 'none'}"
            source.toml(table, key, f"{source.csv.name} has no column '{name}': {hint}")
    return wanted


def _inside(source: Source, line: int, cell: str, what: str) -> Path | None:
    """Return the absolute path of an existing file below the root, or note what is wrong."""
    path = Path(os.path.normpath(source.root / cell))
    if not cell:
        source.row(line, f"no {what} is named: fill in the path, or remove the row")
    elif not path.is_relative_to(source.root):
        source.row(line, f"{what} '{cell}' lies outside {source.root}: move it there, or change root of [images]")
    elif not path.is_file():
        hint = "write / for \\" if "\\" in cell else "correct the row, or root of [images]"
        source.row(line, f"{what} '{cell}' is not in {source.root}: {hint}")
    else:
        return path
    return None


def check_labels(source: Source, rows: Sequence[Row]) -> None:
    """Note labels outside the table, once each, and normal labels that no image has."""
    normal, anomalous = source.task.labels.normal, source.task.labels.anomalous
    counts = Counter(row.label for row in rows)
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.label, row)
    for label, row in first.items():
        if not label:
            source.row(row.line, f"no label ({counts[label]} image(s)): fill it in, or remove the row")
        elif anomalous is not None and label not in normal + anomalous:
            source.row(
                row.line,
                f"label '{label}' ({counts[label]} image(s), first '{row.path.name}') is neither normal nor anomalous: "
                "add it to one of the lists in [labels]",
            )
    for label in [label for label in normal if rows and label not in counts]:
        near = nearest(label, counts) or f"one of {', '.join(sorted(counts)[:10])}"
        source.toml("labels", "normal", f"no image has the label '{label}': did you mean {near}?")
