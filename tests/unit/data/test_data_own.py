"""A user's own folder or CSV as a task: every rule, and every error with its line and its fix."""

from __future__ import annotations

import os
import re
import stat
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.contracts import ImageFile, TaskSpec
from bench.data.decode import open_images, prepare_images
from bench.data.index import index_task
from bench.data.own import load_task, patient_key, read_salt
from bench.data.own_toml import line_of
from bench.errors import BadTaskError, BenchError, StorageError, UsageError

TASK = """\
[task]
name = "my-hospital"
version = "1"
modality = "OCT"
"""
FOLDERS = (
    TASK
    + """\
[images]
pattern = "**/*.png"
[labels]
normal = ["NORMAL"]
[split]
rule = "folders"
fit = ["train"]
test = ["test"]
"""
)
CSV = (
    TASK
    + """\
[images]
csv = "labels.csv"
[columns]
path = "file"
label = "diagnosis"
patient = "pid"
[labels]
normal = ["NORMAL"]
[split]
rule = "column"
column = "split"
fit = ["fit"]
test = ["test"]
"""
)
HASH = FOLDERS.partition("[split]")[0] + '[split]\nrule = "hash"\nfit = 0.6\n'
HASH_CSV = CSV.partition("[split]")[0] + '[split]\nrule = "hash"\nfit = 0.5\nseed = 3\n'
ROWS = (
    "file,diagnosis,pid,split",
    "a.png,NORMAL,1,fit",
    "b.png,NORMAL,2,fit",
    "c.png,DME,3,fit",
    "d.png,NORMAL,4,test",
    "e.png,CNV,5,test",
)


def write_png(path: Path, level: int = 0) -> None:
    """Write a small 16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8), 257 * level, np.uint16)).save(path)


def write(folder: Path, toml: str, rows: Sequence[str] = ()) -> Path:
    """Write the task's file, and the CSV with the images that its first column names."""
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        (folder / "labels.csv").write_text("\n".join(rows) + "\n")
        for number, row in enumerate(rows[1:]):
            write_png(folder / row.split(",")[0], number)
    path = folder / "task.toml"
    path.write_text(toml)
    return path


def scans(folder: Path, normals: int = 3) -> Path:
    """Write the obvious folder: train and test, with a normal and two anomalous classes."""
    for split in ("train", "test"):
        for category, count in (("NORMAL", normals), ("CNV", 2), ("DME", 1)):
            for number in range(count):
                write_png(folder / "scans" / split / category / f"{category}-{number}.png", number)
    return folder


def load(path: Path) -> tuple[TaskSpec, dict[str, ImageFile]]:
    """Load a task; its images by file name below the folder of the task."""
    spec = load_task(path, path.parent / "cache")
    files = {file.path.relative_to(path.parent).as_posix(): file for file in spec.build(Path("/nowhere"))}
    return spec, files


def roles(files: dict[str, ImageFile]) -> dict[str, str]:
    return {name: file.role for name, file in files.items()}


def problems(path: Path, error: type[BenchError] = BadTaskError) -> list[str]:
    """Have loading fail; the problems, with the folder's name taken off."""
    with pytest.raises(error) as caught:
        load_task(path, path.parent / "cache")
    assert type(caught.value) is error
    head, *lines = str(caught.value).split("\n  ")
    count = re.search(r"(one|\d+) problem", head)
    assert count is not None, head
    assert head.startswith(f"{path} cannot be used as a task")
    return [line.replace(f"{path.parent}{os.sep}", "").replace(str(path.parent), "ROOT") for line in lines]


def only_problem(path: Path, error: type[BenchError] = BadTaskError) -> str:
    (problem,) = problems(path, error)
    return problem


def change(text: str, **values: str) -> str:
    """Replace the values of keys, each of which occurs once."""
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", lambda _match, k=key, v=value: f"{k} = {v}", text)  # type: ignore[misc]
        assert count == 1, key
    return text


# What works


