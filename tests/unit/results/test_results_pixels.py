"""pixels.npz: what is written is read back, lazily, and nothing else is accepted."""

import dataclasses
import io
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from bench.errors import RecordError
from bench.metrics.pixel_bins import BINS, bin_edges, top_bins, tune_values
from bench.metrics.pixel_counts import PixelCounts, count_blocks
from bench.metrics.pixels import pixel_values
from bench.results import foreign
from bench.results.foreign import pixels_anew
from bench.results.pixels import open_pixels, to_npz
from bench.results.scores import Scores

IDS = (*(f"{number:016x}" for number in range(11)), f"{10:016x}-2")
LABELS = (np.arange(12) % 2).astype(np.int8)


@pytest.fixture
def counts() -> PixelCounts:
    """Twelve images in blocks of five; the last anomalous one has no mask, the one before an empty one."""
    random = np.random.default_rng(0)
    maps = random.normal(size=(16, 20, 20)).astype(np.float32)
    masks = np.zeros((12, 20, 20), bool)
    masks[1:8:2, 3:9, 4:12] = True
    masks[1:8:2, 15, 15] = True
    known = [*masks[:11], None]
    values = tune_values(maps[12:], 4)
    edges = bin_edges(values)
    blocks = list(count_blocks(zip(maps[:12], known, strict=True), edges, 5))
    return PixelCounts(edges, 20, top_bins(values.highest, edges), IDS, LABELS, blocks)


def opened(source):
    return open_pixels(source, IDS, LABELS, 4)


def test_what_is_written_is_read_back(counts, tmp_path):
    content = to_npz(counts)
    (tmp_path / "pixels.npz").write_bytes(content)
    for source in (content, tmp_path / "pixels.npz"):
        back = opened(source)
        assert back.side == 20
        assert back.ids == IDS
        for name in ("edges", "tune_tops", "labels"):
            assert np.array_equal(getattr(back, name), getattr(counts, name))
        for one, other in zip(back.blocks, counts.blocks, strict=True):
            for field in dataclasses.fields(one):
                first, second = getattr(one, field.name), getattr(other, field.name)
                assert first.dtype == second.dtype
                assert np.array_equal(first, second)
        assert pixel_values(back) == pixel_values(counts)
    with np.load(tmp_path / "pixels.npz", allow_pickle=False) as plain:  # it is an ordinary .npz
        assert plain["image_ids"].tolist() == list(IDS)
        assert len(plain.files) == 5 + 3 * 5


def test_same_counts_give_the_same_bytes(counts, monkeypatch):
    first = to_npz(counts)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert to_npz(counts) == first
    assert to_npz(opened(first)) == first


def test_blocks_that_do_not_fit_the_ids_are_not_written(counts):
    with pytest.raises(ValueError, match="11 ids"):
        to_npz(dataclasses.replace(counts, ids=IDS[1:]))


def test_images_are_those_of_the_scores(counts):
    content = to_npz(counts)
    with pytest.raises(RecordError, match=r"1 missing \(f{16}\), 1 unknown \(0{16}\)"):
        open_pixels(content, (*IDS[1:], "f" * 16), LABELS, 4)
    with pytest.raises(RecordError, match="1 unknown"):
        open_pixels(content, IDS[1:], LABELS[1:], 4)
    with pytest.raises(RecordError, match="in another order"):
        open_pixels(content, IDS[::-1], LABELS, 4)
    with pytest.raises(RecordError, match="labels of its scores"):
        open_pixels(content, IDS, 1 - LABELS, 4)
    with pytest.raises(RecordError, match="tune_tops"):
        open_pixels(content, IDS, LABELS, 5)
    twice = to_npz(dataclasses.replace(counts, ids=(IDS[1], *IDS[1:])))
    with pytest.raises(RecordError, match=rf"1 repeated \({IDS[1]}\), 1 missing \({IDS[0]}\)"):
        opened(twice)


def changed(content, member, change):
    """Write the file anew with one array changed, left out (None), or added."""
    with np.load(io.BytesIO(content)) as plain:
        arrays = {name: plain[name] for name in plain.files}
    found = change(arrays[member].copy() if member in arrays else None)
    if found is None:
        del arrays[member]
    else:
        arrays[member] = found
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


