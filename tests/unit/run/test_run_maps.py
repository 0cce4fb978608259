"""Files of maps: what is accepted, what is refused, and what they are counted against."""

import os
from collections import namedtuple
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import TaskSpec
from bench.data.manifest import Entry, seal
from bench.errors import BadImagesError, BadMapsError, StorageError
from bench.results.pixels import open_pixels
from bench.run.mapfile import MAPS_FILE, check_room, open_maps, write_maps
from bench.run.maps import count_maps, normal_range, read_truth

SPEC = TaskSpec("tiny", "1", "none", "", "", "", "image", "", lambda data: [])
MAPS = np.random.default_rng(0).normal(size=(5, 6, 6)).astype(np.float32)


def write(path, chunks, side=6):
    told = []
    write_maps(path, chunks, side, told.append)
    return told


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / MAPS_FILE
    assert write(path, [(iter(MAPS[:2]), 2), (list(MAPS[2:].swapaxes(1, 2)), 3)]) == [1, 2, 3, 4, 5]
    with open_maps(path, 5, 6) as maps:
        assert np.array_equal(maps.read(1), MAPS[1])
        assert np.array_equal(maps.read(4), MAPS[4].T)


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (MAPS[:2], "gave 2 maps for 3 images"),
        ([], "gave 0 maps for 3 images"),
        (MAPS[:4], "more than 3 maps"),
        (None, "NoneType, not an iterator"),
        ([1, 2, 3], "int as map 0"),
        (MAPS[:3].astype(np.float64), "map 0 is float64"),
        (MAPS[:3, :5], r"float32 \(5, 6\); expected float32 \(6, 6\)"),
        (MAPS[:3, None], r"\(1, 6, 6\)"),
        ([*MAPS[:2], np.full((6, 6), np.nan, np.float32)], "36 of 36 values of map 2 are not finite"),
        ([*MAPS[:2], np.full((6, 6), np.inf, np.float32)], "not finite"),
    ],
)
def test_maps_that_break_the_contract_are_refused(maps, reason, tmp_path):
    with pytest.raises(BadMapsError, match=reason):
        write(tmp_path / MAPS_FILE, [(maps, 3)])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named():
    with pytest.raises(StorageError, match=r"maps\.f32: the disk is full"):
        write(Path("/dev/full"), [(MAPS, 5)])


def test_room_is_asked_for_beforehand(tmp_path, monkeypatch):
    check_room(tmp_path, 10, 256)
    status = namedtuple("status", "f_bavail f_frsize")(1000, 4096)
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    check_room(tmp_path, 15, 256)
    with pytest.raises(StorageError, match=r"need 26 MB .* 4 MB are free: free some space, or set TMPDIR"):
        check_room(tmp_path, 100, 256)


def test_odd_files_are_refused(tmp_path):
    path = tmp_path / MAPS_FILE
    write(path, [(MAPS, 5)])
    for images, side in ((4, 6), (6, 6), (5, 7)):
        with pytest.raises(BadMapsError, match="is not a file of"), open_maps(path, images, side):
            pass
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    with pytest.raises(OSError), open_maps(link, 5, 6):
        pass
    os.mkfifo(pipe)
    with pytest.raises(BadMapsError), open_maps(pipe, 5, 6):
        pass
    with pytest.raises(FileNotFoundError), open_maps(tmp_path / "missing", 5, 6):
        pass


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / MAPS_FILE
    write(path, [(MAPS, 5)])
    with open_maps(path, 5, 6) as maps:
        with path.open("r+b") as file:
            file.write(np.float32(np.inf).tobytes())
        with pytest.raises(BadMapsError, match="map 0 are not finite"):
            maps.read(0)
        os.truncate(path, 6 * 6 * 4 * 4)
        with pytest.raises(BadMapsError, match="cut short"):
            maps.read(4)


def manifest(folder, tune=2, masks=("some", None, "empty")):
    """Two normal test images, and an anomalous one for each mask, 12 × 12 pixels."""
    entries = [Entry("fit", folder, None, "fit", 0, "", None, None)]
    entries += [Entry(f"a{number}", folder, None, "tune", 0, "", None, None) for number in range(tune)]
    entries += [Entry(f"b{number}", folder, None, "test", 0, "", None, None) for number in range(2)]
    for number, kind in enumerate(masks):
        path = folder / f"{number}.png"
        pixels = np.zeros((12, 12), np.uint8)
        if kind == "some":
            pixels[2:6, 4:8] = 255
        Image.fromarray(pixels).save(path)
        digest = sha256(path.read_bytes()).hexdigest()[:16]
        known = (digest, path) if kind else (None, None)
        entries.append(Entry(f"a{number}-x", folder, None, "test", 1, "", *known))
    return seal(SPEC, entries)


def test_maps_are_counted_inside_and_outside_of_masks(tmp_path):
    made = manifest(tmp_path)
    truth = read_truth(SPEC, made, 6)
    assert truth is not None
    assert [entry.id for entry in truth.entries] == ["a0", "a0-x", "a1", "a1-x", "a2-x", "b0", "b1"]
    maps = np.random.default_rng(0).normal(size=(7, 6, 6)).astype(np.float32)
    maps[1, 1:3, 2:4] = 99
    path = tmp_path / MAPS_FILE
    write(path, [(maps, 7)])
    counts = open_pixels(count_maps(path, truth), ["a0-x", "a1-x", "a2-x", "b0", "b1"], np.int8([1, 1, 1, 0, 0]), 2)
    (block,) = counts.blocks
    assert block.lesions.tolist() == [1, 0, 0, 0, 0]
    assert block.areas().tolist() == [4]
    assert block.outside.sum(axis=1).tolist() == [32, 0, 36, 36, 36]  # the second has no mask, the third an empty one
    assert (counts.edges[block.tops()[0]], counts.edges[block.tops()[0] + 1]) == pytest.approx((99, 99), rel=0.05)


def test_maps_are_of_no_use_without_masks_or_tune_images(tmp_path):
    assert read_truth(SPEC, manifest(tmp_path, masks=(None,)), 6) is None
    assert read_truth(SPEC, manifest(tmp_path, masks=("empty",)), 6) is None
    assert read_truth(SPEC, manifest(tmp_path, tune=0), 6) is None


def test_masks_that_cannot_be_read_are_found_before_anything_runs(tmp_path):
    made = manifest(tmp_path)
    (tmp_path / "0.png").unlink()
    with pytest.raises(BadImagesError, match=r"0\.png"):
        read_truth(SPEC, made, 6)


def test_colours_go_from_the_median_to_what_95_of_100_normals_nowhere_exceed(tmp_path):
    maps = np.random.default_rng(1).normal(size=(110, 6, 6)).astype(np.float32)
    tops = np.arange(1000, 1100, dtype=np.float32)
    tune = np.arange(5, 105)
    maps[tune, 3, 3] = tops[np.random.default_rng(2).permutation(100)]
    path = tmp_path / MAPS_FILE
    write(path, [(maps, 110)])
    low, high = normal_range(path, 110, 6, tune.tolist())
    assert low == pytest.approx(np.median(maps[tune]), abs=1e-6)
    assert high == 1094
    assert (maps[tune].max(axis=(1, 2)) > high).sum() == 5


def test_without_held_out_maps_or_any_difference_in_them_there_is_no_range(tmp_path):
    path = tmp_path / MAPS_FILE
    write(path, [(np.ones((3, 6, 6), np.float32), 3)])
    assert normal_range(path, 3, 6, []) is None
    assert normal_range(path, 3, 6, [0, 2]) is None
    with pytest.raises(BadMapsError):
        normal_range(path, 4, 6, [0])
