"""Masks at a detector's size: majority, and no lesion lost; formats; files that changed."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from bench.contracts import TaskSpec
from bench.data.manifest import Entry
from bench.data.masks import read_masks, shrink
from bench.errors import BadImagesError, DataChangedError

SPEC = TaskSpec("tiny", "1", "none", "", "", "", "image", "", lambda data: [])
SQUARE = np.zeros((12, 12), np.uint8)
SQUARE[2:6, 4:10] = 1


def entry(path: Path, digest: str | None = None) -> Entry:
    mask = digest or sha256(path.read_bytes()).hexdigest()[:16]
    return Entry(path.stem, path, None, "test", 1, "one", mask, path)


def test_the_same_size_changes_nothing():
    random = np.random.default_rng(0)
    lesion = random.random((40, 40)) < 0.2
    assert np.array_equal(shrink(lesion, 40), lesion)


def test_majority_decides():
    lesion = np.zeros((80, 80), bool)
    lesion[20:43, 20:60] = True
    expected = np.zeros((20, 20), bool)
    expected[5:11, 5:15] = True  # three of the four rows from 40 on
    assert np.array_equal(shrink(lesion, 20), expected)
    lesion[41:43] = False  # one of four
    expected[10] = False
    assert np.array_equal(shrink(lesion, 20), expected)


def test_a_lesion_too_small_for_a_majority_keeps_its_fullest_pixel():
    lesion = np.zeros((100, 160), bool)
    lesion[13, 18:22] = True  # two pixels left and two right of a border
    lesion[14, 21] = True
    lesion[99, 159] = True
    lesion[40:80, 40:80] = True
    found = shrink(lesion, 16)
    assert found[2, 2]
    assert found[15, 15]
    assert found.sum() == 2 + found[6:13, 4:8].sum()


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(3, 60), st.integers(3, 60))), st.integers(4, 40))
def test_every_lesion_leaves_a_trace(lesion, side):
    found = shrink(lesion, side)
    assert found.shape == (side, side)
    assert found.dtype == np.bool_
    names, number = ndimage.label(lesion, np.ones((3, 3)))
    for one in range(1, number + 1):
        rows, columns = np.nonzero(names == one)
        places = (rows * side // lesion.shape[0], columns * side // lesion.shape[1])
        near = np.zeros_like(found)
        near[places] = True
        assert (ndimage.binary_dilation(near, np.ones((3, 3)), iterations=2) & found).any()


@pytest.mark.parametrize("kind", ["ones", "full", "bits", "sixteen", "palette", "colour", "alpha", "jpeg", "pgm"])
def test_every_format_in_which_masks_come(kind, tmp_path):
    square = Image.fromarray(SQUARE)
    path = tmp_path / f"mask.{ {'jpeg': 'jpeg', 'pgm': 'pgm'}.get(kind, 'png') }"
    if kind == "palette":
        square.putpalette([0, 0, 0, 200, 0, 10])
    full = Image.fromarray(SQUARE * 255)
    picture = {
        "ones": square,
        "bits": full.convert("1"),
        "sixteen": Image.fromarray(SQUARE.astype(np.uint16)),
        "palette": square,
        "colour": Image.merge("RGB", [Image.new("L", full.size), full, Image.new("L", full.size)]),
        "alpha": Image.merge("LA", [full, Image.new("L", full.size, 255)]),
    }.get(kind, full)
    picture.save(path, **({"quality": 95} if kind == "jpeg" else {}))
    (found,) = read_masks(SPEC, [entry(path)], 12)
    assert np.array_equal(found, SQUARE > 0)


def test_damaged_masks_are_all_named(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path in paths:
        path.write_bytes(b"no image")
    Image.fromarray(SQUARE).save(paths[1])
    with pytest.raises(BadImagesError) as caught:
        read_masks(SPEC, [entry(path) for path in paths], 12)
    assert [Path(line.partition(":")[0]).name for line in caught.value.bad] == ["a.png", "c.png"]


def test_a_mask_that_changed_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(SQUARE).save(path)
    with pytest.raises(DataChangedError, match=r"a\.png"):
        read_masks(SPEC, [entry(path, "0" * 16)], 12)


def test_a_task_may_decode_its_own(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(b"anything")
    spec = TaskSpec("tiny", "1", "none", "", "", "", "image", "", lambda data: [], decode=lambda _: SQUARE)
    assert np.array_equal(read_masks(spec, [entry(path)], 12)[0], SQUARE > 0)
