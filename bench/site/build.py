"""Writes the site into a folder, and only what changed of it; or says what of a folder is not what the records give."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import UsageError
from bench.files import making_folder_atomically, storage_error, write_atomically
from bench.site.catalogue import Catalogue
from bench.site.facts import Site
from bench.site.keeping import Kept
from bench.site.model import build_model
from bench.site.pages import render

LISTING = "bench-site.json"
"""Names every file of a site, so that those of an older build are removed and nobody else's are, and what drew it."""
PUBLISHED = Path("leaderboard") / "site"
"""Where the site of a folder of results lies if it is published with them."""
DRAWN_WITH = ("altair", "pillow", "vl-convert-python")


class Built(NamedTuple):
    """What a build did: the model, and how many files there are and were written."""

    site: Site
    files: int
    written: int


def build_site(results: Path, out: Path, catalogue: Catalogue, kept: Kept) -> Built:
    """Build the site of a folder of published results.

    Args:
        results: folder of records; nothing of it is changed.
        out: folder of the site; it is made, or brought up to date.
        catalogue: what plugins say of tasks and detectors.
        kept: where computed facts are kept for the next build.

    Raises:
        UsageError: ``out`` is a folder with something else in it, or ``results`` is not a folder.
        StorageError: it cannot be written.

    """
    older = _listing(out)
    site, files = _site(results, catalogue, kept)
    try:
        written = _update(out, files, older["files"]) if older is not None else _create(out, files)
    except OSError as error:
        raise storage_error(out, error) from error
    return Built(site, len(files), written)


def published_problems(results: Path, catalogue: Catalogue, kept: Kept) -> list[str]:
    """Name every file of the site below a folder of results that is not what its records give.

    Where another version of the libraries that draw has written it, only data are compared: no number is a picture.

    Args:
        results: folder of records.
        catalogue: what plugins say of tasks and detectors.
        kept: where computed facts are kept.

    Returns:
        one problem a file; none where there is no such site.

    Raises:
        UsageError: the folder is there, and no site.

    """
    out = results / PUBLISHED
    if (listing := _listing(out)) is None:
        return []
    _, files = _site(results, catalogue, kept)
    if listing["drawn_with"] != _drawn_with():
        files = {name: content for name, content in files.items() if name.startswith("data/")}
        listing["files"] = [name for name in listing["files"] if name.startswith("data/")]
    mend = f"run bench leaderboard build {results} --out {out}"
    wrong = [name for name, content in files.items() if not _same(out / name, content)]
    wrong += sorted(set(listing["files"]) - files.keys())
    return [f"{PUBLISHED / name}: it is not what the records give: {mend}" for name in wrong]


def _site(results: Path, catalogue: Catalogue, kept: Kept) -> tuple[Site, dict[str, bytes]]:
    """Return the model, and every file by its path."""
    if not results.is_dir():
        raise UsageError(f"{results} is not a folder")
    site = build_model(results, catalogue, kept)
    files = dict(render(site, kept))
    files[".nojekyll"] = b""
    files[LISTING] = (json.dumps({"drawn_with": _drawn_with(), "files": sorted(files)}, indent=0) + "\n").encode()
    return site, files


def _drawn_with() -> dict[str, str]:
    return {name: version(name) for name in DRAWN_WITH}


def _listing(out: Path) -> dict[str, Any] | None:
    """What the site that is there says of itself; None where there is nothing."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        told = json.loads((out / LISTING).read_bytes())
        return {"drawn_with": told["drawn_with"], "files": [str(name) for name in told["files"]]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{out} is not a site that bench wrote: choose a new or empty folder") from error


def _create(out: Path, files: dict[str, bytes]) -> int:
    with making_folder_atomically(out) as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return len(files)


def _update(out: Path, files: dict[str, bytes], older: Iterable[str]) -> int:
    """Write what changed, data before the pages that show it; then remove what is no longer part of the site."""
    changed = [name for name, content in files.items() if not _same(out / name, content)]
    for name in changed:
        write_atomically(out / name, files[name])
    for name in set(older) - files.keys():
        path = out / name
        if path.resolve().is_relative_to(out.resolve()):  # a listing that somebody edited removes nothing elsewhere
            path.unlink(missing_ok=True)
    return len(changed)


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
