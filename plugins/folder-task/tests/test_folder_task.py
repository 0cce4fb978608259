"""Folders as a stranger might have them: right, incomplete, and subtly wrong."""

from pathlib import Path

import pytest
from folder_task import LAYOUT, NAME, bench_tasks, list_files

import bench


def touch(*paths: Path) -> None:
    """Make empty files: listing a task opens none of them."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small folder in the layout, with one mask."""
    root = tmp_path / NAME
    touch(root / "fit" / "P001_left_1.png", root / "fit" / "P001_right_2.JPG", root / "fit" / "P002_left_1.png")
    touch(root / "test" / "normal" / "P003_left_1.png")
    touch(root / "test" / "anomalous" / "P004_left_1.png", root / "test" / "anomalous" / "P012_right_3.png")
    touch(root / "masks" / "P012_right_3.tif")
    return root


def test_folders_and_names_tell_everything(root: Path) -> None:
    """Role and label come from the folder, patient and category from the name, the mask from its stem."""
    touch(root / "fit" / "notes.txt", root / "fit" / ".hidden.png")
    files = {file.path.name: file for file in list_files(root.parent)}
    assert len(files) == 6
    assert files["P001_right_2.JPG"][1:6] == (0, "right", "P001", "fit", None)
    assert files["P003_left_1.png"][1:6] == (0, "left", "P003", "test", None)
    assert files["P004_left_1.png"][1:6] == (1, "left", "P004", "test", None)
    assert files["P012_right_3.png"][1:6] == (1, "right", "P012", "test", root / "masks" / "P012_right_3.tif")


def test_masks_are_optional(root: Path) -> None:
    """Without the folder no image has a mask."""
    (root / "masks" / "P012_right_3.tif").unlink()
    (root / "masks").rmdir()
    assert {file.mask for file in list_files(root.parent)} == {None}


@pytest.mark.parametrize("folder", ["fit", "test/normal", "test/anomalous"])
def test_an_empty_folder_shows_the_layout(root: Path, folder: str) -> None:
    """Missing and empty folders are one fault: the user sees which folder, and what belongs there."""
    for path in (root / folder).iterdir():
        path.unlink()
    with pytest.raises(bench.DataMissingError) as caught:
        list_files(root.parent)
    assert str(root / folder) in str(caught.value)
    assert LAYOUT in str(caught.value)


def test_nothing_there_shows_the_layout(tmp_path: Path) -> None:
    """The usual first run: --data names the wrong folder."""
    with pytest.raises(bench.DataMissingError, match="no images in"):
        list_files(tmp_path)


def test_a_patient_may_not_be_learned_from_and_tested_on(root: Path) -> None:
    """The leak that makes every detector look better is refused, naming the patients."""
    touch(root / "test" / "normal" / "P001_left_9.png")
    with pytest.raises(bench.EnvironmentProblem, match="both fit and test: P001"):
        list_files(root.parent)


@pytest.mark.parametrize("name", ["scan.png", "P005_left.png", "P005_left_x.png", "_left_1.png"])
def test_a_name_without_patient_is_refused(root: Path, name: str) -> None:
    """The text names the file and shows how it should be named."""
    touch(root / "fit" / name)
    with pytest.raises(bench.EnvironmentProblem, match=rf"fit/{name} is not named .*P012_left_3\.png"):
        list_files(root.parent)


@pytest.mark.parametrize("name", ["P099_left_1.png", "P003_left_1.png", "P001_left_1.png"])
def test_a_mask_without_anomalous_image_is_refused(root: Path, name: str) -> None:
    """A misspelt mask would otherwise be a lesion that nobody looks for."""
    touch(root / "masks" / name)
    with pytest.raises(bench.EnvironmentProblem, match=f"no image of test/anomalous: {name}"):
        list_files(root.parent)


def test_two_masks_for_one_image_are_refused(root: Path) -> None:
    """Neither is preferred."""
    touch(root / "masks" / "P012_right_3.png")
    with pytest.raises(bench.EnvironmentProblem, match="two masks for one image"):
        list_files(root.parent)


def test_the_offer() -> None:
    """The task is grouped by patient, which the checks above make true."""
    (spec,) = bench_tasks()
    assert (spec.name, spec.grouping, spec.build) == (NAME, "patient", list_files)
