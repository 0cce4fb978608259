"""What do published GANomaly figures (AUROC 0.780 on chest X-rays, by SQUID) owe to known bugs of the released code?

**An oracle experiment.** It looks at test labels after every epoch, which no detector here may do: that is one of the
bugs in question. Nothing is tuned, chosen or changed by what it prints; its figures explain others and are none of the
leaderboard's.

The released code never puts its networks into evaluation mode, so that a test image is normalised with the statistics
of its batch, and reports the epoch with the best *test* AUROC. GANomaly is trained as released (32 px, width 64,
15 epochs, Adam 2e-4, batches of 64), and after each epoch the same weights score the test images in three ways:

* ``eval``: batch norm in evaluation mode, as this repository's detector does;
* ``sorted``: batch norm in training mode on batches of 64 in the data set's order, all normals before all anomalies;
* ``shuffled``: the same on shuffled batches.

Each is reported for the last epoch and for the best on test: mean ± standard deviation over the seeds.

    python benchmarks/ganomaly_bugs.py chest-xray --data DIR --csv epochs.csv
    python benchmarks/ganomaly_bugs.py cxr-phantom --epochs 1 --seeds 0
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd
import torch

from baselines.ganomaly import SPEC, train
from baselines.ganomaly.config import GanomalyConfig
from baselines.ganomaly.losses import anomaly_score
from baselines.ganomaly.networks import Generator, build
from bench import RunContext
from bench.cli.options import open_registry
from bench.data.decode import open_images, prepare_images
from bench.data.index import index_task
from bench.files import cache_folder
from bench.metrics import auroc
from bench.torchkit import BatchStream, autocast, dcgan_initialise, isolated_seed, resolve_precision, to_tensor

WAYS = ("eval", "sorted", "shuffled")


def main() -> None:
    """Train every seed and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BENCH_DATA", ".")))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default=resolve_precision("cpu"))
    parser.add_argument("--csv", type=Path, help="where to write the AUROC of every epoch")
    given = parser.parse_args()
    config = GanomalyConfig.model_validate({**SPEC.presets["paper"], "epochs": given.epochs})
    normal, images, labels = load(given.task, given.data, config.image_size)
    rows = []
    for seed in given.seeds:
        for epoch, values in enumerate(epochs(config, normal, images, labels, seed, given.precision), 1):
            rows.append({"seed": seed, "epoch": epoch, **values})
            print(rows[-1], file=sys.stderr, flush=True)
    found = pd.DataFrame(rows)
    if given.csv:
        found.to_csv(given.csv, index=False)
    anomalous = int(labels.sum())
    print(f"{given.task}: {len(normal)} normals to learn from, {len(labels) - anomalous} + {anomalous} test images,")
    print(f"{given.epochs} epochs, seeds {given.seeds}, {given.precision}. An oracle experiment: see the docstring.\n")
    print("| batch norm on test images | last epoch | best epoch on test |\n|---|---|---|")
    for way in WAYS:
        of_seeds = found.groupby("seed")[way]
        print(f"| {way} | {spread(list(of_seeds.last()))} | {spread(list(of_seeds.max()))} |")


def load(task: str, data: Path, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit images, and test images with labels in the data set's order: by class, then by file name."""
    spec = open_registry(None).task(task).spec
    manifest = index_task(spec, data, cache_folder())
    maps = prepare_images(spec, manifest, size, cache_folder())
    entries = manifest.of_role("tune", "test")
    tested = [place for place, entry in enumerate(entries) if entry.role == "test"]
    tested.sort(key=lambda place: (entries[place].label, str(entries[place].path), entries[place].member or ("", 0)))
    images = np.array(open_images(maps.evaluate, 1))[tested]
    labels = np.array([entries[place].label for place in tested], np.int8)
    return np.array(open_images(maps.fit, 1)), images, labels


def epochs(
    config: GanomalyConfig, normal: np.ndarray, images: np.ndarray, labels: np.ndarray, seed: int, precision: str
) -> Iterator[dict[str, float]]:
    """Train one seed, and yield the three test AUROCs after each epoch."""
    run = RunContext(seed, "cpu", Path(), precision)  # type: ignore[arg-type]
    shuffled = np.random.default_rng(seed).permutation(len(images))
    with isolated_seed(seed) as shuffle:
        generator, discriminator = build(config, "cpu")
        of_generator, of_discriminator = train._adam(generator, config), train._adam(discriminator, config)
        stream = BatchStream(normal, config.batch_size, shuffle, "cpu")
        for _ in range(config.epochs):
            for _ in range(stream.batches_per_epoch):
                mine, theirs = train.steps(config, generator, discriminator, stream.next(), run)
                train._differentiate(mine.total, generator, retain=True)
                train._differentiate(theirs.total, discriminator)
                of_generator.step()
                of_discriminator.step()
                if theirs.total.item() < train.RESTART_BELOW:
                    discriminator.apply(dcgan_initialise)
            yield {
                "eval": auroc(labels, scores(generator, images, config, run, training=False)),
                "sorted": auroc(labels, scores(generator, images, config, run, training=True)),
                "shuffled": auroc(labels[shuffled], scores(generator, images[shuffled], config, run, training=True)),
            }


def scores(
    generator: Generator, images: np.ndarray, config: GanomalyConfig, run: RunContext, training: bool
) -> np.ndarray:
    """Score in batches as they come, the last one smaller, as released; the generator stays as it is."""
    found = []
    judge = copy.deepcopy(generator).train(training)  # a pass in training mode moves running statistics
    with torch.no_grad(), autocast(run):
        for start in range(0, len(images), config.batch_size):
            _, z, again = judge(to_tensor(images[start : start + config.batch_size], "cpu"))
            found.append(anomaly_score(z, again).double().numpy())
    return np.concatenate(found)


def spread(values: list[float]) -> str:
    """Mean ± standard deviation."""
    return f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


if __name__ == "__main__":
    main()
