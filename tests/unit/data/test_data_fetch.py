"""Downloads from a real server on this machine: cut off, resumed, wrong, and whole; and archives that climb out."""

import hashlib
import io
import socket
import ssl
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from bench.data import fetch as module
from bench.data.fetch import Download, fetch, unpack
from bench.errors import DownloadError, StorageError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT in the manner that the path names, and remembers what it was asked."""

    asked: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if self.path == "/gone":
            self.send_error(404)
            return
        if self.path == "/reset":  # without an answer
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if self.path == "/plain":  # does not know Range
            start = 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if self.path == "/unsized":
            self.end_headers()
            self.wfile.write(CONTENT)
            return
        if self.path == "/chunked" and not start:  # breaks off within its second chunk
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"100000\r\n" + CONTENT[: 1 << 20] + b"\r\n100000\r\n" + CONTENT[:1000])
            return
        content = CONTENT[::-1] if self.path == "/wrong" else CONTENT
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + 1_000_000 if self.path == "/cut" else len(content)
        self.wfile.write(content[start:end])

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):  # what is left of a connection that do_GET has reset
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def download(server: Server, path: str) -> Download:
    return Download(
        f"http://127.0.0.1:{server.server_port}{path}",
        "set.npz",
        hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
    )


def test_whole_file_comes_with_progress_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    path = fetch(download(server, "/whole"), tmp_path / "new", lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in path.parent.iterdir()] == ["set.npz"]
    fetch(download(server, "/whole"), tmp_path / "new")
    assert len(server.asked) == 1


def test_cut_off_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    for done in (1_000_000, 2_000_000):
        with pytest.raises(DownloadError, match=f"cut off after {done:,} of 3,000,000 bytes. Run the same command"):
            fetch(download(server, "/cut"), tmp_path)
        assert (tmp_path / "set.npz.part").stat().st_size == done
        assert not (tmp_path / "set.npz").exists()
    assert fetch(download(server, "/cut"), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000000-", "bytes=2000000-"]


def test_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.npz.part").write_bytes(b"other bytes")
    assert fetch(download(server, "/plain"), tmp_path).read_bytes() == CONTENT


def test_complete_part_is_checked_and_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.npz.part").write_bytes(CONTENT)
    assert fetch(download(server, "/whole"), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"", b"wrong beginning", CONTENT + b"too much"])
def test_other_bytes_are_refused_and_removed(server: Server, tmp_path: Path, part: bytes) -> None:
    if part:
        (tmp_path / "set.npz.part").write_bytes(part)
    with pytest.raises(DownloadError, match=r"has MD5 [0-9a-f]{32}, published is [0-9a-f]{32}\. It was removed"):
        fetch(download(server, "/wrong"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_and_is_another_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"set\.npz is there.*its MD5 is [0-9a-f]{32}, published is [0-9a-f]{32}"):
        fetch(download(server, "/whole"), tmp_path)
    assert (tmp_path / "set.npz").read_bytes() == b"mine"


def test_no_file_no_server_and_no_folder_are_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the server says 404"):
        fetch(download(server, "/gone"), tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="no connection"):
        fetch(download(server, "/whole"), tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        fetch(download(server, "/whole"), tmp_path / "file" / "inside")


def test_a_reset_before_the_answer_is_no_fault_of_the_disk(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"no connection \(.*reset.*\): try again"):
        fetch(download(server, "/reset"), tmp_path)


def test_size_that_the_server_does_not_say(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    path = fetch(download(server, "/unsized"), tmp_path, lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), 0)


def test_cut_off_at_an_unknown_size_keeps_its_part(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"cut off after 1,048,576 bytes\. Run the same command"):
        fetch(download(server, "/chunked"), tmp_path)
    assert fetch(download(server, "/chunked"), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1048576-"]


def test_broken_tls_is_no_fault_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        status, headers = 200, {"Content-Length": "9"}

        def read(self, size: int | None = -1) -> bytes:
            raise ssl.SSLError("decryption failed")

    monkeypatch.setattr(module, "urlopen", lambda *_, **__: Broken())
    with pytest.raises(DownloadError, match="cut off after 0 of 9 bytes"):
        fetch(Download("https://nowhere.invalid/set.npz", "set.npz", "0" * 32), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.npz.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"set\.npz\.part: the disk is full"):
        fetch(download(server, "/whole"), tmp_path)


def make_zip(path: Path, members: dict[str, bytes], modes: dict[str, int] | None = None) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, 0) << 16
            archive.writestr(info, content)


def make_tar(path: Path, members: dict[str, bytes], kinds: dict[str, tuple[bytes, str]] | None = None) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = (kinds or {}).get(name, (tarfile.REGTYPE, ""))
            info.size = len(content) if info.type == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz"])
def test_archives_are_unpacked(tmp_path: Path, name: str) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("other", b"x")
    members = {"set/train/a.png": b"a" * 5000, "set/..b.png": b"b", "set/z.zip": inner.getvalue()}
    (make_zip if name.endswith(".zip") else make_tar)(tmp_path / name, members)
    unpack(tmp_path / name, tmp_path / "new" / "data")
    found = {path for path in (tmp_path / "new" / "data").rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path / "new" / "data").as_posix(): path.read_bytes() for path in found} == members


CLIMBING = {
    "/etc/absolute": "an absolute path",
    "C:\\absolute": "an absolute path",
    "../up": "leads outside",
    "in/../../up": "leads outside",
    "in\\..\\..\\up": "leads outside",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_climb_out_are_all_named_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    members = {"good.png": b"g", **dict.fromkeys(CLIMBING, b"bad")}
    archive = tmp_path / f"set.{kind}"
    (make_zip if kind == "zip" else make_tar)(archive, members)
    with pytest.raises(
        DownloadError, match=f"refused for {len(CLIMBING)} of its members; nothing was unpacked"
    ) as told:
        unpack(archive, tmp_path / "in" / "data")
    for name, reason in CLIMBING.items():
        assert f"\n  {name}: {reason}" in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    kinds = {
        "outside": (tarfile.SYMTYPE, "../../etc"),
        "inside": (tarfile.SYMTYPE, "good.png"),
        "hard": (tarfile.LNKTYPE, "/etc/passwd"),
        "disk": (tarfile.BLKTYPE, ""),
        "pipe": (tarfile.FIFOTYPE, ""),
    }
    make_tar(tmp_path / "set.tar", {"good.png": b"g", **dict.fromkeys(kinds, b"")}, kinds)
    with pytest.raises(DownloadError, match="refused for 5 of its members") as told:
        unpack(tmp_path / "set.tar", tmp_path / "data")
    for line in ("outside: a link to ../../etc", "inside: a link", "hard: a link to /etc/passwd", "disk: a device"):
        assert f"\n  {line}" in str(told.value)
    assert not (tmp_path / "data").exists()


def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path) -> None:
    modes = {"link": stat.S_IFLNK | 0o777, "disk": stat.S_IFBLK | 0o600, "good.png": stat.S_IFREG | 0o644}
    make_zip(tmp_path / "set.zip", dict.fromkeys(modes, b"/etc/passwd"), modes)
    with pytest.raises(DownloadError, match=r"refused for 2 .*\n  link: a link\n  disk: a device$"):
        unpack(tmp_path / "set.zip", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz"])
@pytest.mark.parametrize("keep", [0.5, 10])
def test_damaged_archives_are_told(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    (make_zip if name.endswith(".zip") else make_tar)(path, {"a.png": CONTENT[:100_000], "b.png": CONTENT[:100_000]})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep) if keep < 1 else int(keep)])
    with pytest.raises(DownloadError, match=r"damaged.*download it again"):
        unpack(path, tmp_path / "data")


def test_changed_bytes_locked_archives_and_no_archive_are_told(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    make_zip(path, {"a.png": CONTENT[:100_000]})
    content = bytearray(path.read_bytes())
    content[50_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DownloadError, match=r"set\.zip is damaged \(Bad CRC"):
        unpack(path, tmp_path / "data")
    content[content.rfind(b"PK\x01\x02") + 8] |= 1  # its flag says that it is encrypted
    path.write_bytes(content)
    with pytest.raises(DownloadError, match=r"cannot be unpacked here.*encrypted"):
        unpack(path, tmp_path / "data")
    with pytest.raises(DownloadError, match=r"no\.zip .*No such file"):
        unpack(tmp_path / "no.zip", tmp_path / "data")


def test_what_does_not_fit_is_told_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_zip(tmp_path / "set.zip", {"a.png": bytes(50_000_000)})
    asked: list[int] = []

    def full(folder: Path, needed: int) -> None:
        asked.append(needed)
        raise StorageError("no room")

    monkeypatch.setattr(module, "check_writable", full)
    with pytest.raises(StorageError, match="no room"):
        unpack(tmp_path / "set.zip", tmp_path / "data")
    assert asked == [50_000_000]
    assert not (tmp_path / "data").exists()
    monkeypatch.undo()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        unpack(tmp_path / "set.zip", tmp_path / "file" / "inside")
