"""Which files of a folder are images, and that none is lost or taken twice."""

import os
from pathlib import Path

import pytest

from bench.data.finding import find_images
from bench.errors import UsageError

DICOM = b"\0" * 128 + b"DICM"


def make(folder: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def names(paths: tuple[Path, ...], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def test_folders_are_searched_in_order_and_other_files_are_told(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a/2.JPG", "a/1.tiff", "a/deep/x.pgm", "notes.txt", ".hidden.png", ".git/y.png")
    make(tmp_path, "IM0001", "1.2.840.113619", "scan.txt", content=DICOM)
    found = find_images([tmp_path])
    assert names(found.images, tmp_path) == [
        "1.2.840.113619", "IM0001", "b.png", "scan.txt", "a/1.tiff", "a/2.JPG", "a/deep/x.pgm",
    ]  # fmt: skip
    assert names(found.others, tmp_path) == ["notes.txt"]
    assert found.unread == ()


def test_a_named_file_is_meant_and_none_is_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "odd.xyz", "a/1.png", "a/2.png")
    monkeypatch.chdir(tmp_path)
    found = find_images([Path("odd.xyz"), Path("a/2.png"), Path("a"), tmp_path / "a", Path("a/../a/1.png")])
    assert [str(path) for path in found.images] == ["odd.xyz", "a/2.png", "a/1.png"]


def test_links_are_followed_without_end_or_repetition(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/1.png", "here/2.png")
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "gone.png").symlink_to(tmp_path / "nowhere")
    found = find_images([tmp_path / "here"])
    assert names(found.images, tmp_path / "here") == ["2.png", "gone.png", "there/1.png"]


def test_our_own_heat_maps_are_not_scored(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "maps/2.png")
    assert names(find_images([tmp_path], tmp_path / "maps").images, tmp_path) == ["1.png"]
    assert len(find_images([tmp_path]).images) == 2


def test_what_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "empty/notes.txt")
    with pytest.raises(UsageError, match=r"there is no .*x\.png, no .*y"):
        find_images([tmp_path / "x.png", tmp_path / "1.png", tmp_path / "y"])
    with pytest.raises(UsageError, match=r"no image in .*empty"):
        find_images([tmp_path / "empty"])


def test_folders_that_cannot_be_listed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "1.png", "closed/2.png")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("bench.data.finding.os.scandir", refuse)
    found = find_images([tmp_path])
    assert names(found.images, tmp_path) == ["1.png"]
    assert found.unread == (f"{tmp_path / 'closed'}: Permission denied",)
