"""What the harness costs: start-up of commands, time until training starts, and what it adds to a cell's own time.

    python benchmarks/harness.py

Prints one table. Quote medians; other work on the machine widens the spread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7
PLAIN = """
import json, sys, time
from pathlib import Path
import numpy as np
from bench.contracts import RunContext
from bench.data.decode import open_images
from bench.registry import load_registry
from bench.torchkit import resolve_precision
name, fit, evaluate, scratch = sys.argv[1:]
spec = load_registry().detector(name).spec
run = RunContext(0, "cpu", Path(scratch), resolve_precision("cpu"))
detector = spec.load()(spec.config()())
images = np.array(open_images(Path(fit), detector.config.channels))
test = np.array(open_images(Path(evaluate), detector.config.channels))
started = time.perf_counter()
detector.fit(images, run)
detector.anomaly_scores(test, run)
print(time.perf_counter() - started)
"""


def seconds(*command: str) -> float:
    """Median wall seconds of a command."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])  # the first one warms the file cache


def until_training(arguments: list[str], cwd: Path) -> float:
    """Seconds from the start of ``bench run`` until a detector's fit is called."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *arguments], cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "fit begins" in line:
            break
    passed = time.perf_counter() - started
    process.communicate()
    return passed


def overhead(folder: Path, detector: str) -> tuple[float, float]:
    """Seconds of fit and scoring inside the harness, and of the same in a bare process; medians of three each."""
    inside, bare = [], []
    for _ in range(3):
        command = ["run", "--detectors", detector, "--tasks", "oct-phantom", "--device", "cpu", "--force"]
        subprocess.run([sys.executable, "-m", "bench", *command], cwd=folder, check=True, capture_output=True)
        (path,) = folder.glob(f"bench-runs/runs/oct-phantom/{detector}/*/record.json")
        cost = json.loads(path.read_text())["cost"]
        inside.append(cost["fit_seconds"] + cost["score_seconds"])
        (images,) = (Path(os.environ["BENCH_CACHE"]) / "images").glob("*/fit.npy")
        arguments = [detector, str(images), str(images.with_name("evaluate.npy")), str(folder)]
        done = subprocess.run([sys.executable, "-c", PLAIN, *arguments], check=True, capture_output=True, text=True)
        bare.append(float(done.stdout))
    return statistics.median(inside), statistics.median(bare)


def main() -> None:
    """Measure and print."""
    interpreter = seconds(sys.executable, "-c", "pass")
    print(f"bare interpreter             {interpreter:.3f} s")
    for words in (["--help"], ["list"]):
        print(f"bench {words[0]:22} {seconds(sys.executable, '-m', 'bench', *words) - interpreter:.3f} s over that")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BENCH_CACHE"] = str(folder / "cache")
        inside, bare = overhead(folder, "ganomaly")
        print(
            f"ganomaly on oct-phantom      {inside:.2f} s in the harness, {bare:.2f} s bare: {inside / bare - 1:+.1%}"
        )
        arguments = ["--detectors", "pca", "--tasks", "oct-phantom", "--force"]
        print(f"second run, until it trains  {until_training(arguments, folder):.2f} s (numpy detector)")
        arguments = ["--detectors", "ganomaly", "--preset", "smoke", "--tasks", "oct-phantom", "--force"]
        print(f"second run, until it trains  {until_training(arguments, folder):.2f} s (torch detector)")


if __name__ == "__main__":
    main()
