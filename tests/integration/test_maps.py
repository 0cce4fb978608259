"""Anomaly maps on their way through real processes: right ones become pixels.npz, bad ones cost their own cell."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from bench.metrics.pixels import pixel_values
from bench.results.pixels import open_pixels
from tests.conftest import Bench
from tests.integration.test_sandbox import needs_sandbox

SIDE = 16
PLUGIN = """
import os
import numpy as np
import bench

class Config(bench.DetectorConfig):
    image_size: int = {side}

class Good(bench.Detector):
    def fit(self, normal, run):
        return self
    def anomaly_scores(self, images, run):
        return images.astype(float).max(axis=(1, 2, 3))
    def anomaly_maps(self, images, run):
        for image in images:
            yield image[:, :, 0].astype(np.float32) / 4
    def state(self):
        return {{}}
    def load_state(self, state):
        return self

{classes}

@bench.hookimpl
def bench_detectors():
    return [bench.DetectorSpec(name=name, version="1", summary="the image itself", citation="none",
            config=lambda: Config, load=lambda c=c: c, presets={{"smoke": {{}}}}, torch=False, stochastic=False,
            maps=name != "without") for name, c in [("good", Good), ("without", Good), {pairs}]]
"""
TASK = """
[task]
name = "tiny"
version = "1"
modality = "none"
[images]
csv = "tiny.csv"
[columns]
path = "file"
label = "label"
mask = "mask"
[labels]
normal = ["0"]
[split]
rule = "column"
column = "role"
fit = ["fit"]
test = ["test"]
"""
BAD = {
    "wrong-shape": ("return (one[:-1] for one in super().anomaly_maps(images, run))", "(15, 16); expected float32"),
    "wrong-type": ("return (one.astype(float) for one in super().anomaly_maps(images, run))", "map 0 is float64"),
    "not-finite": ("return (one / 0 for one in super().anomaly_maps(images, run))", "not finite"),
    "too-few": ("return super().anomaly_maps(images[1:], run)", "maps for"),
    "too-many": ("return [*super().anomaly_maps(images, run)] * 2", "more than"),
    "none-at-all": ("return None", "NoneType, not an iterator"),
    "no-arrays": ("return [[1.0]]", "list as map 0"),
    "raises": ("raise ValueError('no maps today')", "ValueError: no maps today"),
    "full-disk": (
        "os.symlink('/dev/full', run.scratch.parent / 'maps.f32') if not (run.scratch.parent / 'maps.f32').exists() "
        "else os.truncate(run.scratch.parent / 'maps.f32', 0)",
        "the disk is full",
    ),
    "tamper": (
        "yield from super().anomaly_maps(images, run); open(run.scratch.parent / 'maps.f32', 'ab').write(b'x')",
        "is not a file of",
    ),
    "infinite-later": (
        "yield from super().anomaly_maps(images, run); "
        "open(run.scratch.parent / 'maps.f32', 'r+b').write(np.float32(np.inf).tobytes())",
        "the maps cannot be used",
    ),
}


def add_plugin(bench: Bench, kinds: tuple[str, ...]) -> None:
    classes = [
        f"class C{number}(Good):\n    def {'fit' if kind == 'full-disk' else 'anomaly_maps'}(self, images, run):\n"
        f"        {BAD[kind][0]}\n" + ("        return self\n" if kind == "full-disk" else "")
        for number, kind in enumerate(kinds)
    ]
    pairs = "".join(f'("{kind}", C{number}), ' for number, kind in enumerate(kinds))
    bench.add_plugin("mapped", PLUGIN.format(side=SIDE, classes="\n".join(classes), pairs=pairs))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A task of 16 × 16 noise; anomalous images have brighter squares, and all but one of them a mask."""
    folder = tmp_path / "tiny"
    (folder / "masks").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = ["file,label,role,mask"]
    for role, label, number in (("fit", 0, 60), ("test", 0, 8), ("test", 1, 9)):
        for index in range(number):
            pixels, mask = random.integers(0, 200, (SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
            name, where = f"{role}-{label}-{index}.png", ""
            if label:
                row, column = random.integers(0, 10, 2)
                mask[row : row + 4, column : column + 5] = 255
                mask[-1, -1] = 1
                pixels[mask > 0] += 55
                if index:
                    where = f"masks/{name}"
                    Image.fromarray(mask).save(folder / where)
            Image.fromarray(pixels).save(folder / name)
            rows.append(f"{name},{label},{role},{where}")
    (folder / "tiny.csv").write_text("\n".join(rows))
    (folder / "tiny.toml").write_text(TASK)
    return folder


def check_good(bench: Bench, data: Path) -> None:
    """pixels.npz must say of the images, which are their own maps, what the images say."""
    (path,) = bench.results.glob("runs/tiny/good/*/pixels.npz")
    table = pd.read_parquet(path.with_name("scores.parquet"))
    test = table[table["role"] == "test"].sort_values("image_id")
    tune = int((table["role"] == "tune").sum())
    counts = open_pixels(path, list(test["image_id"]), test["label"].to_numpy(np.int8), tune)
    inside, outside = [], []
    for image in sorted(data.glob("test-*.png")):
        pixels = np.asarray(Image.open(image))
        mask = data / "masks" / image.name
        if mask.exists():
            inside.append(pixels[np.asarray(Image.open(mask)) > 0])
            outside.append(pixels[np.asarray(Image.open(mask)) == 0])
        elif "-0-" in image.name:
            outside.append(pixels.ravel())
    values = np.concatenate([*inside, *outside])
    labels = np.arange(len(values)) < sum(map(len, inside))
    assert pixel_values(counts)["pixel_auroc"] == pytest.approx(roc_auc_score(labels, values), abs=2e-3)
    blocks = list(counts.blocks)
    assert sum(int(block.lesions.sum()) for block in blocks) == 16
    assert sum(int(block.outside.sum()) for block in blocks) == sum(map(len, outside))
    record = json.loads(path.with_name("record.json").read_text())
    assert [file["path"] for file in record["files"]] == ["scores.parquet", "pixels.npz"]


def test_maps_become_counts_and_bad_ones_cost_their_cell(bench: Bench, data: Path) -> None:
    add_plugin(bench, tuple(BAD))
    names = ",".join(["good", "without", *BAD])
    done = bench("run", "--detectors", names, "--tasks", str(data / "tiny.toml"), "--jobs", "2", "--json")
    assert done.returncode == 1, done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    for kind, (_, reason) in BAD.items():
        assert rows[kind]["status"] == "failed", (kind, rows[kind], done.stderr)
        assert reason in rows[kind]["reason"], (kind, rows[kind])
    assert rows["good"]["status"] == rows["without"]["status"] == "ok"
    assert not list(bench.results.glob("runs/tiny/without/*/pixels.npz"))
    check_good(bench, data)


@needs_sandbox
def test_maps_from_the_sandbox_are_right_too(bench: Bench, data: Path) -> None:
    add_plugin(bench, ("too-few",))
    command = ("run", "--tasks", str(data / "tiny.toml"), "--json", "--sandbox", "--jobs", "2")
    done = bench(*command, "--detectors", "good,too-few")
    assert done.returncode == 1, done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    assert BAD["too-few"][1] in rows["too-few"]["reason"], rows
    check_good(bench, data)