def test_the_obvious_folder(tmp_path: Path) -> None:
    spec, files = load(write(scans(tmp_path), FOLDERS))
    assert (spec.name, spec.version, spec.modality, spec.grouping) == ("my-hospital", "1", "OCT", "unknown")
    assert spec.private
    counts = Counter((file.role, file.label, file.category) for file in files.values())
    assert counts == {
        ("fit", 0, "NORMAL"): 3,
        ("pool", 1, "CNV"): 2,
        ("pool", 1, "DME"): 1,
        ("test", 0, "NORMAL"): 3,
        ("test", 1, "CNV"): 2,
        ("test", 1, "DME"): 1,
    }
    assert all(file.patient is None and file.mask is None and file.path.is_absolute() for file in files.values())
    assert not (tmp_path / "cache").exists()  # no patients, no salt


def test_the_example_of_the_docstring(tmp_path: Path) -> None:
    import bench.data.own

    example = (bench.data.own.__doc__ or "").partition("::\n")[2].partition("All problems")[0]
    _, files = load(write(scans(tmp_path), textwrap.dedent(example)))
    assert len(files) == 12


def test_from_sixteen_bit_png_to_decoded_images(tmp_path: Path) -> None:
    spec = load_task(write(scans(tmp_path, normals=40), FOLDERS), tmp_path / "cache")
    manifest = index_task(spec, tmp_path, tmp_path / "cache")
    assert manifest.counts()["test"] == {"normal": 40, "anomalous": 3}
    maps = prepare_images(spec, manifest, 8, tmp_path / "cache")
    images = open_images(maps.evaluate, 1)
    for row, entry in enumerate(manifest.of_role("tune", "test")):
        assert (images[row] == int(entry.path.stem.split("-")[1])).all()


def test_hidden_files_are_no_images_and_a_file_is_found_once(tmp_path: Path) -> None:
    path = write(scans(tmp_path), change(FOLDERS, pattern='"**/**/*.png"'))
    (tmp_path / "scans" / "train" / "NORMAL" / "._NORMAL-0.png").write_text("no image")
    assert len(load(path)[1]) == 12


@pytest.mark.parametrize("root", ['"scans"', '"./scans/../scans"', None])
def test_root_is_relative_to_the_file_or_absolute(tmp_path: Path, root: str | None) -> None:
    root = root or f'"{tmp_path}/scans"'
    path = write(scans(tmp_path), change(FOLDERS, pattern=f'"train/**/*.png"\nroot = {root}', test='["train/CNV"]'))
    assert "is in both fit and test" in problems(path)[0]
    path = write(tmp_path, change(FOLDERS, pattern=f'"*/*/*.png"\nroot = {root}'))
    assert len(load(path)[1]) == 12


def test_a_folder_is_named_anywhere_or_relative_to_root(tmp_path: Path) -> None:
    for name in ("2021/a/NORMAL/1.png", "2022/a/NORMAL/2.png", "2022/ab/b/NORMAL/3.png", "2022/b/CNV/4.png"):
        write_png(tmp_path / name)
    _, files = load(write(tmp_path, change(FOLDERS, fit='["2021", "2022/a/"]', test='["b"]')))
    assert roles(files) == {
        "2021/a/NORMAL/1.png": "fit",
        "2022/a/NORMAL/2.png": "fit",
        "2022/ab/b/NORMAL/3.png": "test",
        "2022/b/CNV/4.png": "test",
    }


def test_ignored_folders_are_left_out_even_below_others(tmp_path: Path) -> None:
    write_png(scans(tmp_path) / "scans" / "val" / "NORMAL" / "1.png")
    write_png(tmp_path / "scans" / "train" / "bad" / "NORMAL" / "1.png")
    write_png(tmp_path / "scans" / "train" / "test" / "val" / "NORMAL" / "1.png")
    _, files = load(write(tmp_path, FOLDERS + 'ignore = ["val", "scans/train/bad"]\n'))
    assert len(files) == 12


def test_the_obvious_csv(tmp_path: Path) -> None:
    spec, files = load(write(tmp_path, CSV, ROWS))
    assert roles(files) == {"a.png": "fit", "b.png": "fit", "c.png": "pool", "d.png": "test", "e.png": "test"}
    assert [file.label for file in files.values()] == [0, 0, 1, 0, 1]
    assert [file.category for file in files.values()] == ["NORMAL", "NORMAL", "DME", "NORMAL", "CNV"]
    assert spec.grouping == "patient"


