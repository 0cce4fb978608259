"""Archives of strangers: bombs, names that lead elsewhere, links, copies; nothing of them is unpacked."""

import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results import archive
from bench.results.archive import MEMBERS, RATIO, pack, plain, unpack, unpack_file
from bench.results.store import RECORD, SCORES

CELL = f"runs/oct2017/salad/{'0' * 16}"


def written(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in members:
            made.writestr(name, content)
    return path


def test_what_is_packed_is_unpacked_and_has_one_form(tmp_path: Path) -> None:
    files = {f"{CELL}/{RECORD}": b"{}", f"{CELL}/{SCORES}": b"PAR1" * 100}
    path = tmp_path / "a.zip"
    path.write_bytes(pack(files))
    assert unpack_file(path) == (files, [])
    assert pack(dict(reversed(files.items()))) == path.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        f"../{CELL}/{RECORD}",
        f"{CELL}/../{RECORD}",
        f"runs/../salad/{'0' * 16}/{RECORD}",
        f"/{CELL}/{RECORD}",
        f"C:\\{RECORD}",
        f"{CELL}\\{RECORD}",
        f"{CELL}/",
        f"{CELL}/evil.sh",
        f"{CELL}/state.safetensors",
        f"{CELL}/{RECORD}\0.png",
        f"{CELL}/{RECORD}\n",
        RECORD,
        f"manifests/oct2017/{'0' * 64}.parquet",
        f"runs/oct2017/<script>alert(1)</script>/{'0' * 16}/{RECORD}",
        f"runs/oct2017/sa\u202elad/{'0' * 16}/{RECORD}",
        f"runs/oct2017/Salad/{'0' * 16}/{RECORD}",
        f"runs/oct2017/{'a' * 10_000}/{'0' * 16}/{RECORD}",
        f"runs/oct2017/salad/{'g' * 16}/{RECORD}",
    ],
)
def test_names_of_anything_else_are_refused(tmp_path: Path, name: str) -> None:
    member = zipfile.ZipInfo("placeholder")
    member.filename = name  # the constructor would tidy it up
    files, problems = unpack_file(written(tmp_path / "a.zip", (member, b"{}"), (f"{CELL}/{SCORES}", b"x")))
    assert files == {} and len(problems) == 1
    assert "no file of a record" in problems[0] and len(problems[0]) < 250
    assert problems[0].isascii() and problems[0].isprintable()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for mode in (0o120777, 0o020666, 0o010644, 0o040755):
        member = zipfile.ZipInfo(f"{CELL}/{RECORD}")
        member.create_system, member.external_attr = 3, mode << 16
        assert (
            "a link or another special file" in unpack_file(written(tmp_path / "a.zip", (member, b"/etc/passwd")))[1][0]
        )


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = written(tmp_path / "a.zip", *[(f"{CELL}/{RECORD}", b"{}")] * 2)
    assert unpack_file(path)[1] == [f"'{CELL}/{RECORD}' is in it 2 times"]


def test_all_reasons_are_given_at_once(tmp_path: Path) -> None:
    problems = unpack_file(written(tmp_path / "a.zip", ("../a", b""), ("/b", b""), (f"{CELL}/{RECORD}", b"{}")))[1]
    assert ["../a" in problems[0], "/b" in problems[1], len(problems)] == [True, True, 2]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = written(tmp_path / "a.zip", (f"{CELL}/{SCORES}", b"\0" * (8 << 20)), method=zipfile.ZIP_DEFLATED)
    assert f"more than {RATIO} times its size" in unpack_file(bomb)[1][0]
    large = written(tmp_path / "b.zip", (f"{CELL}/{RECORD}", b"ab" * (1 << 20)))
    assert "at most 1048576 are read" in unpack_file(large)[1][0]


@pytest.mark.parametrize("what", ["ARCHIVE", "TOTAL", "MEMBERS"])
def test_limits_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = written(tmp_path / "a.zip", *((f"{CELL[:-1]}{n}/{RECORD}", b"{}" * 50) for n in range(4)))
    assert unpack_file(path)[1] == []
    monkeypatch.setattr(archive, what, 3)
    (problem,) = unpack_file(path)[1]
    assert "at most 3 are read" in problem or "more than 3 bytes" in problem
    assert MEMBERS >= 300


def test_a_member_that_states_less_than_it_holds_fills_no_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", (f"{CELL}/{SCORES}", b"\0" * (64 << 20)), method=zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    content = content.replace(struct.pack("<I", 64 << 20), struct.pack("<I", 1000))
    tracemalloc.start()
    files, problems = unpack(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert files == {} and len(problems) == 1
    assert peak < 4 << 20


def damaged() -> list[Callable[[bytes], bytes]]:
    return [
        lambda whole: b"",
        lambda whole: b"PK",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:40] + b"\xff" * 8 + whole[48:],
        lambda whole: whole[: whole.index(RECORD.encode()) + 11] + b"\0\0" + whole[whole.index(RECORD.encode()) + 13 :],
        lambda whole: b"not a zip" * 100,
        lambda whole: whole.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
        lambda whole: whole.replace(struct.pack("<H", 8), struct.pack("<H", 99)),
    ]


@pytest.mark.parametrize("harm", damaged())
def test_damaged_archives_are_refused(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(harm(pack({f"{CELL}/{RECORD}": b"{}"})))
    files, problems = unpack_file(path)
    assert files == {} and len(problems) == 1 and problems[0].isascii()


def test_encrypted_and_unusual_methods_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", (f"{CELL}/{RECORD}", b"{}"), method=zipfile.ZIP_LZMA)
    assert "by a method other than deflate" in unpack_file(path)[1][0]


def test_what_is_no_file_and_what_is_empty_is_refused(tmp_path: Path) -> None:
    assert unpack_file(tmp_path)[1] == ["it is not a file"]
    assert unpack_file(tmp_path / "none.zip")[1] == ["it is not a file"]
    assert unpack_file(written(tmp_path / "a.zip"))[1] == ["it is empty"]


@given(st.binary(max_size=400))
def test_no_bytes_raise(content: bytes) -> None:
    assert unpack(content)[0] == {}


@given(st.text())
def test_plain_text_steers_nothing(text: str) -> None:
    assert plain(text).isascii() and all(" " <= c <= "~" for c in plain(text))
    assert len(plain(text * 1000, 50)) < 90
