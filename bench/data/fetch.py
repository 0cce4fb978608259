"""Downloads the small public sets, resumed where they were cut off, and unpacks archives; both are checked first.

pooch, which does this well otherwise, starts a download anew when it is cut off; the sets have up to 4 GB.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from gzip import BadGzipFile
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bench.errors import DownloadError
from bench.files import check_writable, storage_error

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60.0
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, BadGzipFile, lzma.LZMAError, zlib.error, EOFError)
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
            if (found := _md5(target)) != download.md5:
                raise DownloadError(
                    f"{target} is there, but is not the file that was published: "
                    f"its MD5 is {found}, published is {download.md5}. Remove it, then run the same command."
                )
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
    except (OSError, HTTPException) as error:  # a reset while it waits for the answer is no URLError
        raise DownloadError(f"{download.url}: no connection ({getattr(error, 'reason', error)}): try again") from error
    with response:
        if response.status != 206:  # it sends all of it
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else 0
        done, broken = _save(response, part, start, total, progress)
    if broken or done < total:
        of = f" of {total:,}" if total else ""
        raise DownloadError(
            f"{download.url}: cut off after {done:,}{of} bytes. Run the same command to go on from there."
        )


def _save(response: Any, part: Path, start: int, total: int, progress: Progress) -> tuple[int, bool]:
    """Append what comes; return the size of the part, and whether the connection broke."""
    done = start
    with part.open("ab" if start else "wb") as file:
        while chunk := _receive(response):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
    return done, chunk is None


def _receive(response: Any) -> bytes | None:
    """Receive some of the file: nothing at its end, None if the connection broke (TLS has errors of its own)."""
    try:
        received: bytes = response.read(CHUNK)
    except (HTTPException, OSError):
        return None
    return received


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (plain, gzip, bzip2 or xz) into a folder, which is made if it is not there.

    Every member is looked at first. One that is absolute, climbs with ``..``, or is anything but a file or a folder
    has the archive refused before anything is written. Links are refused wherever they lead: data sets have none, and
    a chain of links that each stay inside can still lead outside.

    Raises:
        DownloadError: it is no archive, is damaged, or has such members; all of them are named.
        StorageError: the folder cannot be written, or the disk has no room for what is in the archive.

    """
    try:
        opened, members, size = _open_archive(archive)
    except (*DAMAGE, OSError, RuntimeError) as error:
        raise DownloadError(f"{archive} is damaged, or no zip or tar archive ({error}): download it again") from error
    with opened:
        _check_members(archive, members)
        check_writable(folder, size)
        try:
            opened.extractall(folder)
        except DAMAGE as error:
            raise DownloadError(f"{archive} is damaged ({error}): download it again") from error
        except RuntimeError as error:  # zipfile's, of a password or a compression that it does not know
            raise DownloadError(f"{archive} cannot be unpacked here: {error}") from error
        except OSError as error:
            raise storage_error(folder, error) from error


def _open_archive(archive: Path) -> tuple[zipfile.ZipFile | tarfile.TarFile, list[tuple[str, str]], int]:
    """Open an archive; return it, its members' names and kinds, and their size in bytes once unpacked."""
    if tarfile.is_tarfile(archive):  # asked first: a tar that ends in a zip would pass for that
        tar = tarfile.open(archive)  # noqa: SIM115
        tar.extraction_filter = tarfile.data_filter
        return tar, [(m.name, _tar_kind(m)) for m in tar.getmembers()], sum(m.size for m in tar.getmembers())
    opened = zipfile.ZipFile(archive)
    return opened, [(i.filename, _zip_kind(i)) for i in opened.infolist()], sum(i.file_size for i in opened.infolist())


def _check_members(archive: Path, members: list[tuple[str, str]]) -> None:
    """Refuse an archive with members that could write outside its folder, naming them all."""
    bad = []
    for name, kind in members:
        path = name.replace("\\", "/")
        if re.match(r"/|[A-Za-z]:", path):
            bad.append(f"{name}: an absolute path")
        elif ".." in path.split("/"):
            bad.append(f"{name}: leads outside")
        elif kind:
            bad.append(f"{name}: {kind}")
    if bad:
        lines = "\n  ".join(bad)
        raise DownloadError(f"{archive} is refused for {len(bad)} of its members; nothing was unpacked:\n  {lines}")


def _zip_kind(info: zipfile.ZipInfo) -> str:
    """What a member is, if it is neither a file nor a folder."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link" if kind == stat.S_IFLNK else "a device"


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.isfile() or member.isdir():
        return ""
    return f"a link to {member.linkname}" if member.issym() or member.islnk() else "a device"
