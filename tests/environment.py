"""A fresh virtual environment with bench installed as a user has it, for tests of what pip installs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Venv:
    """A virtual environment, and how to run a program of it."""

    folder: Path

    def run(self, program: str, *arguments: str | Path, cwd: Path, **changes: str) -> Done:
        # Without PYTHONPATH: the packages must be found because they are installed.
        hidden = ("BENCH_", "MLFLOW_", "PYTHON", "PYTEST_", "COV_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        path = os.pathsep.join([str(self.folder / "bin"), kept.get("PATH", os.defpath)])
        return subprocess.run(
            [self.folder / "bin" / program if (self.folder / "bin" / program).exists() else program, *arguments],
            cwd=cwd,
            env={**kept, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "110", **changes},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def install(self, *arguments: str | Path) -> None:
        done = self.run("python", "-m", "pip", "install", "--quiet", *arguments, cwd=self.folder)
        assert done.returncode == 0, done.stderr


def make_venv(folder: Path) -> Venv:
    """Make an environment and install bench from this checkout into it, as the wheel that a user would get."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    made = Venv(folder)
    lend_packages(made)
    # The build tools once, in the environment, rather than once for each package in an isolated one, to save time.
    made.install("hatchling", "editables")
    made.install("--no-build-isolation", "--no-deps", "--force-reinstall", ROOT)
    return made


def lend_packages(venv: Venv) -> None:
    """Let the environment see what the running interpreter has, after its own: torch alone is a gigabyte.

    ``--system-site-packages`` would not do: from within an environment it lends those of the interpreter below.
    """
    lent = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (own,) = venv.folder.glob("lib/python*/site-packages")
    # addsitedir, unlike a plain path, also reads the .pth files there, which editable installations consist of.
    (own / "lent.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in lent))
