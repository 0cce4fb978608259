"""What listing and decoding cost, beside what the decoder alone needs.

    python benchmarks/data.py listing            # a task of 100,000 images: first time, and every time after
    python benchmarks/data.py decoding --data DIR --size 64

The decoder alone is Pillow in as many threads: read, decode to grey, resize; nothing is hashed, checked or written.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import joblib
import numpy as np
from PIL import Image

from bench.contracts import ImageFile, TaskSpec
from bench.data.decode import prepare_images
from bench.data.index import index_task, list_files
from bench.data.sets.kermany import CHEST_XRAY, OCT2017
from bench.registry import load_registry
from bench.run.plan import Changes, TaskImages, choose_variants, make_cells

ROUNDS = 5


def listing(count: int) -> None:
    """Index a task of many small files; plan a run of every detector on it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        root.mkdir()
        for number in range(count):
            (root / f"{number}.png").write_bytes(b"%d" % number)

        def build(data: Path) -> list[ImageFile]:
            with os.scandir(data) as found:
                numbers = [int(entry.name[:-4]) for entry in found]
            return [
                ImageFile(data / f"{n}.png", n % 2 if n < 1000 else 0, "X", f"p{n // 3}", "test" if n < 1000 else "fit")  # type: ignore[arg-type]
                for n in numbers
            ]

        spec = TaskSpec("many", "1", "toy", "none", "none", "none", "patient", "none", build)
        cache = Path(folder, "cache")
        first = timed(lambda: index_task(spec, root, cache))
        registry = load_registry()

        def plan() -> None:
            manifest = index_task(spec, root, cache)
            make_cells(
                choose_variants(registry, sorted(registry.detectors), Changes()), [TaskImages(spec, manifest)], 3
            )

        again = median(timed(plan) for _ in range(ROUNDS))
        print(f"{count:,} images: first listing with hashes {first:.1f} s; listed and planned again {again:.2f} s")


def decoding(data: Path, size: int) -> None:
    """Decode a set for the harness and with Pillow alone, in turns."""
    for spec in (CHEST_XRAY, OCT2017):
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder)
            manifest = index_task(spec, data, cache)
            paths = [entry.path for entry in manifest.of_role("fit", "tune", "test")]

            def alone(paths: list[Path] = paths) -> None:
                with ThreadPoolExecutor(joblib.cpu_count()) as threads:
                    list(threads.map(lambda path: bare(path, size), paths, chunksize=1))

            def ours(spec: TaskSpec = spec, cache: Path = cache, manifest: object = manifest) -> None:
                shutil.rmtree(cache / "images", ignore_errors=True)
                prepare_images(spec, manifest, size, cache)  # type: ignore[arg-type]

            list_files(spec, data)
            times = [(timed(alone), timed(ours)) for _ in range(ROUNDS)]
            ratio = median(mine / theirs for theirs, mine in times)
            pillow, mine = (len(paths) / median(column) for column in zip(*times, strict=True))
            print(
                f"{spec.name}, {len(paths):,} JPEGs to {size} px on {joblib.cpu_count()} cores: {mine:,.0f} images/s; "
                f"Pillow alone {pillow:,.0f} images/s; time ratio {ratio:.2f}"
            )


def bare(path: Path, size: int) -> None:
    """Read, decode, resize."""
    with Image.open(path) as image:
        np.asarray(image.convert("L").resize((size, size), Image.Resampling.BILINEAR))


def timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Do what the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("listing", "decoding"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    if options.what == "listing":
        listing(options.count)
    elif options.data is None:
        parser.error("--data is needed")
    else:
        decoding(options.data.resolve(), options.size)


if __name__ == "__main__":
    main()
