"""``bench predict`` as a user meets it: the README's example, the run's own scores again, heat maps, and refusals.

Commands run in this process, since starting one takes longer than most of them do; detectors have their own.
"""

import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.registry import load_registry
from bench.run.learned import open_learned
from bench.run.predict import Scorer, predict
from tests.conftest import ROOT, Bench, write_image
from tests.inside import Place


def image_id(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The README's example, word for word, with phantoms as PNG files in the folder ``scans``."""
    place = Place(tmp_path_factory.mktemp("predict"))
    block = re.search(r"<!-- predict -->\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert block is not None
    learn, predict = (line.split() for line in block.group(1).splitlines())
    done = place(*learn[1:])
    assert done.returncode == 0, done.stderr
    assert re.search(r"to score new images: bench predict \w{16} IMAGES", done.stderr)
    for number, path in enumerate(sorted(place.folder.glob("cache/phantoms/*/test/*/*.pgm"))[::9]):
        (place.folder / "scans" / path.parent.name).mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.save(place.folder / "scans" / path.parent.name / f"{number}.png")
    done = place(*predict[1:])
    assert done.returncode == 0, done.stderr
    assert "not a medical device" in done.stderr
    assert f"{len(place.rows())} image(s) scored by pca of oct-phantom, seed 0: scores.csv" in done.stdout
    return place


def test_the_readmes_example_gives_the_columns_that_it_names(phantoms: Place) -> None:
    files = sorted(str(path.relative_to(phantoms.folder)) for path in phantoms.folder.glob("scans/*/*.png"))
    table = pd.read_csv(phantoms.folder / "scores.csv")
    assert list(table.columns) == ["image", "score", "percentile", "threshold", "flagged"]
    assert sorted(table["image"]) == files
    run = pd.read_parquet(phantoms.record("pca") / "scores.parquet")
    tune = run.loc[run["role"] == "tune", "score"].to_numpy()
    expected = [np.mean(tune < score) + np.mean(tune == score) / 2 for score in table["score"]]
    assert table["percentile"].to_numpy() == pytest.approx(expected)
    (threshold,) = set(table["threshold"])
    assert np.mean(tune <= threshold) >= 0.95 > np.mean(tune < threshold)
    assert table["flagged"].tolist() == (table["score"] > threshold).tolist()
    assert table["flagged"].nunique() == 2
    # The pixels are the phantoms', so the scores are too, though no file is.
    assert set(table["score"]) <= set(run["score"])


@pytest.mark.parametrize("size", ["7", "256"])
def test_scores_of_the_same_files_are_those_of_the_run_to_the_last_bit(phantoms: Place, size: str) -> None:
    cell, expected = phantoms.record("pca").name, phantoms.run_scores("pca")
    done = phantoms("predict", cell[:8], "cache/phantoms", "--out", "again.csv", "--batch-size", size)
    assert done.returncode == 0, done.stderr
    found = {image_id(phantoms.folder / row["image"]): float(row["score"]) for row in phantoms.rows("again.csv")}
    assert {name: found[name] for name in expected} == expected
    assert len(set(expected.values())) > 200


def test_so_are_those_of_a_network_whatever_the_blocks(tmp_path: Path, chest_data: Path) -> None:
    place = Place(tmp_path)
    words = (
        "run --detectors ganomaly --preset smoke --set ganomaly.epochs=1 --tasks chest-xray --data data --keep-state"
    )
    done = place(*words.split())
    assert done.returncode == 0, done.stderr
    expected = place.run_scores("ganomaly")
    files = [path for path in sorted(chest_data.rglob("*.jpeg")) if image_id(path) in expected]
    assert len(files) == len(set(expected.values())) > 24
    with Scorer(open_learned(place.record("ganomaly"), load_registry()), None, maps=False) as scorer:
        for size in (5, 1000):
            scored = predict(scorer, files, tmp_path, size)
            assert [one.score for one in scored] == [expected[image_id(path)] for path in files], size


def test_another_specificity_moves_the_threshold(phantoms: Place) -> None:
    done = phantoms("predict", "bench-runs/runs/oct-phantom", "scans", "--out", "half.csv", "--specificity", "0.5")
    half, usual = phantoms.rows("half.csv"), phantoms.rows()
    assert [row["score"] for row in half] == [row["score"] for row in usual]
    assert float(half[0]["threshold"]) < float(usual[0]["threshold"])
    flagged = sum(row["flagged"] == "true" for row in half)
    assert flagged > sum(row["flagged"] == "true" for row in usual)
    assert re.search(rf"^{flagged} above .* 0\.5 of \d+ held-out normals", done.stdout, re.M)


def test_unreadable_files_keep_their_row_and_are_named_at_the_end(phantoms: Place) -> None:
    folder = phantoms.folder / "mixed"
    write_image(folder / "a.png", 1)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:300])
    (folder / "c.txt").write_text("not meant as an image")
    write_image(folder / "d.png", 2)
    done = phantoms("predict", "bench-runs/runs/oct-phantom", "mixed", "--out", "mixed.csv")
    assert done.returncode == 3
    assert [(row["image"], row["score"] == "") for row in phantoms.rows("mixed.csv")] == [
        ("mixed/a.png", False), ("mixed/b.png", True), ("mixed/d.png", False),
    ]  # fmt: skip
    assert "2 image(s) scored" in done.stdout
    assert re.search(r"1 image\(s\) cannot be read:\n  mixed/b\.png: \w+", done.stderr)
    assert "note: 1 other file(s) left out, such as mixed/c.txt" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("nonsense", "scans", "--out", "x.csv"), 2, "no record 'nonsense'"),
        (("RUN", "nowhere", "--out", "x.csv"), 2, "there is no nowhere"),
        (("RUN", "scans", "--out", "scans"), 2, "scans"),
        (("RUN", "scans", "--out", "x.csv", "--maps", "m"), 2, "'pca' draws no anomaly maps; those that do: ae"),
        (("RUN", "scans", "--out", "x.csv", "--maps", "scans"), 2, "scans is not empty"),
        (("RUN", "scans", "--out", "new/x.csv", "--maps", "new"), 2, "lies in the folder of --maps"),
        (("RUN", "scans", "--out", "x.csv", "--device", "gpu"), 2, "choose auto, cpu"),
        (("RUN", "scans", "--out", "scores.csv/x.csv"), 3, "is a file, not a folder"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    phantoms: Place, words: tuple[str, ...], code: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.run.predict.Scorer._start", lambda self: pytest.fail("work has begun"))
    before = sorted(phantoms.folder.iterdir())
    cell = phantoms.record("pca").name
    done = phantoms("predict", *(cell if word == "RUN" else word for word in words))
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert sorted(phantoms.folder.iterdir()) == before


MAPPED = """
import numpy as np
import bench

class Config(bench.DetectorConfig):
    image_size: int = 16

class Mapped(bench.Detector):
    def fit(self, normal, run):
        return self
    def anomaly_scores(self, images, run):
        return images.astype(float).max(axis=(1, 2, 3))
    def anomaly_maps(self, images, run):
        return (image[:, :, 0].astype(np.float32) / 4 for image in images)
    def state(self):
        return {}
    def load_state(self, state):
        assert state == {}
        return self

@bench.hookimpl
def bench_detectors():
    return [bench.DetectorSpec(name="mapped", version="1", summary="-", citation="-", torch=False,
            config=lambda: Config,
            load=lambda: Mapped, presets={"smoke": {}}, stochastic=False, maps=True)]
"""


@pytest.fixture
def mapped(tmp_path: Path, chest_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A run on small X-rays, without masks, of a detector whose map is the image."""
    Bench(tmp_path).add_plugin("mapped", MAPPED)
    monkeypatch.syspath_prepend(tmp_path / "site")
    place = Place(tmp_path)
    done = place("run", "--detectors", "mapped", "--tasks", "chest-xray", "--data", "data", "--keep-state")
    assert done.returncode == 0, done.stderr
    assert not (place.record("mapped") / "pixels.npz").exists()
    yield place
    sys.modules.pop("mapped", None)


def test_heat_maps_have_the_colours_that_held_out_normals_fix(mapped: Place, chest_data: Path) -> None:
    table = pd.read_parquet(mapped.record("mapped") / "scores.parquet")
    files = {image_id(path): path for path in chest_data.rglob("*.jpeg")}
    squares = []
    for name in table.loc[table["role"] == "tune", "image_id"]:
        with Image.open(files[name]) as image:
            squares.append(np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BILINEAR)) / 4)
    low, high = np.median(squares), np.sort([square.max() for square in squares])[-1]
    done = mapped("predict", "bench-runs", "data/chest_xray/test", "--out", "o/s.csv", "--maps", "o/maps")
    assert done.returncode == 0, done.stderr
    assert "least to its greatest" not in done.stderr
    rows, drawn = mapped.rows("o/s.csv"), sorted((mapped.folder / "o" / "maps").iterdir())
    assert len(rows) == len(drawn) == 24
    for number, (row, path) in enumerate(zip(rows, drawn, strict=True), start=1):
        assert path.name == f"{number:02d}-{Path(row['image']).stem}.png"
        with Image.open(mapped.folder / row["image"]) as image, Image.open(path) as overlay:
            assert overlay.size == image.size
            grey, coloured = np.asarray(image.convert("L"), np.int64), np.asarray(overlay, np.int64)
            heat = np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BILINEAR), np.float32) / 4
        away = np.abs(coloured - grey[:, :, None]).max(axis=2)
        strength = np.clip((heat - low) / (high - low), 0, 1)
        stretched = np.asarray(Image.fromarray(strength).resize(overlay.size, Image.Resampling.BILINEAR))
        assert (away[stretched == 0] == 0).all()
        assert (away[stretched > 0.5] > 0).all()
        if "PNEUMONIA" in row["image"]:  # its bright square is beyond what any held-out normal has
            red, green, blue = coloured[stretched == 1].T
            assert len(red) and (red > green + 80).all() and (red > blue + 80).all()

    done = mapped("predict", "bench-runs", "data", "--out", "o/s.csv", "--maps", "o/maps")
    assert done.returncode == 2 and "is not empty" in done.stderr
