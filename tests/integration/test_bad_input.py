"""Each case of bad input: a clear error that names the thing and the fix, the right exit code, and nothing trained."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Bench, toy_detector, write_image

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def toy(bench: Bench) -> None:
    bench.add_plugin("toy", toy_detector("toy"))


def fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_unknown_detector_names_the_nearest(run_toy: Run) -> None:
    fails(run_toy("--detectors", "toi"), 2, "unknown detector 'toi'", "did you mean toy")


def test_unknown_task_names_the_nearest(bench: Bench) -> None:
    fails(bench("run", "--detectors", "toy", "--tasks", "oct-fantom"), 2, "unknown task 'oct-fantom'", "oct-phantom")


def test_unknown_preset_names_the_nearest(run_toy: Run) -> None:
    fails(run_toy("--detectors", "toy", "--preset", "smoky"), 2, "preset of toy 'smoky'", "smoke")


def test_unknown_field_names_the_nearest(run_toy: Run) -> None:
    fails(run_toy("--detectors", "toy", "--set", "toy.powr=2"), 2, "field of toy 'powr'", "did you mean power")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("toy.power=much", ("power", "much")),
        ("toy.channels=2", ("channels", "2")),
        ("power=2", ("DETECTOR.FIELD=VALUE",)),
        ("salad.steps=2", ("salad", "not among --detectors")),
    ],
)
def test_bad_values(run_toy: Run, assignment: str, words: tuple[str, ...]) -> None:
    fails(run_toy("--detectors", "toy", "--set", assignment), 2, *words)


def test_label_that_changes_nothing_is_refused(run_toy: Run) -> None:
    done = run_toy("--detectors", "toy", "--set", "toy.power=1", "--label", "mine")
    fails(done, 2, "--label mine", "leave toy as its preset 'default' has it")


def test_infinite_value_reaches_the_detector(run_toy: Run, bench: Bench) -> None:
    assert run_toy("--detectors", "toy", "--set", "toy.power=inf").returncode == 1  # its scores are infinite
    assert "not finite" in bench.records()[0]["reason"]


def test_label_of_a_preset_is_refused(run_toy: Run) -> None:
    fails(run_toy("--detectors", "toy", "--set", "toy.power=2", "--label", "smoke"), 2, "--label smoke", "preset")


def test_broken_config_file_is_named(run_toy: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[toy\npower = 2")
    fails(run_toy("--detectors", "toy", "--config", str(tmp_path / "mine.toml")), 2, "mine.toml", "line 1")


@pytest.mark.parametrize("given", [None, "empty", "absent"])
def test_missing_data(bench: Bench, tmp_path: Path, given: str | None) -> None:
    (tmp_path / "empty").mkdir()
    where = ["--data", str(tmp_path / given)] if given else []
    done = bench("run", "--detectors", "toy", "--tasks", "chest-xray", *where)
    fails(
        done, 3, "chest-xray", str(tmp_path / given) if given else "BENCH_DATA", "train/{NORMAL,PNEUMONIA}", "mendeley"
    )


def test_every_unreadable_image_is_named_before_training(run_toy: Run, chest_data: Path, bench: Bench) -> None:
    root = chest_data / "chest_xray"
    truncated = sorted((root / "train" / "NORMAL").iterdir())[3]
    truncated.write_bytes(truncated.read_bytes()[:300])
    no_image = root / "test" / "PNEUMONIA" / "person99_virus_1.jpeg"
    no_image.write_bytes(b"this is text")
    done = run_toy("--detectors", "toy")
    fails(done, 3, truncated.name, no_image.name, "2 image(s)")
    empty = root / "train" / "NORMAL" / "IM-9000-0001.jpeg"
    empty.touch()
    done = run_toy("--detectors", "toy")
    fails(done, 3, truncated.name, no_image.name, f"{empty.name}: empty file", "3 image(s)")
    assert bench.records() == []


def test_unreadable_images_of_all_tasks_are_named_at_once(bench: Bench, chest_data: Path) -> None:
    root = chest_data / "OCT2017"
    for number in range(12):
        for folder in ("train/NORMAL", "test/NORMAL", "test/CNV"):
            write_image(root / folder / f"NORMAL-{number}{len(folder)}-1.jpeg", 10 * number + len(folder))
    text, empty = root / "test" / "CNV" / "CNV-1-1.jpeg", chest_data / "chest_xray/train/NORMAL/IM-9000-0001.jpeg"
    text.write_bytes(b"this is text")
    for command in (("oct2017,chest-xray", "1 image(s)"), ("oct2017,chest-xray", "2 image(s)")):
        done = bench("run", "--detectors", "toy", "--data", str(chest_data), "--tasks", command[0])
        fails(done, 3, text.name, command[1])
        empty.touch()


def test_existing_validation_folder_must_not_be_empty(run_toy: Run, chest_data: Path) -> None:
    (chest_data / "chest_xray" / "val" / "NORMAL").mkdir(parents=True)
    fails(run_toy("--detectors", "toy"), 3, "val/NORMAL", "empty")


def test_task_of_a_plugin_that_fails_is_named(bench: Bench) -> None:
    source = """
        import bench
        @bench.hookimpl
        def bench_tasks():
            return [bench.TaskSpec("sad", "1", "OCT", "c", "l", "u", "patient", "x", build=lambda data: 1 / 0)]
    """
    bench.add_plugin("sad", source)
    done = bench("run", "--detectors", "toy", "--tasks", "sad", "--data", str(bench.folder))
    fails(done, 3, "task 'sad' failed to list its images: ZeroDivisionError")
    assert "task 'sad' failed" in bench("doctor", "--data", str(bench.folder)).stdout


def test_every_empty_file_is_named(run_toy: Run, chest_data: Path) -> None:
    empty = [chest_data / "chest_xray" / "test" / "NORMAL" / f"IM-{number}-0001.jpeg" for number in (900, 901)]
    for path in empty:
        path.touch()
    fails(run_toy("--detectors", "toy"), 3, *(f"{path.name}: empty file" for path in empty))


@pytest.mark.parametrize("folder", ["train/NORMAL", "test/NORMAL", "test/PNEUMONIA"])
def test_empty_class(run_toy: Run, chest_data: Path, folder: str) -> None:
    for path in (chest_data / "chest_xray" / folder).iterdir():
        path.unlink()
    fails(run_toy("--detectors", "toy"), 3, folder, "empty")


def test_fewer_than_two_test_classes(bench: Bench, tmp_path: Path) -> None:
    root = tmp_path / "data" / "OCT2017"
    for number in range(12):
        write_image(root / "train" / "NORMAL" / f"NORMAL-{number}-1.jpeg", number)
        write_image(root / "test" / "NORMAL" / f"NORMAL-{100 + number}-1.jpeg", 100 + number)
    done = bench("run", "--detectors", "toy", "--tasks", "oct2017", "--data", str(tmp_path / "data"))
    fails(done, 3, "oct2017", "no anomalous test images", "12 normal, 0 anomalous")


def test_changed_data_is_refused_until_accepted(run_toy: Run, chest_data: Path, bench: Bench) -> None:
    assert run_toy("--detectors", "toy").returncode == 0
    folder = chest_data / "chest_xray" / "test" / "NORMAL"
    victim, gone = sorted(folder.iterdir())[:2]
    write_image(victim, 999)
    gone.unlink()
    write_image(folder / "IM-9999-0001.jpeg", 998)
    done = run_toy("--detectors", "toy")
    words = (f"changed: chest_xray/test/NORMAL/{victim.name}", f"missing: chest_xray/test/NORMAL/{gone.name}")
    fails(done, 3, *words, "added: chest_xray/test/NORMAL/IM-9999-0001.jpeg", "--accept-data-changes")
    accepted = run_toy("--detectors", "toy", "--accept-data-changes")
    assert accepted.returncode == 0, accepted.stderr
    assert len({record["task"]["manifest_sha256"] for record in bench.records()}) == 2


def test_touched_files_are_the_same_files(run_toy: Run, chest_data: Path) -> None:
    assert run_toy("--detectors", "toy").returncode == 0
    for path in (chest_data / "chest_xray" / "test" / "NORMAL").iterdir():
        os.utime(path)
    again = run_toy("--detectors", "toy")
    assert again.returncode == 0
    assert "reused" in again.stderr


def test_results_path_that_is_a_file(run_toy: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    fails(run_toy("--detectors", "toy", "--results", str(tmp_path / "taken")), 3, "taken", "not a folder")


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of two megabytes, mounted where this machine allows it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_full_disk_is_said_before_training(run_toy: Run, small_disk: Path) -> None:
    done = run_toy("--detectors", "toy", "--results", str(small_disk / "runs"))
    fails(done, 3, "cannot write", "MB are needed")
    assert "started" not in done.stderr


def test_read_only_results_folder_is_said_before_training(run_toy: Run, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    fails(run_toy("--detectors", "toy", "--results", str(small_disk / "runs")), 3, "cannot write", "read-only")


def test_pictures_that_cannot_be_written_cost_no_table(run_toy: Run, bench: Bench) -> None:
    bench.results.mkdir()
    (bench.results / "roc").write_text("in the way")
    done = run_toy("--detectors", "toy", "--json")
    assert done.returncode == 3
    assert "cannot write" in done.stderr
    assert json.loads(done.stdout)["rows"][0]["status"] == "ok"


def test_full_cache_disk_is_a_clear_error(run_toy: Run, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"\0" * (2 << 20))
    fails(run_toy("--detectors", "toy", BENCH_CACHE=str(small_disk / "cache")), 3, "cannot write", "full")
