"""`bench new` writes packages that install, under any sensible name, and overwrites nothing."""

from __future__ import annotations

import ast
import tomllib

import pytest

from tests.conftest import Bench


def test_names_are_replaced_everywhere(bench: Bench) -> None:
    done = bench("new", "retina-net-2", "--to", "work")
    assert done.returncode == 0, done.stderr
    assert "pip install -e ./work/retina-net-2" in done.stdout
    folder = bench.folder / "work" / "retina-net-2"
    written = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert set(written) == {
        "README.md",
        "pyproject.toml",
        "retina_net_2/__init__.py",
        "retina_net_2/detector.py",
        "tests/test_retina_net_2.py",
    }
    for name, text in written.items():
        assert "my-detector" not in text.lower().replace("_", "-"), name
        assert "MyDetector" not in text, name
        if name.endswith(".py"):
            ast.parse(text)
    project = tomllib.loads(written["pyproject.toml"])["project"]
    assert project["name"] == "retina-net-2"
    assert project["entry-points"] == {"bench": {"retina-net-2": "retina_net_2"}}
    assert "class RetinaNet2(bench.Detector[RetinaNet2Config])" in written["retina_net_2/detector.py"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Mine", "lower-case letters"),
        ("../mine", "lower-case letters"),
        ("2mine", "lower-case letters"),
        ("class", "lower-case letters"),
        ("salad", "offered by salad-bench"),
        ("numpy", "'numpy' is installed"),
        ("taken", "exists already"),
    ],
)
def test_names_that_cannot_work_are_refused(bench: Bench, name: str, words: str) -> None:
    (bench.folder / "taken").mkdir()
    done = bench("new", name)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(bench.folder.rglob("pyproject.toml"))


def test_a_folder_that_cannot_be_written_is_named(bench: Bench) -> None:
    (bench.folder / "file").write_text("")
    done = bench("new", "mine", "--to", "file")
    assert done.returncode == 3
    assert "file/mine" in done.stderr
    assert "Traceback" not in done.stderr
