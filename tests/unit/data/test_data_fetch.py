"""Downloads from a real server on this machine: cut off, resumed, wrong, and whole."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from bench.data.fetch import Download, fetch
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
        if self.path == "/plain":  # does not know Range
            start = 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        content = CONTENT[::-1] if self.path == "/wrong" else CONTENT
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + 1_000_000 if self.path == "/cut" else len(content)
        self.wfile.write(content[start:end])

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
    with pytest.raises(DownloadError, match=r"set\.npz is there, but is not the file"):
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