def test_masks_and_categories_of_a_csv(tmp_path: Path) -> None:
    rows = [f"{ROWS[0]},mask,kind", *(f"{row},,healthy" for row in ROWS[1:5]), f"{ROWS[5]},m/e.png,wet"]
    write_png(tmp_path / "m" / "e.png")
    _, files = load(write(tmp_path, change(CSV, patient='"pid"\nmask = "mask"\ncategory = "kind"'), rows))
    assert files["e.png"].mask == tmp_path / "m" / "e.png"
    assert files["a.png"].mask is None
    assert (files["e.png"].category, files["a.png"].category) == ("wet", "healthy")


def test_without_a_label_column_the_folder_is_the_label(tmp_path: Path) -> None:
    toml = FOLDERS.replace('pattern = "**/*.png"', 'csv = "labels.csv"\n[columns]\npath = "file"')
    rows = ("file", "train/NORMAL/1.png", "test/NORMAL/2.png", "test/CNV/3.png")
    _, files = load(write(tmp_path, toml, rows))
    assert [(file.role, file.label) for file in files.values()] == [("fit", 0), ("test", 0), ("test", 1)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_as_spreadsheets_write_it(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, CSV, ROWS)
    rows = [row.replace("NORMAL", '"NORMAL"').replace(",", delimiter + " ") for row in (*ROWS, "")]
    text = "\r\n".join(rows)
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(load(path)[1]) == 5


def test_a_byte_order_mark_before_the_toml(tmp_path: Path) -> None:
    path = write(scans(tmp_path), FOLDERS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load(path)[1]) == 12


def test_absolute_paths_and_dots_that_stay_inside(tmp_path: Path) -> None:
    path = write(tmp_path, CSV, ROWS)
    text = (tmp_path / "labels.csv").read_text().replace("a.png", f"{tmp_path}/a.png").replace("b.png", "x/../b.png")
    (tmp_path / "labels.csv").write_text(text)
    assert {"a.png", "b.png"} <= load(path)[1].keys()


def hashed_rows(patients: int, sick: Callable[[int], bool], images: int = 2) -> list[str]:
    rows = ["file,diagnosis,pid,split"]
    for patient in range(patients):
        rows += [f"{patient}-{number}.png,NORMAL,p{patient}," for number in range(images)]
        rows += [f"{patient}-sick.png,CNV,p{patient},"] * sick(patient)
    return rows


def test_hash_keeps_patients_together(tmp_path: Path) -> None:
    spec, files = load(write(tmp_path, HASH_CSV, hashed_rows(60, lambda patient: patient % 2 == 0)))
    found: dict[str | None, set[str]] = {}
    for file in files.values():
        found.setdefault(file.patient, set()).add(file.role)
        assert file.role != "fit" or file.label == 0
    assert set(map(frozenset, found.values())) <= {
        frozenset(kind) for kind in ({"fit"}, {"fit", "pool"}, {"test"})
    }  # never fit or pool with test
    assert {"pool"} <= set().union(*found.values())
    assert 15 < sum("fit" in kinds for kinds in found.values()) < 45
    assert spec.grouping == "patient"


def test_hash_puts_anomalies_of_other_patients_into_test(tmp_path: Path) -> None:
    rows = [*hashed_rows(20, lambda _: False), *(f"s{n}.png,CNV,only-sick-{n}," for n in range(20))]
    _, files = load(write(tmp_path, HASH_CSV, rows))
    assert {file.role for file in files.values() if file.label} == {"test"}


def test_hash_depends_on_seed_and_key_alone(tmp_path: Path) -> None:
    rows = hashed_rows(40, lambda patient: patient < 12)
    first = roles(load(write(tmp_path / "a", HASH_CSV, rows))[1])
    assert roles(load(write(tmp_path / "b", HASH_CSV, [rows[0], *rows[:0:-1]]))[1]) == first  # another salt, too
    assert roles(load(write(tmp_path / "c", change(HASH_CSV, seed="4"), rows))[1]) != first
    more = roles(load(write(tmp_path / "d", change(HASH_CSV, fit="0.8"), rows))[1])
    assert {name for name, role in first.items() if role == "fit"} < {n for n, role in more.items() if role == "fit"}


def test_hash_without_patients_goes_by_path(tmp_path: Path) -> None:
    spec, files = load(write(scans(tmp_path, normals=40), HASH))
    fit = [name for name, file in files.items() if file.role == "fit"]
    assert 30 < len(fit) < 66
    assert {"scans/train", "scans/test"} == {name.partition("/NORMAL")[0] for name in fit}
    assert {file.role for file in files.values() if file.label} == {"test"}
    assert spec.grouping == "image"


@pytest.mark.parametrize(
    ("row", "declared", "grouping"),
    [
        ("d.png,NORMAL,1,test", None, "unknown"),  # patient 1 is in fit, too
        ("d.png,NORMAL,3,test", None, "unknown"),  # patient 3 is in pool, too
        ("d.png,NORMAL,,test", None, "unknown"),
        ("d.png,NORMAL,4,test", "patient", "patient"),
        ("d.png,NORMAL,1,test", "eye", "eye"),
        ("d.png,NORMAL,4,test", "image", "image"),
    ],
)
def test_grouping_is_declared_or_what_the_split_keeps_apart(
    tmp_path: Path, row: str, declared: str | None, grouping: str
) -> None:
    toml = change(CSV, modality=f'"OCT"\ngrouping = "{declared}"') if declared else CSV
    spec, _ = load(write(tmp_path, toml, [*ROWS[:4], row, ROWS[5]]))
    assert spec.grouping == grouping


def test_publishing_is_asked_for(tmp_path: Path) -> None:
    more = '"OCT"\npublish = true\ncitation = "Doe 2024"\nlicence = "CC0"\nurl = "https://example.org"'
    spec, _ = load(write(scans(tmp_path), change(FOLDERS, modality=more)))
    assert not spec.private
    assert (spec.citation, spec.licence, spec.url) == ("Doe 2024", "CC0", "https://example.org")


# Patients


def test_patients_are_salted_hashes(tmp_path: Path) -> None:
    _, files = load(write(tmp_path, CSV, [*ROWS, "f.png,CNV,5,test", "g.png,CNV,,test"]))
    salt = (tmp_path / "cache" / "salt").read_bytes()
    keys = [file.patient for file in files.values()]
    assert keys[:6] == [patient_key(number, salt) for number in ("1", "2", "3", "4", "5", "5")]
    assert keys[6] is None
    assert all(re.fullmatch(r"[0-9a-f]{16}", str(key)) for key in keys[:6])
    assert patient_key("1", salt) != patient_key("1", bytes(32))
    assert load(tmp_path / "task.toml")[1] == files


def test_the_salt_is_secret_and_drawn_once(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    salt = read_salt(cache)
    assert len(salt) == 32
    assert stat.S_IMODE((cache / "salt").stat().st_mode) == 0o600
    assert read_salt(cache) == salt
    assert read_salt(tmp_path / "other") != salt
    assert [path.name for path in cache.iterdir()] == ["salt"]


def test_processes_that_race_agree_on_one_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them find no salt, and only then does each write its own."""
    barrier, exists = Barrier(8), Path.exists

    def wait_for_all(path: Path) -> bool:
        there = exists(path)
        barrier.wait(10)
        return there

    monkeypatch.setattr(Path, "exists", wait_for_all)
    with ThreadPoolExecutor(8) as threads:
        salts = set(threads.map(lambda _: read_salt(tmp_path), range(8)))
    assert salts == {(tmp_path / "salt").read_bytes()}
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]


def test_the_salt_of_a_faster_process_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_while_another_process_writes(count: int) -> bytes:
        (tmp_path / "salt").write_bytes(b"f" * 32)
        return bytes(count)

    monkeypatch.setattr(os, "urandom", draw_while_another_process_writes)
    assert read_salt(tmp_path) == b"f" * 32


def test_salts_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(StorageError, match="salt is damaged: restore it, or remove it"):
        read_salt(tmp_path)
    with pytest.raises(StorageError, match=r"cannot write .*salt: a part of this path is a file"):
        read_salt(tmp_path / "salt")


# The TOML file: shape


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('modality = "OCT"', 'modalty = "OCT"', "4: modalty of [task]: unknown key: did you mean modality?"),
        ("[labels]", "[lables]", "7: [lables]: unknown table: did you mean labels?"),
        ('name = "my-hospital"', "name = 3", '2: name of [task]: wrong type (a number): write name = "my-hospital"'),
        ('version = "1"', "version = 1", '3: version of [task]: wrong type (a number): write version = "1"'),
        ('version = "1"', 'version = "a/b"', "3: version of [task]: 'a/b' is no version: letters, digits, dots"),
        ('name = "my-hospital"', 'name = "My Hospital"', "2: name of [task]: 'My Hospital' is no name: lower-case"),
        ('name = "my-hospital"\n', "", '1: name of [task]: is missing: add name = "my-hospital"'),
        ('modality = "OCT"', 'modality = ""', '4: modality of [task]: is empty: write modality = "OCT"'),
        (
            'modality = "OCT"',
            'modality = "OCT"\npublish = "no"',
            "5: publish of [task]: wrong type (text): write publish = f",
        ),
        (
            'modality = "OCT"',
            'modality = "OCT"\ngrouping = "x"',
            "5: grouping of [task]: 'x' does not exist: take one of pat",
        ),
        ('normal = ["NORMAL"]', 'normal = "NORMAL"', '8: normal of [labels]: wrong type (text): write normal = ["NOR'),
        ('normal = ["NORMAL"]', "normal = []", '8: normal of [labels]: is empty: write normal = ["NORMAL"]'),
        ('normal = ["NORMAL"]', "normal = [1]", '8: normal of [labels]: wrong type (a number): write normal = ["NOR'),
        (
            'normal = ["NORMAL"]',
            'normal = ["A"]\nanomalous = ["A"]',
            "9: anomalous of [labels]: 'A' is in normal too: keep one",
        ),
        ('test = ["test"]', 'test = ["train"]', "12: test of [split]: 'train' is in fit too: keep one"),
        ('test = ["test"]', "test = 2020-01-01", '12: test of [split]: wrong type (a date): write test = ["test"]'),
        (
            'rule = "folders"',
            'rule = "folder"',
            "10: rule of [split]: 'folder' does not exist: take one of folders, column, h",
        ),
        ('rule = "folders"\n', "", '9: rule of [split]: is missing: add rule = "folders"'),
        (
            'rule = "folders"',
            'rule = "folders"\nseed = 1',
            '11: seed of [split]: unknown key: remove it with rule = "folders"',
        ),
        (
            'pattern = "**/*.png"',
            'pattern = "*"\ncsv = "l"',
            "7: csv of [images]: pattern and csv exclude each other: keep",
        ),
        ('pattern = "**/*.png"', "", "5: csv of [images]: add pattern or csv"),
        ('pattern = "**/*.png"', 'csv = "l"', "6: csv of [images]: say what its columns are called: add [columns]"),
        ("[labels]", '[columns]\npath = "f"\n[labels]', "7: [columns]: a pattern has no columns: remove the table"),
    ],
)
def test_shapes_that_are_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in FOLDERS
    found = problems(write(tmp_path, FOLDERS.replace(old, new)), UsageError)
    assert any(line.startswith(f"task.toml:{problem}") for line in found), found


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (change(HASH, fit="1.0"), "11: fit of [split]: 1.0 is no share: give a number above 0 and below 1"),
        (change(HASH, fit='["train"]'), "11: fit of [split]: wrong type (a list): write fit = 0.6"),
        (
            HASH + 'test = ["test"]\n',
            '12: test of [split]: unknown key: remove it with rule = "hash"; known: rule, fit, s',
        ),
        (HASH + "seed = 0.5\n", "12: seed of [split]: wrong type (a number): write seed = 0"),
        (
            change(HASH, rule='"column"\ncolumn = "x"\ntest = ["y"]', fit='["z"]'),
            '10: rule of [split]: "column" needs a csv',
        ),
        (CSV.replace('column = "split"\n', ""), '13: column of [split]: is missing: add column = "split"'),
        (CSV.replace('path = "file"\n', ""), '7: path of [columns]: is missing: add path = "file"'),
        (CSV.replace('label = "diagnosis"\n', ""), '7: label of [columns]: is missing: add label = "diagnosis" (rule'),
        ("split = 3\n" + HASH.partition("[split]")[0], "1: [split]: expected a table, not 3: write [split] on a line"),
        (HASH.partition("[split]")[0], "1: [split]: is missing: add the table, with rule and fit and test"),
        (CSV.replace("[labels]\n", "[[labels]]\n"), "11: [labels]: expected a table, not [{'normal': ['NORMAL']}]"),
    ],
)
def test_other_shapes_that_are_refused(tmp_path: Path, toml: str, problem: str) -> None:
    found = problems(write(tmp_path, toml), UsageError)
    assert any(line.startswith(f"task.toml:{problem}") for line in found), found


def test_publishing_needs_to_say_whose_images_they_are(tmp_path: Path) -> None:
    toml = change(FOLDERS, modality='"OCT"\npublish = true\nurl = ""')
    assert problems(write(tmp_path, toml), UsageError) == [
        'task.toml:1: citation of [task]: publish = true needs it: add citation = "…"',
        'task.toml:1: licence of [task]: publish = true needs it: add licence = "…"',
        'task.toml:6: url of [task]: publish = true needs it: add url = "…"',
    ]


def test_all_problems_of_the_shape_at_once(tmp_path: Path) -> None:
    toml = change(FOLDERS, name="1", version="2", normal="3", fit="4", test="5") + "[extra]\nkey = 1\n"
    lines = [int(line.split(":")[1]) for line in problems(write(tmp_path, toml), UsageError)]
    assert sorted(lines) == [2, 3, 8, 11, 12, 13]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[task]\nname = "a\n', r"task.toml:2: not TOML: .*check quotes"),
        (b'[task]\nname = "a"\nname = "b"\n', r"task.toml:3: not TOML: Cannot overwrite"),
        (b'[images]\npattern = "scans\\new"\nroot = "a\\q"', r"task.toml:3: not TOML: Unescaped"),
        (b"[task]\nname = [", r"task.toml:2: not TOML: "),
        (b'[task]\nname = "\xff"\n', r"task.toml:2: not UTF-8"),
    ],
)
def test_files_that_are_no_toml(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "task.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        load_task(path, tmp_path)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*no.toml: No such file or directory: name the TOML file"):
        load_task(tmp_path / "no.toml", tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[other]\nfit = 1\n[split]\n"fit" = 2', 4),
        ("split.rule = 1\nsplit.fit = 2", 2),
        ("\n[split] # fit = 3\n# fit = 2", 2),
        ("a = 1\nsplit = {fit = 1}", 2),
        ("a = 1", 1),
        ("[[split]]\nrule = 1\nfit=3", 3),
    ],
)
def test_lines_of_keys(text: str, line: int) -> None:
    assert line_of(text, "split", "fit") == line


KEYS = st.sampled_from(["name", "rule", "fit", "test", "csv", "pattern", "path", "normal", "anomalous", "publish"])
VALUES = st.sampled_from(['"folders"', '"hash"', '"column"', "1", "0.5", "true", "[]", '["a"]', "[[1]]", "{a=1}", '""'])
TABLES = st.sampled_from(["task", "images", "columns", "labels", "split", "extra"])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TABLES, st.integers() | st.lists(st.integers(), max_size=1) | st.dictionaries(KEYS, VALUES)))
def test_no_shape_gets_past_our_own_words(tmp_path_factory: pytest.TempPathFactory, shape: dict[str, object]) -> None:
    plain = [f"{table} = {value}" for table, value in shape.items() if not isinstance(value, dict)]
    tables = [
        "\n".join([f"[{table}]", *(f"{key} = {value}" for key, value in keys.items())])
        for table, keys in shape.items()
        if isinstance(keys, dict)
    ]
    path = tmp_path_factory.mktemp("shape") / "task.toml"
    path.write_text("\n".join(plain + tables))
    with pytest.raises(UsageError, match="cannot be used as a task"):
        load_task(path, path.parent)


# The images, the CSV and the split


def test_a_pattern_that_fits_nothing(tmp_path: Path) -> None:
    found = only_problem(write(scans(tmp_path), change(FOLDERS, pattern='"*.tif"')))
    assert found == "task.toml:6: pattern of [images]: '*.tif' fits no file in ROOT: correct it, or root"


@pytest.mark.parametrize("pattern", ["../**/*.png", "/etc/*", "scans/../../*.png"])
def test_a_pattern_that_leads_outside(tmp_path: Path, pattern: str) -> None:
    write_png(tmp_path / "secret.png")
    found = only_problem(write(scans(tmp_path / "in"), change(FOLDERS, pattern=f'"{pattern}"')))
    assert found.startswith(f"task.toml:6: pattern of [images]: '{pattern}' leads outside root: write it relative")


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, change(FOLDERS, pattern='"*"\nroot = "gone"'))
    assert only_problem(path) == "task.toml:7: root of [images]: no folder gone: name the folder that the images lie in"


def test_all_bad_rows_of_a_csv_at_once(tmp_path: Path) -> None:
    toml = change(CSV, patient='"pid"\nmask = "mask"', normal='["NORMAL"]\nanomalous = ["CNV", "DME"]')
    path = write(tmp_path / "in", toml, ROWS)
    write_png(tmp_path / "secret.png")
    rows = [
        "file,diagnosis,pid,split,mask",
        "a.png,NORMAL,1,fit,",
        "gone.png,NORMAL,1,fit,",
        "./a.png,NORMAL,1,fit,",
        "../secret.png,NORMAL,1,fit,",
        f"{tmp_path}/secret.png,NORMAL,1,fit,",
        "",
        "b.png,DRUSEN,1,fit,",
        "c.png,NORMAL,1,fit,m/c.png",
        "d.png,NORMAL,1,test,../secret.png",
        "e.png,CNV,1,test",
        ",CNV,1,test,",
        "e.png,,1,test,",
        "sub\\\\x.png,CNV,1,test,",
        '"two\nlines.png",CNV,1,test,',
    ]
    (path.parent / "labels.csv").write_text("\n".join(rows))
    assert problems(path) == [
        "labels.csv:3: image 'gone.png' is not in ROOT: correct the row, or root of [images]",
        "labels.csv:4: './a.png' is in line 2 already: remove one of the two rows",
        "labels.csv:5: image '../secret.png' lies outside ROOT: move it there, or change root of [images]",
        f"labels.csv:6: image '{tmp_path}/secret.png' lies outside ROOT: move it there, or change root of [images]",
        "labels.csv:9: mask 'm/c.png' is not in ROOT: correct the row, or root of [images]",
        "labels.csv:10: mask '../secret.png' lies outside ROOT: move it there, or change root of [images]",
        "labels.csv:11: 4 cells, but the header has 5: put text with commas in quotes",
        "labels.csv:12: no image is named: fill in the path, or remove the row",
        "labels.csv:14: image 'sub\\\\x.png' is not in ROOT: write / for \\",
        "labels.csv:15: image 'two\nlines.png' is not in ROOT: correct the row, or root of [images]",
        "labels.csv:8: label 'DRUSEN' (1 image(s), first 'b.png') is neither normal nor anomalous: "
        "add it to one of the lists in [labels]",
        "labels.csv:13: no label (1 image(s)): fill it in, or remove the row",
    ]


def test_twenty_problems_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    path = write(tmp_path, CSV, ROWS)
    with (tmp_path / "labels.csv").open("a") as file:
        file.writelines(f"gone{number}.png,CNV,9,test\n" for number in range(27))
    found = problems(path)
    assert len(found) == 21
    assert found[19].startswith("labels.csv:26: image 'gone19.png'")
    assert found[20] == "… and 7 more"
    with pytest.raises(BadTaskError, match="27 problems"):
        load_task(path, tmp_path)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("file,diagnosis,PID,split", "10: patient of [columns]: labels.csv has no column 'pid': did you mean 'PID'?"),
        ("File,diagnosis,pid,split", "8: path of [columns]: labels.csv has no column 'file': did you mean 'File'?"),
        (
            "file,diagnosis,pid,splits",
            "15: column of [split]: labels.csv has no column 'split': did you mean 'splits'?",
        ),
        ("file,diagnosis,pid,pid", "10: patient of [columns]: labels.csv has two columns 'pid': rename one"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, header: str, problem: str) -> None:
    found = problems(write(tmp_path, CSV, [header, *ROWS[1:]]))
    assert found[0].startswith(f"task.toml:{problem}")
    assert all(line.startswith("task.toml:") for line in found)  # the rows are not blamed for it


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"file,diagnosis,pid,split\na.png,Ge\xf6ffnet,1,fit\n",
            "labels.csv:2: not UTF-8: save the file as 'CSV UTF-8'",
        ),
        (b'file,diagnosis,pid,split\n"a.png"x,NORMAL,1,fit\n', "labels.csv:2: not CSV: "),
        (b"file,diagnosis,pid,split\n", "labels.csv:1: lists no images: add a row for each"),
        (b"", "task.toml:8: path of [columns]: labels.csv has no column 'file': it has none"),
    ],
)
def test_files_that_are_no_csv(tmp_path: Path, content: bytes, problem: str) -> None:
    path = write(tmp_path, CSV, ROWS)
    (tmp_path / "labels.csv").write_bytes(content)
    assert problems(path)[0].startswith(problem)


def test_a_csv_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, CSV)
    assert only_problem(path) == "task.toml:6: csv of [images]: cannot read labels.csv: No such file or directory"


def test_labels_of_folders_outside_the_table(tmp_path: Path) -> None:
    path = write(scans(tmp_path), change(FOLDERS, normal='["NORMAL"]\nanomalous = ["CNV"]'))
    assert only_problem(path) == (
        "task.toml:6: pattern of [images]: label 'DME' (2 image(s), first 'DME-0.png') is neither normal nor "
        "anomalous: add it to one of the lists in [labels]"
    )


def test_a_normal_label_that_no_image_has_would_make_every_image_anomalous(tmp_path: Path) -> None:
    path = write(scans(tmp_path), change(FOLDERS, normal='["Normal"]'))
    assert only_problem(path) == (
        "task.toml:8: normal of [labels]: no image has the label 'Normal': did you mean NORMAL?"
    )


def test_images_that_the_split_forgets(tmp_path: Path) -> None:
    write_png(scans(tmp_path) / "scans" / "val" / "NORMAL" / "1.png")
    assert only_problem(write(tmp_path, FOLDERS)) == (
        "task.toml:10: rule of [split]: 1 image(s) of 'scans/val/NORMAL' are in neither: add it to fit, test or ignore"
    )
    rows = [*ROWS, "f.png,CNV,6,val", "g.png,CNV,7,val"]
    assert only_problem(write(tmp_path / "csv", CSV, rows)) == (
        "task.toml:14: rule of [split]: 2 image(s) of 'val' are in neither: add it to fit, test or ignore"
    )


def test_names_of_the_split_that_fit_nothing(tmp_path: Path) -> None:
    path = write(scans(tmp_path), change(FOLDERS, fit='["train", "trian"]', test='["test", "scans/tset"]'))
    assert problems(path) == [
        "task.toml:11: fit of [split]: 'trian' fits no image: correct it, or remove it",
        "task.toml:12: test of [split]: 'scans/tset' fits no image: correct it, or remove it",
    ]


def test_patients_on_both_sides_of_a_split_by_patient(tmp_path: Path) -> None:
    rows = [*ROWS, "f.png,NORMAL,1,test", "g.png,CNV,3,test"]  # 1 in fit, 3 in pool
    path = write(tmp_path, change(CSV, modality='"OCT"\ngrouping = "patient"'), rows)
    assert only_problem(path) == (
        "task.toml:5: grouping of [task]: patients in both fit and test: 1, 3: move each to one side"
    )


def test_a_split_by_patient_needs_every_patient(tmp_path: Path) -> None:
    path = write(tmp_path, change(CSV, modality='"OCT"\ngrouping = "patient"'), [*ROWS, "f.png,NORMAL,,test"])
    assert only_problem(path).startswith(
        "task.toml:5: grouping of [task]: 1 image(s) have no patient: fill in the column"
    )


@pytest.mark.parametrize(
    ("toml", "missing", "problem"),
    [
        (FOLDERS, "scans/train/NORMAL", "11: fit of [split]: no normal images to learn from: name more in fit"),
        (FOLDERS, "scans/test/NORMAL", "12: test of [split]: no normal images to test on: name some in test"),
        (FOLDERS, "scans/test/[CD]*", "12: test of [split]: no anomalous images to test on: name some in test"),
        (FOLDERS, "scans/*/[CD]*", "12: test of [split]: no anomalous images to test on: check normal of [labels]"),
        (change(HASH, fit="0.0001"), None, "11: fit of [split]: no normal images to learn from: name more in fit"),
        (change(HASH, fit="0.9999"), None, "11: fit of [split]: no normal images to test on: lower fit, or take anot"),
    ],
)
def test_roles_that_stay_empty(tmp_path: Path, toml: str, missing: str | None, problem: str) -> None:
    path = write(scans(tmp_path), toml)
    for folder in tmp_path.glob(missing) if missing else ():
        for image in folder.iterdir():
            image.unlink()
    assert only_problem(path).startswith(f"task.toml:{problem}")
