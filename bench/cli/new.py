"""``bench new``."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import open_registry
from bench.errors import UsageError
from bench.files import storage_error, write_atomically

TEMPLATE = "my-detector"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and hyphens.")],
    to: Annotated[Path, typer.Option("--to", help="Folder in which the package's own folder is made.")] = Path(),
) -> None:
    """Write a complete pip package with a detector that works: the place to start from."""
    folder = to / name
    check_name(name, folder)
    write_package(name, folder)
    typer.echo(
        f"wrote {folder}\n\nNext:\n"
        f"  python -m pip install -e {folder if folder.is_absolute() else f'./{folder}'}\n"
        f"  bench check {name}\n"
        f"  bench run --detectors {name},salad\n\n"
        f"Your idea goes into {folder / module_name(name) / 'detector.py'}."
    )


def check_name(name: str, folder: Path) -> None:
    """Refuse names that could not be installed or discovered, and folders that are taken.

    Raises:
        UsageError: with the reason.

    """
    module = module_name(name)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or iskeyword(module):
        raise UsageError(
            f"'{name}' cannot name a package: use lower-case letters, digits and hyphens, as in my-detector"
        )
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already: choose another name, or another folder with --to")
    taken = open_registry(None).detectors.get(name)
    if taken is not None:
        raise UsageError(f"detector '{name}' is offered by {taken.plugin.distribution} already: choose another name")
    if find_spec(module) is not None:
        raise UsageError(f"a python module '{module}' is installed already: choose another name")


def module_name(name: str) -> str:
    """``my-detector`` to ``my_detector``."""
    return name.replace("-", "_")


def write_package(name: str, folder: Path) -> None:
    """Copy the template with its names replaced.

    Raises:
        StorageError: the folder cannot be written.

    """
    class_name = "".join(part.capitalize() for part in name.split("-"))
    # The template is a working package of its own, so these are the only words that stand for something else.
    words = {
        "my-detector": name,
        "my_detector": module_name(name),
        "MyDetector": class_name,
    }

    def rename(text: str) -> str:
        return re.sub("|".join(words), lambda match: words[match.group()], text)

    try:
        for source, inside in _template_files(files("bench") / "templates" / TEMPLATE, Path()):
            write_atomically(folder / rename(inside.as_posix()), rename(source.read_text()).encode())
    except OSError as error:
        raise storage_error(folder, error) from error


def _template_files(folder: Traversable, inside: Path) -> list[tuple[Traversable, Path]]:
    found: list[tuple[Traversable, Path]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _template_files(entry, inside / entry.name) if entry.name != "__pycache__" else []
        else:
            found.append((entry, inside / entry.name))
    return found
