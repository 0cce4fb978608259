"""Fixtures that several folders of tests share: tiny data sets, plugins made on the fly, and the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image

from tests.inside import Place

ROOT = Path(__file__).parents[1]
# Several torch processes that each take all cores slow one another down many times over.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(joblib.cpu_count() // _workers, 1)))
SHARED_DATA = Path(os.environ.get("BENCH_DATA") or ROOT.parent / "shared" / "data")


@dataclass(frozen=True)
class Bench:
    """The command, run as a user runs it: in a process, with a cache, results and plugins of its own."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
        path = os.pathsep.join(filter(None, [str(self.folder / "site"), str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**kept, "BENCH_CACHE": str(self.folder / "cache"), "PYTHONPATH": path, "COLUMNS": "100"}

    @property
    def results(self) -> Path:
        return self.folder / "bench-runs"

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments],
            cwd=self.folder,
            env={**self.environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **changes)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def rows(self, *arguments: str, code: int = 0) -> list[dict[str, object]]:
        done = self("run", *arguments, "--json")
        assert done.returncode == code, done.stderr
        rows: list[dict[str, object]] = json.loads(done.stdout)["rows"]
        return rows

    def records(self) -> list[dict[str, object]]:
        return [json.loads(path.read_text()) for path in sorted(self.results.glob("runs/*/*/*/record.json"))]

    def add_plugin(self, name: str, source: str, distribution: str | None = None) -> Path:
        """Install a one-module plugin by the files that pip would leave behind."""
        distribution = distribution or name.replace("_", "-")
        info = self.folder / "site" / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[bench]\n{name} = {name}\n")
        module = self.folder / "site" / f"{name}.py"
        module.write_text(textwrap.dedent(source))
        return module


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def inside(tmp_path: Path) -> Place:
    return Place(tmp_path)


# A detector in one module. BODY is what anomaly_scores does; tests replace it to misbehave.
DETECTOR = """
import numpy as np
import bench

class Config(bench.DetectorConfig):
    image_size: int = 16
    power: float = 1.0

class Toy(bench.Detector):
    def fit(self, normal, run):
        {fit}
        self.centre = normal.astype(float).mean(axis=0)
        return self
    def anomaly_scores(self, images, run):
        {score}
        return np.abs(images - self.centre).mean(axis=(1, 2, 3)) ** self.config.power
    def state(self):
        return {{"centre": self.centre}}
    def load_state(self, state):
        self.centre = state["centre"]
        return self

@bench.hookimpl
def bench_detectors():
    return [bench.DetectorSpec(name="{name}", version="1", summary="distance to the mean image", citation="none",
            config=lambda: Config, load=lambda: Toy, presets={{"smoke": {{"image_size": 8}}}}, torch=False,
            stochastic={stochastic})]
"""


def toy_detector(name: str = "toy", fit: str = "pass", score: str = "pass", stochastic: bool = True) -> str:
    """Source of a plugin with one detector; ``fit`` and ``score`` are statements put into its methods."""
    return DETECTOR.format(name=name, fit=fit, score=score, stochastic=stochastic)


def write_image(path: Path, seed: int, bright: bool = False) -> None:
    """Write a small noisy JPEG; bright ones have a white square."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 120, (40, 48), dtype=np.uint8)
    if bright:
        pixels[10:25, 10:25] = 240
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def write_chest_data(data: Path) -> Path:
    """A small folder in the layout of the official chest X-ray download."""
    root = data / "chest_xray"
    for number in range(40):
        write_image(root / "train" / "NORMAL" / f"IM-{number:04d}-0001.jpeg", number)
    for number in range(4):
        write_image(root / "train" / "PNEUMONIA" / f"person{number}_virus_{number}.jpeg", 100 + number, bright=True)
    for number in range(12):
        write_image(root / "test" / "NORMAL" / f"NORMAL2-IM-{number:04d}-0001.jpeg", 200 + number)
        write_image(root / "test" / "PNEUMONIA" / f"person{number}_bacteria_{number}.jpeg", 300 + number, bright=True)
    return data


@pytest.fixture
def chest_data(tmp_path: Path) -> Path:
    return write_chest_data(tmp_path / "data")


@pytest.fixture
def run_toy(bench: Bench, chest_data: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one or more toy detectors on the small chest X-rays."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return bench("run", "--tasks", "chest-xray", "--data", str(chest_data), *arguments, **changes)

    return run


def shared_data() -> Path:
    """Folder of real images, or skip the test, saying so."""
    if not (SHARED_DATA / "chest_xray").is_dir():
        pytest.skip("needs real images: set BENCH_DATA to a folder with chest_xray/ and OCT2017/")
    return SHARED_DATA
