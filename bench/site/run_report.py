"""One HTML file about some records, which needs no other file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from bench.errors import UsageError
from bench.site.catalogue import Catalogue
from bench.site.keeping import Kept
from bench.site.model import model_of
from bench.site.pages import asset, page, shown_of
from bench.site.stills import stills_of


def report(folders: Sequence[Path], catalogue: Catalogue, kept: Kept) -> bytes:
    """Render the report of some cells, private tasks and smoke tests included.

    Args:
        folders: of the cells, all in one folder of results.
        catalogue: what plugins say of tasks and detectors.
        kept: where computed facts are kept.

    Raises:
        UsageError: cells of several folders of results, or none that can be read.

    """
    folders = [folder.resolve() for folder in folders]
    roots = {folder.parents[3] for folder in folders}
    if len(roots) > 1:
        raise UsageError(f"these runs lie in {len(roots)} folders of results: report on one of them at a time")
    shows_no_images = replace(catalogue, sheets={})
    site = model_of(folders, roots.pop(), shows_no_images, kept, own=True)
    style, script = asset("style.css").decode(), asset("site.js").decode()
    return page(
        "report",
        "",
        policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        site=site,
        shown=[{**shown_of(edition, kept), **stills_of(edition)} for edition in site.editions],
        links={one.name: f"#{one.slug}" for one in site.detectors},
        detectors=[(one, [(site.edition(name), row) for name, row in one.results]) for one in site.detectors],
        style=style,
        script=script,
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
