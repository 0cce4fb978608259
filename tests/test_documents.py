"""Documents are held to what they say: examples run, commands exist, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bench.cli import app
from salad_plugin import SALAD
from tests.conftest import ROOT, Bench, write_image
from tests.inside import Place

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "plugins/*.md", "plugins/*/*.md", "results/*.md", "salad_plugin/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.S)


def split_commands(lines: list[str]) -> list[list[str]]:
    """The words of every ``bench …`` among shell lines, without comments."""
    parts = [part.strip() for line in lines for part in line.partition("#")[0].split("&&")]
    return [part.split() for part in parts if part.startswith("bench ")]


def commands(path: Path) -> list[list[str]]:
    """Every command of ``bench`` in the shell blocks of a document."""
    return split_commands([line for block in blocks(path, "bash") for line in block.splitlines()])


def mentions(path: Path) -> list[list[str]]:
    """Every command of ``bench`` that a document mentions, in shell blocks or in running text."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    return commands(path) + split_commands(re.findall(r"`(bench [^`]+)`", text))


def command_of(words: list[str]) -> tuple[list[str], Any, list[str]]:
    """Split ``bench leaderboard table results`` into the names of commands, the innermost command, and the rest."""
    command, names, rest = get_command(app), ["bench"], words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, names, rest = command.commands[rest[0]], [*names, rest[0]], rest[1:]
    return names, command, rest


@pytest.mark.parametrize("name", NAMES)
def test_every_command_exists_with_its_options(name: str) -> None:
    for words in mentions(ROOT / name):
        _, command, rest = command_of(words)
        is_group = hasattr(command, "commands")
        assert not is_group or not rest or rest[0].startswith("-"), f"{name}: no command {' '.join(words)}"
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert given <= known, f"{name}: {' '.join(words)}: {given - known}"


def test_every_command_that_is_mentioned_has_help(inside: Place) -> None:
    found = {tuple(command_of(words)[0][1:]) for name in NAMES for words in mentions(ROOT / name)}
    assert {("run",), ("list",), ("show",), ("publish",), ("leaderboard", "table")} <= found
    for names in sorted(found):
        done = inside(*names, "--help")
        assert done.returncode == 0, (names, done.stderr)


def test_the_model_card_is_the_same_in_the_readme_and_in_the_plugin() -> None:
    told = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "salad_plugin" / "README.md").read_text(), re.M))
    for name, text in SALAD.card.items():
        shown = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", told[name[0].upper() + name[1:]])
        assert shown == text, name


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{name}: {target}"


def test_own_data_of_the_readme_runs_as_written(bench: Bench) -> None:
    toml = re.search(r"<!-- own data -->\n```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert toml is not None
    (bench.folder / "my-hospital.toml").write_text(toml.group(1))
    for number in range(40):
        sick = number % 4 == 0
        folder = bench.folder / "scans" / ("oedema" if sick else "healthy")
        write_image(folder / f"{number}.png", number, bright=sick)
    done = bench("run", "--detectors", "mean-intensity", "--tasks", "my-hospital.toml")
    assert done.returncode == 0, done.stderr
    assert "my-hospital" in done.stdout


def test_table_in_the_readme_comes_from_the_records() -> None:
    text = (ROOT / "README.md").read_text()
    written = re.search(r"<!-- table -->\n(.*?)<!-- end of table -->", text, re.S)
    assert written is not None
    done = subprocess.run(
        [sys.executable, "-m", "bench", "leaderboard", "table", "results", "--format", "md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert written.group(1).strip() == done.stdout.strip()