DAMAGE = {
    "left out": ("pixels_00001", lambda _: None),
    "head left out": ("side", lambda _: None),
    "added": ("surprise", lambda _: np.zeros(3)),
    "added block": ("bins_00007", lambda _: np.zeros(3, np.uint16)),
    "negative counts": ("outside_00000", lambda a: -a.astype(np.int64)),
    "wrong type": ("pixels_00000", lambda a: a.astype(np.float64)),
    "pickled": ("labels", lambda a: a.astype(object)),
    "wrong shape": ("outside_00000", lambda a: a[:, :-1]),
    "more rows": ("outside_00000", lambda a: np.repeat(a, 2, axis=0)),
    "a pixel too many": ("outside_00001", lambda a: put((0, 7), a[0, 7] + 1)(a)),
    "unknown normal": ("outside_00000", put(0, 0)),
    "lesions of a normal image": ("lesions_00000", lambda a: a[[1, 0, 2, 3, 4]]),
    "empty lesion": ("lengths_00000", put(0, 0)),
    "no pixel": ("pixels_00000", put(0, 0)),
    "bin beyond": ("bins_00000", put(0, BINS)),
    "bins that fall": ("bins_00000", lambda a: a[::-1]),
    "tune bin beyond": ("tune_tops", put(0, BINS)),
    "no side": ("side", lambda _: np.array(0)),
    "another side": ("side", lambda _: np.array(21)),
    "edge that is no number": ("edges", put(9, np.nan)),
    "falling edge": ("edges", put(4000, -1e9)),
    "edge that float32 lacks": ("edges", put(4090, 1 / 3 + 1e9)),
    "finite end": ("edges", put(-1, 1e30)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(counts, kind):
    content = changed(to_npz(counts), *DAMAGE[kind])
    with pytest.raises(RecordError, match=r"pixels\.npz is damaged"):
        list(opened(content).blocks)


def test_broken_files_are_refused(counts, tmp_path):
    content = to_npz(counts)
    for broken in (b"", b"no zip", content[: len(content) // 2], content[-100:]):
        with pytest.raises(RecordError, match="damaged"):
            opened(broken)
    with pytest.raises(RecordError, match="cannot read"):
        opened(tmp_path / "missing.npz")
    with pytest.raises(RecordError, match="damaged"):
        opened(tmp_path)


def test_every_flipped_byte_is_found_or_harmless(counts):
    content = to_npz(counts)
    expected = pixel_values(counts)
    for place in np.random.default_rng(0).integers(0, len(content), 300).tolist():
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        with suppress(RecordError):
            assert pixel_values(opened(bytes(flipped))) == expected


def test_header_that_promises_more_than_there_is_costs_no_memory(counts):
    content = to_npz(counts)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            bytes_ = old.read(name)
            if name == "image_ids.npy":
                header = io.BytesIO()
                form = {"descr": "<U32", "fortran_order": False, "shape": (1 << 40,)}
                np.lib.format.write_array_header_1_0(header, form)
                bytes_ = header.getvalue()
            new.writestr(name, bytes_)
    with pytest.raises(RecordError, match="not as many values"):
        opened(buffer.getvalue())


def test_a_reader_holds_one_block_at_a_time(counts, tmp_path, monkeypatch):
    path = tmp_path / "pixels.npz"
    path.write_bytes(to_npz(counts))
    read: list[str] = []
    original = zipfile.ZipFile.open

    def watch(self, name, *rest, **options):
        read.append(str(name))
        return original(self, name, *rest, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", watch)
    blocks = iter(opened(path).blocks)
    assert not any("_0000" in name for name in read)
    next(blocks)
    assert {name for name in read if "_0000" in name} == {
        f"{part}_00000.npy" for part in ("outside", "lesions", "lengths", "bins", "pixels")
    }


def test_files_of_strangers_are_written_anew(counts, monkeypatch):
    content = to_npz(counts)
    scores = Scores(IDS, LABELS, np.zeros(12), np.zeros(4), np.array(["X"] * 12), None, None, {})
    assert pixels_anew(content, scores) == content
    assert pixels_anew(content + b"what else there is", scores) == content
    with pytest.raises(RecordError, match="does not have the labels"):
        pixels_anew(content, dataclasses.replace(scores, labels=1 - LABELS))
    with pytest.raises(RecordError, match="is damaged"):
        pixels_anew(content[:100], scores)
    monkeypatch.setattr(foreign, "PIXELS_UNPACKED", 1)
    with pytest.raises(RecordError, match="at most 268 are read"):
        pixels_anew(content, scores)
