"""Submissions as archives: packed the same way every time, and unpacked as what a stranger may have made.

Nothing is written to disk here. An archive is looked at as a whole before any of it is unpacked, and whatever is not
exactly a file that a record consists of refuses it.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.results.pixels import PIXELS
from bench.results.store import RECORD, SCORES

NAME = re.compile(r"runs/[a-z][a-z0-9_-]{0,63}/[a-z][a-z0-9_-]{0,63}/[0-9a-f]{16}/([a-z]+\.[a-z]+)")
LARGEST = {RECORD: 1 << 20, SCORES: 16 << 20, PIXELS: 64 << 20}
"""Which files a record may consist of, and how large each may be, in bytes."""
ARCHIVE = 64 << 20
TOTAL = 256 << 20
MEMBERS = 1000
RATIO = 100
NO_TIME = (1980, 1, 1, 0, 0, 0)


def pack(files: Mapping[str, bytes]) -> bytes:
    """Make an archive of files by name; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, NO_TIME)
            member.create_system, member.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, files[name], zipfile.ZIP_DEFLATED, 6)
    return buffer.getvalue()


def unpack_file(path: Path) -> tuple[dict[str, bytes], list[str]]:
    """Read an archive into memory, as :func:`unpack` does."""
    try:
        if not path.is_file():
            return {}, ["it is not a file"]
        with path.open("rb") as file:
            return unpack(file.read(ARCHIVE + 1))
    except OSError as error:
        return {}, [f"it cannot be read: {error.strerror}"]


def unpack(content: bytes) -> tuple[dict[str, bytes], list[str]]:
    """Unpack an archive.

    Returns:
        its files by name, and every reason to refuse it; no file if there is a reason.

    """
    if len(content) > ARCHIVE:
        return {}, [f"it has more than {ARCHIVE} bytes"]
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if problems := _listing(archive.infolist()):
                return {}, problems
            return {member.filename: _content(archive, member) for member in archive.infolist()}, []
    # RuntimeError: encrypted; NotImplementedError, which is one: a part of the format that zipfile does not know.
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        return {}, [plain(f"it is no zip archive that can be read: {error or type(error).__name__}")]


def sizes_problem(members: Sequence[zipfile.ZipInfo], most: int, total: int) -> str:
    """Say whether an archive is too much to unpack: in the number of members, or in bytes altogether; else nothing."""
    if len(members) > most:
        return f"it has {len(members)} members; at most {most} are read"
    if (size := sum(member.file_size for member in members)) > total:
        return f"it unpacks to {size} bytes; at most {total} are read"
    return ""


def plain(text: str, longest: int = 400) -> str:
    """Text of a stranger as printable ASCII, cut off: it steers no terminal and is shown as it is written."""
    shown = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[:longest]}... ({len(text)} characters)"


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Read no more than a member states, which ``archive.read`` would unpack first and then cut off."""
    with archive.open(member) as file:
        content = file.read(member.file_size)
    if len(content) != member.file_size:
        raise ValueError(f"'{member.filename}' has not as many bytes as it states")
    return content


def _listing(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    if problem := sizes_problem(members, MEMBERS, TOTAL):
        return [problem]
    if not members:
        return ["it is empty"]
    names = Counter(member.orig_filename for member in members)
    problems = [f"'{plain(name, 80)}' is in it {count} times" for name, count in names.items() if count > 1]
    return problems + [f"'{plain(m.orig_filename, 80)}': {text}" for m in members if (text := _problem(m))]


def _problem(member: zipfile.ZipInfo) -> str:
    # orig_filename: zipfile cuts the other one off at a null byte, and changes its slashes.
    match = NAME.fullmatch(member.orig_filename)
    if match is None or match[1] not in LARGEST or member.filename != member.orig_filename:
        return f"no file of a record (runs/TASK/DETECTOR/CELL/ and one of {', '.join(LARGEST)})"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or another special file"
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "encrypted, or compressed by a method other than deflate"
    if member.file_size > LARGEST[match[1]]:
        return f"it unpacks to {member.file_size} bytes; at most {LARGEST[match[1]]} are read"
    if member.file_size > RATIO * max(member.compress_size, 1):
        return f"it unpacks to more than {RATIO} times its size"
    return ""
