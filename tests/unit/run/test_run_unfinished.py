"""A kept checkpoint belongs to one process at a time, is whole or as it was, and goes when its cell is finished."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.run.unfinished import CHECKPOINT, UNFINISHED, Keeper, discard_others, unfinished_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return unfinished_folder(tmp_path / "results", "cell", "key")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A checkpoint as a worker leaves it."""
    path = tmp_path / "job" / CHECKPOINT
    path.parent.mkdir()
    path.write_bytes(b"one")
    return path


def claim(folder: Path) -> Keeper:
    keeper = Keeper.claim(folder)
    assert keeper is not None
    return keeper


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def keep(folder: Path, written: Path) -> None:
    keeper = claim(folder)
    assert keeper.take(written) == ""
    keeper.close(discard=False)


def test_what_is_taken_is_laid_out_the_next_time(folder: Path, written: Path, tmp_path: Path) -> None:
    keep(folder, written)
    keeper = claim(folder)
    keeper.lay_out(tmp_path / "next")
    assert (tmp_path / "next").read_bytes() == b"one"
    keeper.close(discard=True)
    assert not folder.parent.exists()


def test_nothing_is_laid_out_where_nothing_was_kept(folder: Path, tmp_path: Path) -> None:
    keeper = claim(folder)
    keeper.lay_out(tmp_path / "next")
    assert not (tmp_path / "next").exists()
    keeper.close(discard=False)
    assert not folder.parent.exists()


def test_full_disk_lays_out_nothing(
    folder: Path, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(folder, written)
    keeper = claim(folder)

    def half(_: Path, target: Path) -> None:
        target.write_bytes(b"o")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", half)
    keeper.lay_out(tmp_path / "next")
    assert not (tmp_path / "next").exists()
    keeper.close(discard=False)
    assert (folder / CHECKPOINT).read_bytes() == b"one"


def test_unchanged_file_is_not_copied_again_and_a_new_one_is(folder: Path, written: Path) -> None:
    keeper = claim(folder)
    keeper.take(written)
    (folder / CHECKPOINT).write_bytes(b"mark")
    keeper.take(written)
    assert (folder / CHECKPOINT).read_bytes() == b"mark"
    new = written.with_name("new")
    new.write_bytes(b"two")
    new.replace(written)
    keeper.take(written)
    assert (folder / CHECKPOINT).read_bytes() == b"two"
    keeper.close(discard=True)


def test_full_disk_is_told_once_and_leaves_the_older_one(
    folder: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = claim(folder)
    keeper.take(written)
    told = []
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        for content in (b"second", b"third"):
            written.unlink()
            written.write_bytes(content)
            told.append(keeper.take(written))
    assert "the disk is full" in told[0]
    assert told[1] == ""
    assert (folder / CHECKPOINT).read_bytes() == b"one"
    written.write_bytes(b"the fourth")
    assert keeper.take(written) == ""
    assert (folder / CHECKPOINT).read_bytes() == b"the fourth"
    keeper.close(discard=True)


def test_only_one_may_have_it(folder: Path, written: Path) -> None:
    keeper = claim(folder)
    assert Keeper.claim(folder) is None
    keeper.take(written)
    discard_others(folder.parents[1], "cell")
    assert (folder / CHECKPOINT).exists()
    keeper.close(discard=False)
    claim(folder).close(discard=True)


def test_killed_process_holds_it_no_longer(folder: Path, written: Path) -> None:
    keep(folder, written)
    code = "import sys, pathlib, time; from bench.run.unfinished import Keeper; "
    code += (
        f"keeper = Keeper.claim(pathlib.Path({str(folder)!r})); print(keeper is not None, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    assert Keeper.claim(folder) is None
    (folder / f".{CHECKPOINT}.half").write_bytes(b"hal")  # what a kill in the middle of copying leaves behind
    process.kill()
    process.communicate()
    keeper = claim(folder)
    assert names(folder) == [CHECKPOINT, "lock"]
    keeper.close(discard=True)


def test_folder_removed_between_opening_and_locking_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def removed_first(*_: object) -> None:
        (folder / "lock").unlink()

    monkeypatch.setattr("fcntl.flock", removed_first)
    assert Keeper.claim(folder) is None


def test_others_of_a_cell_go_and_those_of_other_cells_stay(tmp_path: Path, written: Path) -> None:
    wanted = unfinished_folder(tmp_path, "cell", "new")
    for folder in (wanted, unfinished_folder(tmp_path, "cell", "old"), unfinished_folder(tmp_path, "cell2", "old")):
        keep(folder, written)
        written.touch()
    discard_others(tmp_path, "cell", wanted)
    assert names(tmp_path / UNFINISHED) == ["cell-new", "cell2-old"]
    discard_others(tmp_path, "cell")
    assert names(tmp_path / UNFINISHED) == ["cell2-old"]


def test_links_pipes_and_what_is_too_large_are_not_kept(folder: Path, tmp_path: Path, written: Path) -> None:
    keeper = claim(folder)
    link, pipe, vast = tmp_path / "link", tmp_path / "pipe", tmp_path / "vast"
    link.symlink_to(written)
    os.mkfifo(pipe)
    vast.touch()
    os.truncate(vast, 1 << 40)
    assert [keeper.take(path) for path in (link, pipe, tmp_path, tmp_path / "missing")] == [""] * 4
    assert "too large" in keeper.take(vast)
    assert not (folder / CHECKPOINT).exists()
    keeper.close(discard=True)
