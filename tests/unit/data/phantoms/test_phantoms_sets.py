"""Writing a set: the same bytes every time, all of them or none."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.phantoms.pgm import write_pgm
from bench.data.phantoms.sets import PhantomSet, build_set, plan_files
from bench.errors import StorageError


def noise_draw(patient, image, lesion):
    """A stand-in that is fast and depends on all that it is given."""
    pixels = patient.integers(0, 128, (128, 128)) + image.integers(0, 128, (128, 128))
    return pixels.astype(np.uint8), np.full((128, 128), 255 if lesion else 0, np.uint8)


def small_set(draw=noise_draw) -> PhantomSet:
    return PhantomSet("small-v1", 7, lambda: draw, (("BUMP", 2), ("HOLE", 2)), fit=4, normal=2)


def must_not_draw(patient, image, lesion):
    raise AssertionError("drew again what was there")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failing_draw(after: int, error: type[BaseException]) -> Callable:
    calls = iter(range(after))

    def draw(patient, image, lesion):
        if next(calls, None) is None:
            raise error
        return noise_draw(patient, image, lesion)

    return draw


def test_lists_exactly_the_files_that_lie_there(tmp_path):
    files = build_set(small_set(), tmp_path)
    listed = {path for file in files for path in (file.path, file.mask) if path}
    assert listed == set(tmp_path.rglob("*.pgm"))
    assert [(file.role, file.category, file.label) for file in files] == (
        [("fit", "NORMAL", 0)] * 4 + [("test", "NORMAL", 0)] * 2 + [("test", "BUMP", 1)] * 2 + [("test", "HOLE", 1)] * 2
    )
    assert [file.patient for file in files] == [f"P{1 + i // 2:04d}" for i in range(10)]
    assert all((file.mask is not None) == bool(file.label) for file in files)


def test_two_folders_get_the_same_bytes(tmp_path):
    build_set(small_set(), tmp_path / "a")
    build_set(small_set(), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_every_image_has_its_own_seed(tmp_path):
    files = build_set(small_set(), tmp_path)
    assert len({file.path.read_bytes() for file in files}) == len(files)


def test_a_second_call_draws_and_writes_nothing(tmp_path):
    first = build_set(small_set(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert build_set(small_set(must_not_draw), tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_drawing_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        build_set(small_set(failing_draw(3, error)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_ignored(tmp_path):
    leftover = tmp_path / ".small-v1-killed" / "train" / "NORMAL"
    leftover.mkdir(parents=True)
    (leftover / "P0001-1.pgm").write_bytes(b"P5\n128")
    files = build_set(small_set(), tmp_path)
    assert all(file.path.is_relative_to(tmp_path / "small-v1") and file.path.exists() for file in files)
    assert (leftover / "P0001-1.pgm").read_bytes() == b"P5\n128"


def lose_file(root: Path) -> None:
    (root / "test" / "HOLE" / "masks" / "P0005-2.pgm").unlink()


def cut_file(root: Path) -> None:
    path = root / "train" / "NORMAL" / "P0002-1.pgm"
    path.write_bytes(path.read_bytes()[:100])


def lose_marker(root: Path) -> None:
    (root / "complete").unlink()


@pytest.mark.parametrize("damage", [lose_file, cut_file, lose_marker])
def test_a_damaged_set_is_drawn_again(tmp_path, damage):
    build_set(small_set(), tmp_path)
    whole = contents(tmp_path)
    damage(tmp_path / "small-v1")
    assert contents(tmp_path) != whole
    build_set(small_set(), tmp_path)
    assert contents(tmp_path) == whole


def test_the_slower_of_two_processes_keeps_what_the_faster_drew(tmp_path):
    faster_inode = []

    def overtaken(patient, image, lesion):
        if not faster_inode:
            build_set(small_set(), tmp_path)
            faster_inode.append((tmp_path / "small-v1").stat().st_ino)
        return noise_draw(patient, image, lesion)

    files = build_set(small_set(overtaken), tmp_path)
    assert all(file.path.exists() for file in files)
    assert [path.stat().st_ino for path in tmp_path.iterdir()] == faster_inode


def test_an_unusable_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="small-v1"):
        build_set(small_set(), tmp_path / "file")


def test_a_file_in_the_place_of_the_set_is_a_storage_error_and_stays(tmp_path):
    (tmp_path / "small-v1").write_text("mine")
    with pytest.raises(StorageError):
        build_set(small_set(), tmp_path)
    assert (tmp_path / "small-v1").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_plan_reads_no_disk():
    assert len(plan_files(small_set(must_not_draw), Path("/does/not/exist"))) == 10


def test_pillow_reads_what_is_written(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_pgm(tmp_path / "a.pgm", pixels)
    with Image.open(tmp_path / "a.pgm") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), np.zeros((2, 2, 1), np.uint8)])
def test_other_arrays_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="uint8"):
        write_pgm(tmp_path / "a.pgm", wrong)


def test_listing_tasks_imports_nothing_heavy():
    code = (
        "import sys, bench.data.phantoms, bench.data.phantoms.sets\n"
        "print(*{'scipy', 'PIL', 'pandas', 'torch', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
