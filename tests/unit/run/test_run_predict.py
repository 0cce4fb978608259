"""The process that scores: what it is sent and says, and that whatever a detector does in it ends in a message."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import TaskSpec
from bench.errors import DetectorError, EnvironmentProblem
from bench.registry import Offer, Plugin
from bench.results.record import STATE
from bench.results.store import Store
from bench.run.learned import Learned
from bench.run.predict import SHOWN_SIDE, Scorer, predict
from bench.run.statefile import write_state
from tests.unit.record_factory import add_record

SIDE = 8
MODULE = """
import os, signal, sys
import numpy as np
import bench

class Config(bench.DetectorConfig):
    image_size: int = 8
    channels: int = 3
    mode: str = ""

class Frail(bench.Detector):
    def fit(self, normal, run):
        raise AssertionError("there is nothing to learn from")
    def anomaly_scores(self, images, run):
        mode = self.config.mode
        if mode == "raise":
            raise RuntimeError("no luck [today]")
        if mode == "exit":
            sys.exit(3)
        if mode == "gone":
            os.write(2, b"oh dear"); os._exit(4)
        if mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "memory":
            raise MemoryError
        if mode == "environment":
            raise bench.EnvironmentProblem("no card here")
        if mode == "chatty":
            print("hello"); os.write(1, b"hello"); assert sys.stdin.read() == ""
        if mode == "surroundings":
            known = [os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"], run.seed]
            assert os.listdir(run.scratch) == [] and not images.flags.writeable and images.strides[-1] == 0
            return np.full(len(images), float(known[0]) * 100 + float(known[1]) * 10 + known[2])
        scores = (images.astype(float) - self.centre).mean(axis=(1, 2, 3))
        return scores * np.nan if mode == "nan" else scores
    def anomaly_maps(self, images, run):
        for number, image in enumerate(images):
            if self.config.mode == "maps" and number:
                raise ValueError("one is enough")
            yield image[:, :, 0].astype(np.float32)
    def state(self):
        return {"centre": self.centre}
    def load_state(self, state):
        self.centre = state["centre"] if self.config.mode != "state" else state["nothing"]
        return self

@bench.hookimpl
def bench_detectors():
    return [bench.DetectorSpec(name="frail", version="1", summary="-", citation="-", config=lambda: Config, torch=False,
            load=lambda: Frail, presets={"smoke": {}}, maps=True)]
"""


@pytest.fixture
def learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Learned:
    """A run of a detector that subtracts 10 from the mean of an image."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "frail.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    import frail

    write_state({"centre": np.array(10.0)}, tmp_path / STATE)
    record = add_record(Store(tmp_path / "runs"), detector="frail", state=tmp_path / STATE, seed=5)
    plugin = Plugin("frail", "frail", "frail", "1", "ok")
    (spec,) = frail.bench_detectors()
    task = TaskSpec("none", "1", "", "", "", "", "unknown", "", lambda data: ())
    assert record.state is not None
    return Learned(record, record.state, tmp_path / STATE, Offer(spec, plugin), frail.Config(), task, np.empty(0), ())


def in_mode(learned: Learned, mode: str) -> Learned:
    part = learned.record.detector.model_copy(update={"config": {"mode": mode}})
    return replace(learned, record=learned.record.model_copy(update={"detector": part}))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Ten pictures of one grey each, another in each place, and three files that cannot be read."""
    paths = [tmp_path / f"{number:02d}.png" for number in range(13)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((20, 1000 if number == 3 else 30), 20 * number, np.uint8)).save(path)
    paths[2].write_bytes(b"no picture")
    paths[7].unlink()
    paths[12].unlink()
    os.mkfifo(paths[12])
    return paths


def test_scores_come_in_order_whatever_the_blocks_and_unreadable_files_too(
    learned: Learned, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = Scorer.send
    monkeypatch.setattr(Scorer, "send", lambda self, block: (sent.append(len(block)), send(self, block))[1])
    with Scorer(learned, None, maps=False) as scorer:
        assert (scorer.device, scorer.precision) == ("cpu", "float32")
        for size, blocks in ((1, [1] * 10), (3, [2, 3, 2, 3]), (100, [10])):
            told: list[tuple[int, int]] = []
            found = list(
                predict(scorer, images, tmp_path, size, lambda done, total, told=told: told.append((done, total)))
            )
            assert [one.path for one in found] == images
            for number, one in enumerate(found):
                assert one.score == (None if number in (2, 7, 12) else 20 * number - 10)
            assert ["cannot identify image file" in found[2].problem, found[12].problem] == [True, "not a file"]
            assert "No such file" in found[7].problem
            assert told[-1] == (13, 13)
            assert sent == blocks
            sent.clear()
        process, folder = scorer._process, scorer._folder
    assert process.returncode is not None
    assert not folder.exists()


def test_maps_come_beside_their_pictures(learned: Learned, images: list[Path], tmp_path: Path) -> None:
    with Scorer(learned, None, maps=True) as scorer:
        found = list(predict(scorer, images, tmp_path, 4))
    for number, one in enumerate(found):
        if number in (2, 7, 12):
            assert one.heat is None and one.picture is None
        else:
            assert one.heat is not None and one.picture is not None
            assert one.heat.shape == (SIDE, SIDE)
            assert (one.heat == 20 * number).all()
            assert one.picture.shape == ((10, SHOWN_SIDE) if number == 3 else (20, 30))


def test_the_detector_is_surrounded_as_in_the_run(learned: Learned, images: list[Path], tmp_path: Path) -> None:
    kept = learned.kept.model_copy(update={"threads": 3})
    with Scorer(replace(in_mode(learned, "surroundings"), kept=kept), None, maps=False) as scorer:
        assert {one.score for one in predict(scorer, images[:2], tmp_path)} == {335.0}
    with Scorer(in_mode(learned, "chatty"), None, maps=False) as scorer:
        assert [one.score for one in predict(scorer, images[:2], tmp_path)] == [-10.0, 10.0]


@pytest.mark.parametrize(
    ("mode", "error", "text"),
    [
        ("raise", DetectorError, r"detector 'frail' failed: RuntimeError: no luck \[today\]"),
        ("exit", DetectorError, r"sys\.exit\(3\)"),
        ("gone", DetectorError, "ended with exit code 4: oh dear"),
        ("killed", DetectorError, "ended with signal 9"),
        ("memory", DetectorError, "use a smaller --batch-size"),
        ("environment", EnvironmentProblem, "^no card here$"),
        ("nan", DetectorError, "not finite"),
        ("state", DetectorError, "KeyError: 'nothing'"),
        ("maps", DetectorError, "ValueError: one is enough"),
    ],
)
def test_whatever_a_detector_does_ends_in_a_message(
    learned: Learned, images: list[Path], tmp_path: Path, mode: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text), Scorer(in_mode(learned, mode), None, maps=mode == "maps") as scorer:
        list(predict(scorer, images, tmp_path))
