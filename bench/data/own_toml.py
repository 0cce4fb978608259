"""The TOML file that describes a user's own task: its shape, and its problems told with their lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from bench.contracts import Grouping
from bench.errors import BenchError, UsageError

SHOWN = 20
"""Problems told at once; the rest are counted."""

Text = Annotated[str, StringConstraints(min_length=1)]
Names = Annotated[list[Text], Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Task(_Table):
    """What the task is called, and what may become of it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    modality: Text
    publish: bool = False
    citation: str = ""
    licence: str = ""
    url: str = ""
    grouping: Grouping | None = None


class Images(_Table):
    """Where the images are: a pattern below root, or a CSV."""

    root: Text = "."
    pattern: Text | None = None
    csv: Text | None = None


class Columns(_Table):
    """What the columns of the CSV are called; without ``label``, the image's folder is its label."""

    path: Text
    label: Text | None = None
    patient: Text | None = None
    category: Text | None = None
    mask: Text | None = None


class Labels(_Table):
    """Which labels are normal; every other one is anomalous unless those are listed too."""

    normal: Names
    anomalous: list[Text] | None = None


class Folders(_Table):
    """Roles by folder: names of folders anywhere on the way from root, or folders relative to it (``a/b``)."""

    rule: Literal["folders"]
    fit: Names
    test: Names
    ignore: list[Text] = []


class Column(_Table):
    """Roles by the values of a column of the CSV."""

    rule: Literal["column"]
    column: Text
    fit: Names
    test: Names
    ignore: list[Text] = []


class Hash(_Table):
    """A share of the normals, drawn by patient (or path, where none is known), is learned from."""

    rule: Literal["hash"]
    fit: Annotated[float, Field(gt=0, lt=1)]
    seed: int = 0


class OwnTask(_Table):
    """The whole file."""

    task: Task
    images: Images
    columns: Columns | None = None
    labels: Labels
    split: Annotated[Folders | Column | Hash, Field(discriminator="rule")]


RULES: Mapping[str, type[_Table]] = {"folders": Folders, "column": Column, "hash": Hash}
TABLES: Mapping[str, type[_Table]] = {"task": Task, "images": Images, "columns": Columns, "labels": Labels}
EXAMPLES: Mapping[tuple[str, str], str] = {
    ("task", "name"): '"my-hospital"',
    ("task", "version"): '"1"',
    ("task", "modality"): '"OCT"',
    ("task", "publish"): "false",
    ("columns", "path"): '"file"',
    ("labels", "normal"): '["NORMAL"]',
    ("labels", "anomalous"): '["CNV", "DME"]',
    ("split", "rule"): '"folders"',
    ("split", "column"): '"split"',
    ("split", "fit"): '["train"]',
    ("split", "test"): '["test"]',
    ("split", "ignore"): '["val"]',
    ("split", "seed"): "0",
}
"""Right values, for the hints: whatever is not here is text in quotes."""


