"""Pages and the files that they load, rendered from the model; nothing is written here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.metrics import IMAGE_METRICS
from bench.site import datafiles, wording
from bench.site.advice import advise, front, never_beaten
from bench.site.charts import bundle, specs
from bench.site.facts import Edition, Site
from bench.site.pictures import axis_of, chance_of, pareto, small_pictures

ASSETS = ("style.css", "site.js", "draw.js", "task.js", "compare.js", "detector.js")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)


def render(site: Site) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the site with its path, pages last."""
    for name in ASSETS:
        yield f"assets/{name}", asset(name)
    yield "assets/vega.js", bundle().encode()
    yield "assets/charts.js", datafiles.script("specs", specs())
    yield "data/index.js", datafiles.script("index", datafiles.compare_index(site))
    for edition in site.editions:
        yield f"data/tasks/{edition.slug}.js", datafiles.script("task", datafiles.task_data(edition))
        yield f"data/pairs/{edition.slug}.js", datafiles.script(edition.slug, datafiles.pair_data(edition))
        for row in edition.rows:
            key = f"{edition.slug}/{row.slug}"
            yield f"data/scores/{key}.js", datafiles.script(key, row.places)
    yield from _pages(site)


def _pages(site: Site) -> Iterator[tuple[str, bytes]]:
    slugs = {one.name: one.slug for one in site.detectors}
    for edition in site.editions:
        yield f"tasks/{edition.slug}.html", _task(edition, slugs)
    for detector in site.detectors:
        path = f"detectors/{detector.slug}"
        results = [(site.edition(name), row) for name, row in detector.results]
        history = datafiles.history_data(results)
        changed = len({one["version"] for one in history}) > 1
        if changed:
            yield f"data/{path}.js", datafiles.script("history", history)
        yield f"{path}.html", page("detector", "../", detector=detector, results=results, changed=changed)
    yield "compare.html", page("compare", "")
    yield "problems.html", page("problems", "", problems=site.problems)
    yield "index.html", _index(site, slugs)


def _index(site: Site, slugs: dict[str, str]) -> bytes:
    shown = [_shown(edition) for edition in site.editions]
    counted, unbeaten = never_beaten(site.editions)
    return page(
        "index",
        "",
        site=site,
        shown=shown,
        slugs=slugs,
        counted=counted,
        unbeaten=unbeaten,
        modalities=sorted({one.entry.modality for one in site.editions if one.entry}),
    )


def _shown(edition: Edition) -> dict[str, Any]:
    costs = front(edition.rows)
    return {
        "edition": edition,
        "advice": advise(edition),
        "small": {"rows": small_pictures(edition.rows), "axis": axis_of(edition.rows)},
        "chance": chance_of(edition.rows),
        "pareto": Markup(pareto(costs)) if len(costs) > 1 else "",
        "front": [one["name"] for one in costs if one["front"]],
    }


def _task(edition: Edition, slugs: dict[str, str]) -> bytes:
    names = {row.slug: row.name for row in edition.rows}
    categories = list(dict.fromkeys(part.name for row in edition.rows for part in row.parts))
    return page("task", "../", **_shown(edition), slugs=slugs, names=names, categories=categories)


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
    text = environment().get_template(f"{template}.html.j2").render(root=root, policy=POLICY, **values)
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
    made.globals.update(metrics=IMAGE_METRICS, look=datafiles.look)
    return made

