"""Which pretext task and score terms of SALAD find *synthetic* anomalies, made from normal images only?

No test image and no real anomaly is looked at. From the training normals of a task, a fifth is kept back; half of that
is damaged (a patch of another image blended in, a blurred patch, a patch brightened or darkened), half stays as it is.

    python benchmarks/salad_proxy.py DATA [chest-xray|oct2017] [FIELD=VALUE …]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.cli.options import open_registry
from bench.contracts import RunContext
from bench.data.decode import open_images, prepare_images
from bench.data.index import index_task
from bench.files import cache_folder
from bench.metrics import auroc
from bench.run.plan import _parse
from salad_plugin.config import SaladConfig
from salad_plugin.detector import SaladDetector

KINDS = ("paste", "blur", "brightness")


def damage(
    image: NDArray[np.uint8], other: NDArray[np.uint8], kind: str, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Damage one image (h, w, 1) inside a soft elliptic window."""
    size = image.shape[0]
    centre = rng.uniform(0.3, 0.7, 2) * size
    radii = rng.uniform(0.1, 0.22, 2) * size
    rows, columns = np.indices((size, size))
    distance = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2
    weight = np.clip(1.5 - distance, 0, 1)
    pixels = image[..., 0].astype(float)
    if kind == "paste":
        changed = np.roll(other[..., 0], rng.integers(size, size=2), (0, 1)).astype(float)
    elif kind == "blur":
        changed = gaussian_filter(pixels, 2.5)
    else:
        changed = pixels + rng.choice([-1, 1]) * rng.uniform(25, 45)
    return np.clip(pixels * (1 - weight) + changed * weight, 0, 255).astype(np.uint8)[..., None]


def main(data: Path, task: str, fields: dict[str, object]) -> None:
    """Fit once, and print the AUROC of each term against each kind of damage."""
    config = SaladConfig.model_validate(fields)
    spec = open_registry(None).task(task).spec
    manifest = index_task(spec, data, cache_folder())
    maps = prepare_images(spec, manifest, config.image_size, cache_folder())
    normal = np.array(open_images(maps.fit, config.channels))
    rng = np.random.default_rng(2021)
    order = rng.permutation(len(normal))
    kept = len(normal) // 5
    clean, spoilt, training = order[: kept // 2], order[kept // 2 : kept], order[kept:]
    with tempfile.TemporaryDirectory() as scratch:
        from bench.torchkit import resolve_precision

        run = RunContext(0, "cpu", Path(scratch), resolve_precision("cpu"))
        detector = SaladDetector(config).fit(normal[training], run)
        learned = detector._learned
        assert learned is not None

        def terms(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
            raw = learned.standardiser(detector._terms(learned.networks, learned.center, images, run))
            columns = np.array(detector._columns())
            found = {term: raw[:, columns == term].mean(axis=1) for term in config.terms}
            return {**found, "sum": detector._combine(raw)}

        reference = terms(normal[clean])
        print(f"{task} {fields or 'default'}: AUROC on synthetic anomalies, {len(clean)} normals against {len(spoilt)}")
        for kind in KINDS:
            images = [damage(normal[i], normal[rng.choice(training)], kind, rng) for i in spoilt]
            scores = terms(np.stack(images))
            labels = np.r_[np.zeros(len(clean)), np.ones(len(spoilt))].astype(np.int8)
            values = {name: auroc(labels, np.r_[reference[name], scores[name]]) for name in scores}
            print(f"  {kind:10}", "  ".join(f"{name} {value:.3f}" for name, value in values.items()), flush=True)


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[3:])
    main(Path(sys.argv[1]), sys.argv[2], {name: _parse(value) for name, value in given.items()})