class Problems:
    """All that is wrong with one TOML file and what it names, told at once."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        self._found: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, file: Path, line: int, text: str) -> None:
        """Note a problem of one line of a file; the same one again counts once."""
        self._found[f"{file}:{line}: {text}"] = None

    def add_key(self, table: str, key: str, text: str) -> None:
        """Note a problem of one key of the TOML file (of a whole table, if ``key`` is empty)."""
        name = f"{key} of [{table}]" if key else f"[{table}]"
        self.add(self.path, line_of(self.text, table, key), f"{name}: {text}")

    def stop(self, error: type[BenchError]) -> None:
        """Raise ``error`` with the problems noted so far, if there are any."""
        if self._found:
            told = list(self._found)[:SHOWN]
            more = [f"… and {len(self) - SHOWN} more"] if len(self) > SHOWN else []
            count = "one problem" if len(self) == 1 else f"{len(self)} problems"
            raise error("\n  ".join([f"{self.path} cannot be used as a task, {count}:", *told, *more]))


def read_toml(path: Path) -> tuple[OwnTask, Problems]:
    """Read and check a TOML file; returns it with an empty list of problems.

    Raises:
        UsageError: it is missing, no TOML, or of another shape, with all its problems.

    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8: save the file in this encoding") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}: name the TOML file of a task") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+)", str(error))
        line = int(place.group(1)) if place else text.count("\n") + 1
        raise UsageError(f"{path}:{line}: not TOML: {error}: check quotes, brackets and =") from error
    problems = Problems(path, text)
    _note_contradictions(raw, problems)
    try:
        task = OwnTask.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _note(detail, raw, problems)
        problems.stop(UsageError)
    problems.stop(UsageError)
    return task, problems


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like ``name``, whatever the case; None if none is like it."""
    folded = {other.casefold(): other for other in known}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return folded[near[0]] if near else None


def line_of(text: str, table: str, key: str) -> int:
    """Line of ``key`` inside ``[table]``; of the table if the key is not there, and 1 if that is not there either."""
    current, fallback = "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            current = header.group(1).strip("\"'")
            if current == table:
                fallback = number
        elif assigned := re.match(r"\s*([^=#]+?)\s*=", line):
            name = re.sub(r"[\"'\s]", "", f"{current}.{assigned.group(1)}").strip(".")
            if name == f"{table}.{key}":
                return number
            if name == table:  # an inline table
                fallback = number
    return fallback


def _note_contradictions(raw: Mapping[str, Any], problems: Problems) -> None:
    """Note what no table shows alone: keys that exclude or need one another. Wrong types are noted elsewhere."""
    tables = {name: value if isinstance(value, dict) else {} for name, value in raw.items()}
    task, images, columns, split = (tables.get(name, {}) for name in ("task", "images", "columns", "split"))
    if "images" in raw and ("pattern" in images) == ("csv" in images):
        both = "pattern and csv exclude each other: keep one" if "csv" in images else "add pattern or csv"
        problems.add_key("images", "csv", both)
    if "pattern" in images and "columns" in raw and "csv" not in images:
        problems.add_key("columns", "", "a pattern has no columns: remove the table, or name a csv in [images]")
    if "csv" in images and "columns" not in raw:
        problems.add_key("images", "csv", 'say what its columns are called: add [columns] with path = "file"')
    if "columns" in raw and "label" not in columns and split.get("rule") != "folders":
        problems.add_key("columns", "label", 'is missing: add label = "diagnosis" (rule = "folders" can do without)')
    if split.get("rule") == "column" and "csv" not in images:
        problems.add_key("split", "rule", '"column" needs a csv in [images]: use "folders" or "hash"')
    if task.get("publish") is True:
        for key in ("citation", "licence", "url"):
            if not task.get(key):
                problems.add_key("task", key, f'publish = true needs it: add {key} = "…"')
    for table, one, other in (("labels", "normal", "anomalous"), ("split", "fit", "test")):
        lists = [value if isinstance(value, list) else [] for value in map(tables.get(table, {}).get, (one, other))]
        for name in [name for name in lists[0] if name in lists[1]]:
            problems.add_key(table, other, f"'{name}' is in {one} too: keep one")


def _note(detail: ErrorDetails, raw: Mapping[str, Any], problems: Problems) -> None:
    """Say one of pydantic's errors in our words, at its line."""
    table, *rest = (str(part) for part in detail["loc"])
    if table == "split" and rest and rest[0] in RULES:  # pydantic puts the rule that it went by into the place
        rest = rest[1:]
    key = rest[0] if rest else "rule" if detail["type"].startswith("union_tag") else ""
    problems.add_key(table, key, _in_words(detail, table, key, raw))


def _in_words(detail: ErrorDetails, table: str, key: str, raw: Mapping[str, Any]) -> str:
    kind, given = detail["type"], detail.get("input")
    hashed = table == "split" and raw["split"].get("rule") == "hash" if isinstance(raw.get("split"), dict) else False
    example = f"{key} = {'0.6' if hashed and key == 'fit' else EXAMPLES.get((table, key), chr(34) + '…' + chr(34))}"
    if kind == "extra_forbidden":
        return f"unknown {'key' if key else 'table'}: {_known(table, key, raw)}"
    if kind in ("missing", "union_tag_not_found"):
        return f"is missing: add {example}" if key else f"is missing: add the table, with {_required(table)}"
    if kind == "union_tag_invalid" or kind == "literal_error":
        expected = ", ".join(RULES) if table == "split" else "patient, eye, image or unknown"
        return f"'{given if table != 'split' else raw['split'].get('rule')}' does not exist: take one of {expected}"
    if kind == "string_pattern_mismatch" and key == "name":
        return f"'{given}' is no name: lower-case letters, digits and hyphens, a letter first"
    if kind == "string_pattern_mismatch":
        return f"'{given}' is no version: letters, digits, dots, hyphens and underscores"
    if kind in ("greater_than", "less_than"):
        return f"{given} is no share: give a number above 0 and below 1, such as 0.6"
    if kind in ("string_too_short", "too_short"):
        return f"is empty: write {example}"
    if not key:
        return f"expected a table, not {given!r}: write [{table}] on a line of its own, its keys below"
    return f"wrong type ({_type(given)}): write {example}"


def _known(table: str, key: str, raw: Mapping[str, Any]) -> str:
    split = raw.get("split")
    rule = split.get("rule") if isinstance(split, dict) else None
    model = RULES[rule] if table == "split" and isinstance(rule, str) else TABLES.get(table, OwnTask)
    known: Sequence[str] = list(model.model_fields if key else OwnTask.model_fields)
    near = nearest(key or table, known)
    where = f' with rule = "{rule}"' if table == "split" else ""
    return f"did you mean {near}?" if near else f"remove it{where}; known: {', '.join(known)}"


def _required(table: str) -> str:
    model = TABLES.get(table, Folders)
    return " and ".join(name for name, field in model.model_fields.items() if field.is_required()) or "pattern or csv"


def _type(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date")
