"""What SALAD finds of *synthetic* anomalies, made from normal images: what its configuration is chosen by.

No test image, no label and no real anomaly is looked at. Of the training normals of a task, a tenth is damaged in ten
ways (``synthetic.py``), another tenth stays clean, and the rest is learned from. Damage is done at 128 pixels, and all
images come to the configured size in the same way.

    python benchmarks/salad_proxy.py cxr-phantom steps=20
    python benchmarks/salad_proxy.py chest-xray --data DIR --seed 1 'pretext="transform"' 'score_terms=["ssim"]'
    python benchmarks/salad_proxy.py oct2017 --data DIR --detector salad-timm
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from synthetic import KINDS, SIDE, damaged

from bench import RunContext
from bench.cli.options import open_registry
from bench.cli.tasks import data_folder
from bench.contracts import Images
from bench.data.decode import open_images, prepare_images, squash
from bench.data.index import index_task
from bench.files import cache_folder
from bench.metrics import auroc
from bench.run.plan import read_changes
from bench.torchkit import resolve_device, resolve_precision
from salad_plugin import SALAD, SALAD_TIMM
from salad_plugin.config import SaladConfig
from salad_plugin.detector import SaladDetector

SPECS = {spec.name: spec for spec in (SALAD, SALAD_TIMM)}
SPLIT = 2021


@dataclass(frozen=True)
class Proxy:
    """Images of one size and number of channels, uint8 (n, s, s, c).

    Attributes:
        training: to learn from.
        clean: normal.
        spoilt: by kind of damage, the same images each time.

    """

    training: Images
    clean: Images
    spoilt: dict[str, Images]


def main() -> None:
    """Fit once, and print the AUROC of each term and of the score against each kind of damage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("fields", nargs="*", metavar="FIELD=VALUE")
    parser.add_argument("--data", type=Path, default=os.environ.get("BENCH_DATA"))
    parser.add_argument("--detector", choices=SPECS, default="salad")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_intermixed_args()
    config = configure(given.detector, given.fields)
    proxy = make_proxy(given.task, given.data, config)
    device = resolve_device("auto")
    with tempfile.TemporaryDirectory() as scratch:
        run = RunContext(given.seed, device, Path(scratch), resolve_precision(device))
        started = time.perf_counter()
        detector = SaladDetector(config).fit(proxy.training, run)
        seconds = time.perf_counter() - started
        found = evaluate(detector, proxy, run)
    sizes = f"{len(proxy.training)} to learn from, {len(proxy.clean)} clean and {len(proxy.spoilt['blur'])} damaged"
    print(
        f"{given.task}, {given.detector}, seed {given.seed}, {' '.join(given.fields) or 'default'}: {sizes}; ", end=""
    )
    print(f"fitted in {seconds:.0f} s\n\n| AUROC | mean | {' | '.join(KINDS)} |\n|{'---|' * (len(KINDS) + 2)}")
    for name, values in found.items():
        numbers = " | ".join(f"{value:.3f}" for value in (np.mean(values), *values))
        print(f"| {name} | {numbers} |")


def configure(detector: str, fields: list[str]) -> SaladConfig:
    """Read FIELD=VALUE as ``bench run --set`` does."""
    changes = read_changes("default", None, None, [f"{detector}.{field}" for field in fields])
    config: Any = SPECS[detector].config().model_validate(changes.values.get(detector, {}))
    assert isinstance(config, SaladConfig)
    return config


def make_proxy(task: str, data: Path | None, config: SaladConfig) -> Proxy:
    """Split a task's fit normals, and damage a part of them."""
    spec, cache = open_registry(None).task(task).spec, cache_folder()
    manifest = index_task(spec, data_folder(spec, task, data, cache), cache)
    side = max(SIDE, config.image_size)  # nothing is enlarged
    normal = np.array(open_images(prepare_images(spec, manifest, side, cache).fit, 1)[..., 0])
    order, tenth = np.random.default_rng(SPLIT).permutation(len(normal)), len(normal) // 10
    clean, spoilt, training = order[:tenth], order[tenth : 2 * tenth], order[2 * tenth :]
    made: dict[str, Images] = {}
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng([7, number])
        # Another image is drawn first, whatever the kind makes of it.
        images = [damaged(normal[i], normal[rng.choice(training)], kind, "OCT" in spec.modality, rng) for i in spoilt]
        made[kind] = resized(np.rint(np.stack(images)).astype(np.uint8), config)
    return Proxy(resized(normal[training], config), resized(normal[clean], config), made)


def resized(images: NDArray[np.uint8], config: SaladConfig) -> Images:
    """Bring uint8 (n, s, s) to the configured size and number of channels, as the harness decodes."""
    if images.shape[1] != config.image_size:
        images = np.stack([squash(Image.fromarray(image), config.image_size) for image in images])
    return np.broadcast_to(images[..., None], (*images.shape, config.channels))


def evaluate(detector: SaladDetector, proxy: Proxy, run: RunContext) -> dict[str, list[float]]:
    """AUROC of each term and of the score, for each kind of damage."""
    reference = terms(detector, proxy.clean, run)
    found: dict[str, list[float]] = {name: [] for name in reference}
    for images in proxy.spoilt.values():
        for name, scores in terms(detector, images, run).items():
            labels = np.repeat([0, 1], [len(reference[name]), len(scores)]).astype(np.int8)
            found[name].append(auroc(labels, np.concatenate([reference[name], scores])))
    return found


def terms(detector: SaladDetector, images: Images, run: RunContext) -> dict[str, NDArray[np.float64]]:
    """Each term of each image, a number that rises with abnormality, and the score."""
    learned = detector._learned
    assert learned is not None
    measured = detector._measured(learned.networks, images, run)
    gaussians = learned.normality.gaussians
    alone = {name: gaussians[name].distance(of) if name in gaussians else of for name, of in measured.items()}
    return {**alone, "score": learned.normality.surprise(measured).sum(axis=1)}


if __name__ == "__main__":
    main()
