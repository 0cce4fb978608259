"""The command run inside the process of the tests, since starting one takes longer than most commands do.

Detectors have processes of their own all the same.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from bench.cli import main


@dataclass(frozen=True)
class Place:
    """A folder in which commands run."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "bench-runs"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``bench``, and return its exit code and what it said."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            for name in [name for name in os.environ if name.startswith("BENCH_")]:
                patch.delenv(name)
            patch.chdir(self.folder)
            patch.setenv("BENCH_CACHE", str(self.folder / "cache"))
            patch.setenv("COLUMNS", "100")
            patch.setenv("OMP_NUM_THREADS", "1")  # for so few images, more threads only wait for one another
            patch.setattr(sys, "argv", ["bench", *words])
            code = main()
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def rows(self, name: str = "scores.csv") -> list[dict[str, str]]:
        with (self.folder / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def record(self, detector: str) -> Path:
        (path,) = self.folder.glob(f"bench-runs/runs/*/{detector}/*/record.json")
        return path.parent

    def run_scores(self, detector: str) -> dict[str, float]:
        """Scores of the run by image id."""
        table = pd.read_parquet(self.record(detector) / "scores.parquet")
        return dict(zip(table["image_id"], table["score"], strict=True))
