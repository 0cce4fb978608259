"""The author guide, run as it is written: from an empty folder to a leaderboard.

``python -m tests.integration.test_guide`` prints the transcript.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from tests.environment import Done, Venv, make_venv

GUIDE = ROOT / "plugins" / "README.md"
DETECTOR = Path("my-detector/my_detector/detector.py")


class Step(NamedTuple):
    """A command of the guide and how it ended."""

    command: str
    done: Done


def follow(venv: Venv, folder: Path) -> Iterator[Step]:
    """Run the guide's commands in order; its modules are put where it says."""
    for language, text in re.findall(r"```(bash|python)\n(.*?)```", GUIDE.read_text(), re.S):
        if language == "python":
            is_test = "parametrize_with_checks" in text
            (folder / ("my-detector/tests/test_guide.py" if is_test else DETECTOR)).write_text(text)
            continue
        for command in text.strip().splitlines():
            yield Step(command, venv.run("bash", "-c", command, cwd=folder, BENCH_CACHE=str(folder / "cache")))
    command = "python -m pytest my-detector/tests/test_guide.py"
    yield Step(command, venv.run("bash", "-c", command, cwd=folder))


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return list(follow(make_venv(tmp_path_factory.mktemp("environment") / "venv"), tmp_path_factory.mktemp("author")))


def test_every_command_of_the_guide_succeeds(steps: list[Step]) -> None:
    failed = {step.command: step.done.stdout + step.done.stderr for step in steps if step.done.returncode != 0}
    assert failed == {}


def test_the_guide_shows_what_it_says(steps: list[Step]) -> None:
    printed = {step.command: step.done.stdout for step in steps}
    listed = re.search(r"my-detector.* ok ", printed["bench list plugins"])
    assert listed, printed["bench list plugins"]
    (table,) = (text for command, text in printed.items() if command.endswith("--format md"))
    assert "| my-detector |" in table
    assert "| my-detector@linear |" in table
    first, second = (step.done.stdout for step in steps if step.command == "bench check my-detector")
    assert "the spec declares no maps" in first
    assert "pass    maps" in second
    assert "failed" not in first + second


def test_the_template_is_short() -> None:
    template = ROOT / "bench" / "templates" / "my-detector" / "my_detector" / "detector.py"
    assert len(template.read_text().splitlines()) <= 40


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "author").mkdir()
        for step in follow(make_venv(work / "venv"), work / "author"):
            print(f"$ {step.command}\n{step.done.stdout}{step.done.stderr}")
