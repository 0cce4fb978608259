"""Documents are held to what they say: examples run, commands exist, links lead somewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Bench

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "plugins/*.md", "results/*.md", "salad_plugin/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.S)


def commands(path: Path) -> list[list[str]]:
    """Every ``bench …`` line in the shell blocks of a document, without comments."""
    lines = [line.partition("#")[0].strip() for block in blocks(path, "bash") for line in block.splitlines()]
    return [line.split() for line in lines if line.startswith("bench ")]


def test_guide_example_works_as_written(bench: Bench) -> None:
    guide = ROOT / "plugins" / "README.md"
    (module,), (project,) = blocks(guide, "python"), blocks(guide, "toml")
    (entry,) = re.findall(r'\[project\.entry-points\.bench\]\n(\w+) = "(\w+)"', project)
    info = bench.folder / "site" / "median_detector-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: median-detector\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[bench]\n{entry[0]} = {entry[1]}\n")
    (bench.folder / "site" / f"{entry[1]}.py").write_text(module)
    plugins = {plugin["name"]: plugin for plugin in json.loads(bench("list", "plugins", "--json").stdout)["plugins"]}
    assert plugins["median"]["status"] == "ok"
    shown = [line for line in commands(guide) if line[1] in ("show", "run")]
    assert shown
    for line in shown:
        arguments = [word.replace("median,salad", "median") for word in line[1:]]
        done = bench(*arguments)
        assert done.returncode == 0, done.stderr
    assert {record["status"] for record in bench.records()} == {"ok"}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_exists_with_its_options(name: str) -> None:
    from typer.main import get_command

    from bench.cli import app

    root = get_command(app)
    for words in commands(ROOT / name):
        command, rest = root, words[1:]
        while rest and hasattr(command, "commands") and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        assert command is not root or not rest or rest[0].startswith("-"), f"{name}: no command {' '.join(words)}"
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word for word in rest if word.startswith("--")}
        assert given <= known, f"{name}: {' '.join(words)}: {given - known}"


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{name}: {target}"


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
