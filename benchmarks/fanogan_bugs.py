"""What do published f-AnoGAN figures (AUROC 0.755 on chest X-rays, by SQUID) owe to training and to test labels?

**An oracle experiment**, as ``ganomaly_bugs.py``: it looks at test labels while the encoder learns, which no detector
here may do. Nothing is tuned, chosen or changed by what it prints; its figures explain others and are none of the
leaderboard's.

The GAN is trained four times as long as by default, the encoder five times, at the default's width (eight times that
and ten times as long again, as published, would take days on two cores). As the encoder learns, the same weights score
the test images in three ways: with batch norm in evaluation mode, as the released code and this repository's detector
do; and, as whoever forgets that mode does, with the statistics of each batch of 64 test images, in the data set's order
(all normals before all anomalies) and shuffled.

    python benchmarks/fanogan_bugs.py chest-xray --data DIR --csv steps.csv
    python benchmarks/fanogan_bugs.py cxr-phantom --gan-steps 3 --encoder-steps 20 --every 10 --seeds 0
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ganomaly_bugs import WAYS, load, spread

from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.train import Networks, reconstruction_error, train
from bench import RunContext
from bench.metrics import auroc
from bench.torchkit import isolated_seed, resolve_precision, to_tensor

BATCH = 64


def main() -> None:
    """Train every seed and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BENCH_DATA", ".")))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--gan-steps", type=int, default=1200)
    parser.add_argument("--encoder-steps", type=int, default=5000)
    parser.add_argument("--every", type=int, default=500, help="encoder steps between looks, a multiple of ten")
    parser.add_argument("--csv", type=Path, help="where to write the AUROC of every look")
    given = parser.parse_args()
    if given.every % 10 or given.encoder_steps % given.every:
        parser.error("--every must be a multiple of ten that divides --encoder-steps")
    config = FanoganConfig(gan_steps=given.gan_steps, encoder_steps=given.encoder_steps)
    data = load(given.task, given.data, config.image_size)
    found = pd.DataFrame([row for seed in given.seeds for row in looks(config, *data, seed, given.every)])
    if given.csv:
        found.to_csv(given.csv, index=False)
    print(f"{given.task}: {config.gan_steps} steps of the generator, {config.encoder_steps} of the encoder, ", end="")
    print(f"seeds {given.seeds}. An oracle experiment: see the docstring.\n")
    print("| batch norm on test images | first look | last look | best look on test |\n|---|---|---|---|")
    for way in WAYS:
        of_seeds = found.groupby("seed")[way]
        cells = (spread(list(values)) for values in (of_seeds.first(), of_seeds.last(), of_seeds.max()))
        print(f"| {way} | {' | '.join(cells)} |")


def looks(
    config: FanoganConfig, normal: np.ndarray, images: np.ndarray, labels: np.ndarray, seed: int, every: int
) -> list[dict[str, float]]:
    """Train one seed, and return the three test AUROCs as they were after every so many steps of the encoder."""
    rows: list[dict[str, float]] = []
    shuffled = np.random.default_rng(seed).permutation(len(images))

    def look(phase: str, done: int, total: int, **scalars: float) -> None:  # noqa: ARG001  (named by the protocol)
        if phase == "encoder" and done % every == 0:
            values = {
                "eval": auroc(labels, scores(config, networks, images, run, training=False)),
                "sorted": auroc(labels, scores(config, networks, images, run, training=True)),
                "shuffled": auroc(labels[shuffled], scores(config, networks, images[shuffled], run, training=True)),
            }
            rows.append({"seed": seed, "step": done, "loss": scalars["loss"], **values})
            print(rows[-1], file=sys.stderr, flush=True)

    run = RunContext(seed, "cpu", Path(), resolve_precision("cpu"), look)
    with isolated_seed(seed) as draws:
        networks = Networks.build(config, "cpu")
        train(config, networks, normal, run, draws)
    return rows


def scores(
    config: FanoganConfig, networks: Networks, images: np.ndarray, run: RunContext, training: bool
) -> np.ndarray:
    """Score in batches as they come, the last one smaller; the networks stay as they are."""
    judge = copy.deepcopy(networks)  # a pass in training mode moves running statistics
    for module in judge.named().values():
        module.train(training)
    with torch.no_grad():
        batches = (to_tensor(images[start : start + BATCH], "cpu") for start in range(0, len(images), BATCH))
        return np.concatenate([reconstruction_error(config, judge, x, run).double().numpy() for x in batches])


if __name__ == "__main__":
    main()
