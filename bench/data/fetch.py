"""Downloads the small public sets: resumed where they were cut off, and checked before they are used.

pooch, which does this well otherwise, starts a download anew when it is cut off; the sets have up to 4 GB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from bench.errors import DownloadError
from bench.files import storage_error

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60.0
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Download:
    """One file to fetch: where it is, what it is called here, and its MD5, as its publishers state it."""

    url: str
    file: str
    md5: str


def fetch(download: Download, folder: Path, progress: Progress = lambda done, total: None) -> Path:
    """Download a file into a folder, unless it is there already.

    A part that an earlier attempt left (``FILE.part``) is continued, if the server can do that.

    Args:
        download: the file.
        folder: where to; it is made if it is not there.
        progress: told (done, total) in bytes; total is 0 where the server does not say.

    Returns:
        the file.

    Raises:
        DownloadError: it cannot be fetched, was cut off, or is not the file that was published.
        StorageError: the folder cannot be written, or the disk is full.

    """
    target, part = folder / download.file, folder / f"{download.file}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if _md5(target) != download.md5:
                raise DownloadError(f"{target} is there, but is not the file that was published: remove it")
            return target
        _continue(download, part, progress)
        found = _md5(part)
        if found != download.md5:
            part.unlink()
            raise DownloadError(
                f"{download.url}: the file that came has MD5 {found}, published is {download.md5}. "
                "It was removed: fetch it again, or report it if that happens twice."
            )
        part.replace(target)
    except OSError as error:
        raise storage_error(part, error) from error
    return target


def _continue(download: Download, part: Path, progress: Progress) -> None:
    """Ask for what is missing, and append it."""
    start = part.stat().st_size if part.exists() else 0
    request = Request(download.url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code == 416 and start:  # nothing is missing, or the part is no part of this file: the MD5 will say
            return
        raise DownloadError(f"{download.url}: the server says {error.code} {error.reason}") from error
    except (URLError, TimeoutError, HTTPException) as error:
        raise DownloadError(f"{download.url}: no connection ({getattr(error, 'reason', error)}): try again") from error
    with response:
        if response.status != 206:  # it sends all of it
            start = 0
        total = start + int(response.headers.get("Content-Length") or 0)
        done = _save(response, part, start, total, progress)
    if done < total:
        raise DownloadError(
            f"{download.url}: cut off after {done:,} of {total:,} bytes. Run the same command to go on from there."
        )


def _save(response: Any, part: Path, start: int, total: int, progress: Progress) -> int:
    done = start
    with part.open("ab" if start else "wb") as file:
        while chunk := _receive(response):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
    return done


def _receive(response: Any) -> bytes:
    """Receive some of the file; nothing if the connection broke, which the number of bytes will tell."""
    try:
        received: bytes = response.read(CHUNK)
    except (HTTPException, ConnectionError, TimeoutError):
        return b""
    return received


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
