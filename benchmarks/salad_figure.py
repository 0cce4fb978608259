"""What SALAD sees: drawn images with and without a lesion, what it makes of them, and its anomaly maps.

    python benchmarks/salad_figure.py salad_plugin/figure.jpg

Fits the default configuration on each of the two phantom tasks (a few minutes on two cores). Images of real tasks are
not shown, so that the picture can be published with the project.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.cli.options import open_registry
from bench.cli.tasks import data_folder
from bench.contracts import RunContext
from bench.data.decode import open_images, prepare_images
from bench.data.index import index_task
from bench.files import cache_folder
from bench.torchkit import autocast, resolve_precision, to_tensor
from salad_plugin.config import SaladConfig
from salad_plugin.detector import SaladDetector

TASKS = ("cxr-phantom", "oct-phantom")
TITLES = ("input x", "translated x̂", "anomaly map", "lesion drawn")


def examples(task: str, config: SaladConfig) -> tuple[list[str], list[list[NDArray[np.float32]]], float]:
    """Fit on a task; return the classes shown, four pictures (s, s) of each, and the top of the map's colours."""
    spec = open_registry(None).task(task).spec
    cache = cache_folder()
    manifest = index_task(spec, data_folder(spec, task, None, cache), cache)
    maps = prepare_images(spec, manifest, config.image_size, cache)
    images = np.array(open_images(maps.evaluate, config.channels))
    entries = manifest.of_role("tune", "test")
    with tempfile.TemporaryDirectory() as scratch:
        run = RunContext(0, "cpu", Path(scratch), resolve_precision("cpu"))
        detector = SaladDetector(config).fit(open_images(maps.fit, config.channels), run)
        places = [
            next(i for i, entry in enumerate(entries) if entry.role == "test" and entry.category == category)
            for category in sorted({entry.category for entry in entries}, key=lambda name: (name != "NORMAL", name))
        ]
        chosen = images[places]
        drawn = list(detector.anomaly_maps(chosen, run))
        tuned = np.stack(list(detector.anomaly_maps(images[[e.role == "tune" for e in entries]], run)))
        translated = _translated(detector, chosen, run)
    pictures: list[list[NDArray[np.float32]]] = [
        [
            chosen[row, ..., 0].astype(np.float32),
            translated[row],
            drawn[row],
            _mask(entries[place].mask_path, config.image_size),
        ]
        for row, place in enumerate(places)
    ]
    return [entries[place].category.lower() for place in places], pictures, float(np.quantile(tuned.max((1, 2)), 0.95))


def _translated(detector: SaladDetector, images: NDArray[np.uint8], run: RunContext) -> NDArray[np.float32]:
    learned = detector._learned
    assert learned is not None
    networks = learned.networks.on(run)
    with torch.inference_mode(), autocast(run):
        z, _ = networks.encoder(to_tensor(images, run.device))
        translated: NDArray[np.float32] = networks.decoder(z).float()[:, 0].numpy()
    return translated


def _mask(path: Path | None, size: int) -> NDArray[np.float32]:
    if path is None:
        return np.zeros((size, size), np.float32)
    with Image.open(path) as mask:
        return np.asarray(mask.convert("L").resize((size, size)), np.float32)


def main(target: Path) -> None:
    """Draw both tasks side by side."""
    shown = [examples(task, SaladConfig()) for task in TASKS]
    rows = max(len(names) for names, _, _ in shown)
    figure, axes = plt.subplots(rows, 8, figsize=(13, 1.75 * rows), squeeze=False)
    for number, (names, pictures, top) in enumerate(shown):
        for row in range(rows):
            for column in range(4):
                panel = axes[row, 4 * number + column]
                panel.set_xticks([])
                panel.set_yticks([])
                if row >= len(names):
                    panel.axis("off")
                    continue
                limits = {"cmap": "magma", "vmin": 0, "vmax": top} if column == 2 else {"cmap": "gray"}
                panel.imshow(pictures[row][column], **limits)
                if row == 0:
                    panel.set_title(TITLES[column], fontsize=9)
                if column == 0:
                    panel.set_ylabel(names[row], fontsize=9)
    figure.suptitle("SALAD on drawn chest X-rays (left) and drawn OCT scans (right); nothing here is a patient")
    figure.tight_layout()
    figure.savefig(target, dpi=110, pil_kwargs={"quality": 90})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
