"""Pages and the files that they load, rendered from the model; nothing is written here."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from functools import cache, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.metrics import IMAGE_METRICS
from bench.site import datafiles, wording
from bench.site.advice import advise, never_beaten
from bench.site.charts import chart_script, vega_script
from bench.site.facts import DetectorFacts, Edition, Fact, Row, Site
from bench.site.keeping import Kept
from bench.site.looks import look
from bench.site.pictures import pictures_of

ASSETS = ("style.css", "site.js", "draw.js", "task.js", "compare.js", "detector.js")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)


class Files(Fact):
    """Rendered files by path."""

    texts: dict[str, str]

    def encoded(self) -> Iterator[tuple[str, bytes]]:
        """As they are written."""
        yield from ((name, text.encode()) for name, text in self.texts.items())


def render(site: Site, kept: Kept) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the site with its path, pages last."""
    for name in ASSETS:
        yield f"assets/{name}", asset(name)
    yield "assets/vega.js", vega_script(kept)
    yield "assets/charts.js", chart_script(kept)
    yield "data/index.js", datafiles.script("index", datafiles.compare_index(site))
    links = {one.name: f"detectors/{one.slug}.html" for one in site.detectors}
    for edition in site.editions:
        if edition.sheet.jpeg:
            yield datafiles.sheet_path(edition), b64decode(edition.sheet.jpeg)
        told = kept.get(Files, ["edition", edition.model_dump_json()], partial(_edition, edition, links, kept))
        yield from told.encoded()
    for detector in site.detectors:
        results = [(site.edition(name), row) for name, row in detector.results]
        ranks = [[one.title, row.slug, one.standing.ranks.get(row.slug), one.badge(row)] for one, row in results]
        seeds = [cell.model_dump_json() for one, row in results for cell in one.cells[row.slug]]
        inputs = ["detector", detector.model_dump_json(), json.dumps(ranks), *seeds]
        yield from kept.get(Files, inputs, partial(_detector, detector, results)).encoded()
    yield "compare.html", page("compare", "")
    yield "problems.html", page("problems", "", problems=site.problems)
    counted, unbeaten = never_beaten(site.editions)
    modalities = sorted({one.entry.modality for one in site.editions if one.entry})
    start = {"counted": counted, "unbeaten": unbeaten, "modalities": modalities}
    shown = [shown_of(edition, kept) for edition in site.editions]
    yield "index.html", page("index", "", site=site, shown=shown, links=links, **start)


def _edition(edition: Edition, links: dict[str, str], kept: Kept) -> Files:
    made = {
        f"data/tasks/{edition.slug}.js": datafiles.script("task", datafiles.task_data(edition)),
        f"data/pairs/{edition.slug}.js": datafiles.script(edition.slug, datafiles.pair_data(edition)),
    }
    for row in edition.rows:
        key = f"{edition.slug}/{row.slug}"
        made[f"data/scores/{key}.js"] = datafiles.script(key, row.places)
    made[f"tasks/{edition.slug}.html"] = page("task", "../", links=links, **shown_of(edition, kept))
    return Files(texts={name: content.decode() for name, content in made.items()})


def _detector(detector: DetectorFacts, results: list[tuple[Edition, Row]]) -> Files:
    path = f"detectors/{detector.slug}"
    history = datafiles.history_data(results)
    changed = len({one["version"] for one in history}) > 1
    made = {f"data/{path}.js": datafiles.script("history", history)} if changed else {}
    made[f"{path}.html"] = page("detector", "../", detector=detector, results=results, changed=changed)
    return Files(texts={name: content.decode() for name, content in made.items()})


def shown_of(edition: Edition, kept: Kept) -> dict[str, Any]:
    """What templates ask for to show an edition."""
    return {
        "edition": edition,
        "advice": advise(edition),
        "pictures": pictures_of(edition, kept),
        "names": {row.slug: row.name for row in edition.rows},
        "categories": list(dict.fromkeys(part.name for row in edition.rows for part in row.parts)),
    }


def asset(name: str) -> bytes:
    """A file of the package."""
    return (resources.files("bench.site") / "assets" / name).read_bytes()


def page(template: str, root: str, **values: Any) -> bytes:
    """Render one page.

    Args:
        template: its name.
        root: how the start page's folder is reached from it.
        values: what the template asks for; a name that is not given is an error.

    """
    text = environment().get_template(f"{template}.html.j2").render({"root": root, "policy": POLICY, **values})
    return text.encode("utf-8", "replace")


@cache
def environment() -> Environment:
    """Templates that escape all that they are given."""
    made = Environment(
        loader=PackageLoader("bench.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(wording.FILTERS)
    made.globals.update(metrics=IMAGE_METRICS, look=look)
    return made
