"""Decoding goes on where it stopped, reads .npz files row by row, and leaves out what it is told to."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import ImageFile, TaskSpec
from bench.data import decode
from bench.data.decode import open_images, prepare_images
from bench.data.index import IndexOptions, index_task
from bench.data.manifest import manifest_sha256
from bench.errors import BadImagesError, BadTaskError
from tests.conftest import write_image


def spec_of(files: list[ImageFile]) -> TaskSpec:
    return TaskSpec("toy", "1", "toy", "none", "none", "none", "patient", "none", build=lambda _: files)


def folder_task(root: Path, count: int = 60) -> TaskSpec:
    files = []
    for number in range(count):
        path = root / f"{number}.jpeg"
        if not path.exists():
            write_image(path, number)
        role, label = ("test", number % 2) if number < 10 else ("fit", 0)
        files.append(ImageFile(path, label, "X", f"p{number}", role))  # type: ignore[arg-type]
    return spec_of(files)


def test_interrupted_decoding_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = folder_task(tmp_path / "data")
    manifest = index_task(spec, tmp_path / "data", tmp_path / "cache")
    whole = prepare_images(spec, manifest, 16, tmp_path / "other").fit.read_bytes()
    monkeypatch.setattr(decode, "BATCH", 10)
    real, calls = decode._decode, []

    def stop_after(limit: int) -> None:
        def counted(*arguments: object) -> np.ndarray:
            calls.append(1)
            if len(calls) > limit:
                raise KeyboardInterrupt
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(decode, "_decode", counted)

    stop_after(25)
    with pytest.raises(KeyboardInterrupt):
        prepare_images(spec, manifest, 16, tmp_path / "cache")
    calls.clear()
    stop_after(1000)
    made = prepare_images(spec, manifest, 16, tmp_path / "cache")
    assert made.fit.read_bytes() == whole
    assert len(calls) <= 40, "finished batches were decoded again"
    assert sorted(path.name for path in made.fit.parent.iterdir()) == ["complete.json", "evaluate.npy", "fit.npy"]


def test_rows_that_were_not_flushed_are_decoded_again(tmp_path: Path) -> None:
    spec = folder_task(tmp_path / "data")
    manifest = index_task(spec, tmp_path / "data", tmp_path / "cache")
    whole = prepare_images(spec, manifest, 16, tmp_path / "other").fit.read_bytes()
    folder = prepare_images(spec, manifest, 16, tmp_path / "cache").fit.parent
    building = folder.with_name(f".{folder.name}")
    folder.rename(building)
    (building / "complete.json").unlink()
    images = np.load(building / "fit.npy", mmap_mode="r+")
    images[5:9] = 0
    done = np.ones(len(images), bool)
    done[5:9] = False
    np.save(building / "fit.done", done)
    (building / "fit.done.npy").rename(building / "fit.done")
    (building / "evaluate.npy").write_bytes(b"damaged")
    assert prepare_images(spec, manifest, 16, tmp_path / "cache").fit.read_bytes() == whole


def test_two_processes_may_decode_at_once(tmp_path: Path) -> None:
    root = tmp_path / "data"
    folder_task(root, 300)
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "from tests.unit.data.test_data_decode import folder_task\n"
        "from bench.data import decode; decode.BATCH = 20\n"
        "from bench.data.index import index_task\n"
        "root, cache = Path(sys.argv[1]), Path(sys.argv[2]); spec = folder_task(root, 300)\n"
        "decode.prepare_images(spec, index_task(spec, root, cache), 32, cache)\n"
    )
    here = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", script, str(root), str(tmp_path / "cache"), here]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [(b"", 0)] * 3
    spec = folder_task(root, 300)
    manifest = index_task(spec, root, tmp_path / "cache")
    alone = prepare_images(spec, manifest, 32, tmp_path / "alone")
    together = prepare_images(spec, manifest, 32, tmp_path / "cache")
    assert together.fit.read_bytes() == alone.fit.read_bytes()
    assert together.evaluate.read_bytes() == alone.evaluate.read_bytes()
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1


def test_kill_while_decoding_leaves_nothing_that_misleads(tmp_path: Path) -> None:
    root = tmp_path / "data"
    spec = folder_task(root, 200)
    manifest = index_task(spec, root, tmp_path / "cache")
    process = multiprocessing.get_context("fork").Process(target=_slowly, args=(spec, manifest, tmp_path / "cache"))
    process.start()
    deadline = time.monotonic() + 20
    while not any((tmp_path / "cache").glob("images/.*/fit.done")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    made = prepare_images(spec, manifest, 16, tmp_path / "cache")
    assert made.fit.read_bytes() == prepare_images(spec, manifest, 16, tmp_path / "alone").fit.read_bytes()


def _slowly(spec: TaskSpec, manifest: object, cache: Path) -> None:
    real, decode.BATCH = decode._decode, 10

    def slow(*arguments: object) -> np.ndarray:
        time.sleep(0.005)
        return real(*arguments)  # type: ignore[arg-type]

    decode._decode = slow  # type: ignore[assignment]
    prepare_images(spec, manifest, 16, cache)  # type: ignore[arg-type]


def npz_task(path: Path, count: int = 40, colours: bool = False) -> TaskSpec:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, 28, 28, *([3] if colours else [])), dtype=np.uint8)
    np.savez_compressed(path, train_images=images[:30], test_images=images[30:])
    files = [ImageFile(path, 0, "N", None, "fit", member=("train_images", row)) for row in range(30)]
    files += [ImageFile(path, row % 2, "X", None, "test", member=("test_images", row)) for row in range(count - 30)]  # type: ignore[arg-type]
    return spec_of(files)


@pytest.mark.parametrize("colours", [False, True])
def test_rows_of_an_npz_file_are_images(tmp_path: Path, colours: bool) -> None:
    path = tmp_path / "set.npz"
    spec = npz_task(path, colours=colours)
    manifest = index_task(spec, tmp_path, tmp_path / "cache")
    maps = prepare_images(spec, manifest, 28, tmp_path / "cache")
    with np.load(path) as arrays:
        for part, roles in ((maps.fit, ("fit",)), (maps.evaluate, ("tune", "test"))):
            for row, entry in enumerate(manifest.of_role(*roles)):  # type: ignore[arg-type]
                assert entry.member is not None
                expected = arrays[entry.member[0]][entry.member[1]]
                expected = np.rint(expected.mean(axis=2)) if colours else expected
                assert np.array_equal(open_images(part, 1)[row, :, :, 0], expected)
    (index,) = (tmp_path / "cache" / "index").glob("*.json")
    assert "set.npz[train_images/0]" in json.loads(index.read_text())


def test_damaged_and_incomplete_npz_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    spec = npz_task(path)
    files = [*spec.build(tmp_path), ImageFile(path, 0, "N", None, "fit", member=("extra_images", 0))]
    with pytest.raises(BadImagesError, match=r"set\.npz: it has no array 'extra_images'"):
        index_task(spec_of(files), tmp_path, tmp_path / "cache")
    files[-1] = ImageFile(path, 0, "N", None, "fit", member=("train_images", 99))
    with pytest.raises(BadImagesError, match=r"no row \('train_images', 99\)"):
        index_task(spec_of(files), tmp_path, tmp_path / "cache")
    content = bytearray(path.read_bytes())
    content[200:4000] = bytes(3800)
    path.write_bytes(content)
    with pytest.raises(BadImagesError, match=r"set\.npz: damaged"):
        index_task(spec, tmp_path, tmp_path / "cache2")
    path.write_bytes(b"PK")
    with pytest.raises(BadImagesError, match=r"set\.npz: damaged"):
        index_task(spec, tmp_path, tmp_path / "cache3")


def test_bad_images_are_named_all_at_once_and_left_out_on_request(tmp_path: Path) -> None:
    root = tmp_path / "data"
    spec = folder_task(root)
    (root / "20.jpeg").write_bytes(b"")
    whole = (root / "21.jpeg").read_bytes()
    (root / "21.jpeg").write_bytes(whole[:300])
    (root / "3.jpeg").write_bytes(b"no image at all")
    with pytest.raises(BadImagesError) as caught:
        index_task(spec, root, tmp_path / "cache")
    assert len(caught.value.bad) == 3
    manifest = index_task(spec, root, tmp_path / "cache", IndexOptions(skip_bad=True))
    skipped = {entry.path.name for entry in manifest.entries if entry.role == "skipped"}
    assert skipped == {"20.jpeg", "21.jpeg", "3.jpeg"}
    assert manifest.counts()["skipped"] == {"normal": 2, "anomalous": 1}
    assert len(manifest.images()) == 57
    rows = [(e.id, e.patient, e.role, e.label, e.category, e.mask) for e in manifest.entries]
    assert manifest.sha256 == manifest_sha256("toy", "1", rows)
    maps = prepare_images(spec, manifest, 16, tmp_path / "cache")
    assert len(open_images(maps.evaluate, 1)) == len(manifest.of_role("tune", "test"))
    with pytest.raises(BadImagesError) as again:  # nobody asked this time
        index_task(spec, root, tmp_path / "cache")
    assert len(again.value.bad) == 3
    (root / "20.jpeg").write_bytes(whole)
    (root / "21.jpeg").write_bytes(whole)
    (root / "3.jpeg").write_bytes(whole)
    mended = index_task(spec, root, tmp_path / "cache", IndexOptions(accept_changes=True))
    assert "skipped" not in mended.counts()


def test_mask_of_another_size_is_named(tmp_path: Path) -> None:
    spec = folder_task(tmp_path / "data")
    mask = tmp_path / "data" / "mask.png"
    files = [
        file._replace(mask=mask) if file.label and file.path.stem == "1" else file for file in spec.build(tmp_path)
    ]
    Image.new("L", (48, 40)).save(mask)
    manifest = index_task(spec_of(files), tmp_path / "data", tmp_path / "cache")
    assert sum(entry.mask is not None for entry in manifest.entries) == 1
    Image.new("L", (40, 48)).save(mask)
    options = IndexOptions(accept_changes=True)
    with pytest.raises(BadImagesError, match=r"mask\.png: the mask has 40 × 48 pixels, its image 48 × 40"):
        index_task(spec_of(files), tmp_path / "data", tmp_path / "cache", options)


def test_a_file_listed_twice_is_refused(tmp_path: Path) -> None:
    files = list(folder_task(tmp_path / "data").build(tmp_path))
    with pytest.raises(BadTaskError, match="lists a file twice"):
        index_task(spec_of([*files, files[0]]), tmp_path / "data", tmp_path / "cache")
