"""Tables of scores and heat maps: what they say, and that half of one is never seen."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import StorageError
from bench.report.predictions import COLUMNS, HeldOut, drawing_maps, overlay, writing_scores

TUNE = np.array([1.0, 2.0, 2.0, 5.0])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rows_compare_scores_with_held_out_normals(tmp_path: Path) -> None:
    scores = {"low.png": 0.1, "tied.png": 2.0, "at the threshold.png": 5.0, "above, far.png": 0.1 + 5.2}
    held_out = HeldOut(TUNE, 0.95)
    with writing_scores(tmp_path / "new" / "scores.csv", held_out) as writer:
        for name, score in scores.items():
            writer.add(Path("scans") / name, score)
        writer.add(Path("cut.png"), None)
        assert not (tmp_path / "new" / "scores.csv").exists()
    assert (writer.scored, writer.flagged) == (4, 1)
    found = rows(tmp_path / "new" / "scores.csv")
    assert tuple(found[0]) == COLUMNS == ("image", "score", "percentile", "threshold", "flagged")
    assert [row["image"] for row in found] == [*(f"scans/{name}" for name in scores), "cut.png"]
    assert [float(row["score"]) for row in found[:4]] == list(scores.values())  # to the last bit
    assert [float(row["percentile"]) for row in found[:4]] == [0.0, 0.5, 0.875, 1.0]
    assert {row["threshold"] for row in found} == {"5.0"}
    assert [row["flagged"] for row in found] == ["false", "false", "false", "true", ""]
    assert (found[4]["score"], found[4]["percentile"]) == ("", "")


def test_without_held_out_normals_only_the_score_is_known(tmp_path: Path) -> None:
    with writing_scores(tmp_path / "scores.csv", HeldOut(np.empty(0), 0.95)) as writer:
        writer.add(Path("a.png"), 1.5)
    assert rows(tmp_path / "scores.csv") == [
        {"image": "a.png", "score": "1.5", "percentile": "", "threshold": "", "flagged": ""}
    ]


def test_odd_names_come_back(tmp_path: Path) -> None:
    odd = ['quote".png', "line\nbreak.png", "Ünicode.png", os.fsdecode(b"latin\xe4.png")]
    with writing_scores(tmp_path / "scores.csv", HeldOut(TUNE, 0.5)) as writer:
        for name in odd:
            writer.add(Path(name), 0.0)
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [row["image"] for row in csv.DictReader(file)] == odd


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_who_is_stopped_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "scores.csv").write_text("older")
    wanted = KeyboardInterrupt if error is KeyboardInterrupt else StorageError
    with (
        pytest.raises(wanted),
        writing_scores(tmp_path / "scores.csv", HeldOut(TUNE, 0.5)) as writer,
        drawing_maps(tmp_path / "maps", 1, None) as drawer,
    ):
        writer.add(Path("a.png"), 0.0)
        drawer.add(1, Path("a.png"), np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.float32))
        raise error
    assert (tmp_path / "scores.csv").read_text() == "older"
    assert listing(tmp_path) == ["scores.csv"]


def test_heat_maps_have_names_of_their_own_within_their_folder(tmp_path: Path) -> None:
    odd = ["a/x.png", "b/x.png", "../../x.png", "/etc/x", "..", "y" * 300 + ".png", "sp ace\n/..%2f.dcm", "x.jpg"]
    (tmp_path / "maps").mkdir()
    with drawing_maps(tmp_path / "maps", 12, (0.0, 1.0)) as drawer:
        for row, name in enumerate(odd, start=3):
            drawer.add(row, Path(name), np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.float32))
    found = listing(tmp_path / "maps")
    assert len(found) == len(odd)
    assert found[:3] == ["03-x.png", "04-x.png", "05-x.png"]
    assert listing(tmp_path) == ["maps"]
    with pytest.raises(StorageError), drawing_maps(tmp_path / "maps", 1, None):
        pass  # what is in it stays as it is
    assert listing(tmp_path / "maps") == found


def test_colour_is_fixed_by_the_limits_and_lets_the_picture_through(tmp_path: Path) -> None:
    picture = np.full((40, 60), 100, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[:, 3], heat[:, 1] = 9.0, 2.0
    drawn = np.asarray(overlay(picture, heat, (2.0, 3.0)))
    assert drawn.shape == (40, 60, 3)
    assert (drawn[:, :30] == 100).all()  # at the lower limit and below nothing is shown
    red, green, blue = drawn[20, 59]
    assert red > 150 and green < 50 and blue < 50
    assert (np.asarray(overlay(picture, heat, (2.0, 300.0)))[20, 59] < drawn[20, 59] + [1, 200, 200]).all()
    brighter = np.asarray(overlay(picture + 100, heat, (2.0, 3.0)))
    assert (brighter[20, 59] > drawn[20, 59]).all()
    assert (np.asarray(overlay(picture, np.ones((4, 4), np.float32), (1.0, 1.0))) == 100).all()
    with drawing_maps(tmp_path / "maps", 1, None) as drawer:  # without limits: from the least to the greatest
        drawer.add(1, Path("x.png"), picture, heat)
    with Image.open(tmp_path / "maps" / "1-x.png") as image:
        assert np.asarray(image)[20, 59].tolist() == drawn[20, 59].tolist()
