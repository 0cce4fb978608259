"""The site as a person sees it, in Debian's Chromium without a screen, opened from disk."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.registry import load_registry
from bench.results.store import RECORD, Store
from bench.site.build import build_site
from bench.site.catalogue import catalogue_of
from bench.site.keeping import Kept
from bench.site.run_report import report
from bench.site.serve import open_server
from tests.conftest import ROOT
from tests.unit.record_factory import add_record
from tests.unit.site.sites import CATALOGUE, HOSTILE, LONG, build, change, small_store

CHROMIUM = shutil.which("chromium") or ""
sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
expect = sync_api.expect
PRETRAINED = {"knn", "salad-timm"}
"""Those of the published detectors that build on weights learned elsewhere."""
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, kept: Kept) -> Path:
    """The site of this repository's own records, with a report beside it."""
    out = tmp_path_factory.mktemp("real") / "site"
    catalogue = catalogue_of(load_registry([]), tmp_path_factory.mktemp("cache"))
    build_site(ROOT / "results", out, catalogue, kept)
    folders = [path.parent for path in sorted((ROOT / "results").glob(f"runs/oct2017/[gs]*/*/{RECORD}"))]
    (out / "report.html").write_bytes(report(folders, catalogue, kept))
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """A tab that remembers what it was told and what it asked for."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce", **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: Path, fragment: str = "") -> Any:
        self.page.goto("about:blank")
        self.page.goto(path.as_uri() + fragment)
        if self.page.locator("[id$=-chart]").count():
            self.page.wait_for_selector("[id$=-chart] svg", state="attached")
        return self.page

    def check(self) -> None:
        assert not self.said
        assert all(url.startswith(("file:", "data:", "about:")) for url in self.asked), self.asked


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    one = Visit(browser)
    yield one
    one.check()
    one.context.close()


def pages(site: Path) -> list[Path]:
    """One page of each kind."""
    return [
        site / "index.html",
        next(site.glob("tasks/oct2017-????????.html")),
        next(site.glob("detectors/salad-*.html")),
        next(site.glob("detectors/knn-*.html")),
        site / "compare.html",
        site / "problems.html",
        site / "report.html",
    ]


def names(page: Any, selector: str = ".edition:not([hidden])") -> list[str]:
    """Detectors of the rows that are seen."""
    found: list[str] = page.locator(f"{selector} >> .rank tbody tr:not([hidden]) th").all_text_contents()
    return [name.split()[0] for name in found]


def test_pages_say_nothing_and_ask_for_nothing_elsewhere(visit: Visit, site: Path) -> None:
    for path in pages(site):
        page = visit.open(path)
        assert page.title()
        assert page.locator("h1").count() == 1


def test_a_table_sorts_by_mouse_and_by_keyboard(visit: Visit, site: Path) -> None:
    page = visit.open(site / "index.html")
    table = page.locator(".rank").first
    header = table.locator("thead th", has_text="Fit")
    before = names(page, "article:first-of-type")
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    costs = [float(one.get_attribute("data-v")) for one in table.locator("tbody td:nth-child(8)").all()]
    assert costs == sorted(costs)
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    table.locator("thead th", has_text="AUROC").locator("button").click()
    table.locator("thead th", has_text="AUROC").locator("button").click()
    assert names(page, "article:first-of-type") == before


def test_filters_narrow_the_rankings_and_are_kept_in_the_link(visit: Visit, site: Path) -> None:
    page = visit.open(site / "index.html")
    everything = names(page)
    page.select_option("[name=weights]", "1")
    assert set(names(page)) == PRETRAINED
    page.select_option("[name=modality]", "OCT")
    shown = page.locator(".edition:not([hidden])").evaluate_all("all => all.map((one) => one.dataset.modality)")
    assert set(shown) == {"OCT"}
    link = page.url.partition("#")[2]
    page.click("button[type=reset]")
    expect(page).to_have_url(re.compile("#rankings$"))
    assert names(page) == everything
    page.fill("[name=q]", "no such detector")
    assert page.locator("#none").is_visible()
    page = visit.open(site / "index.html", f"#{link}")
    assert set(names(page)) == PRETRAINED
    assert page.input_value("[name=modality]") == "OCT"


def test_verified_rows_and_cost_can_be_asked_for(visit: Visit, site: Path) -> None:
    page = visit.open(site / "index.html", "#verified=yes")
    assert set(names(page)) == {"knn", "pca", "mean-intensity", "random"}  # what the maintainers ran again
    page = visit.open(site / "index.html", "#cost=10")
    assert {"pca", "random"} <= set(names(page))
    assert "salad" not in names(page)


def test_a_deep_link_leads_to_its_table(visit: Visit, site: Path) -> None:
    slug = next(site.glob("tasks/oct2017-clean-*.html")).stem
    page = visit.open(site / "index.html", f"#{slug}")
    assert page.locator(f"#{slug}").bounding_box()["y"] < 100


def test_pointing_at_a_curve_brings_it_forward_with_its_band(visit: Visit, site: Path) -> None:
    page = visit.open(next(site.glob("tasks/oct2017-????????.html")))
    readout = page.locator("#readout")
    page.locator("#roc-chart").scroll_into_view_if_needed()
    box = page.locator("#roc-chart svg").bounding_box()
    for step in range(60):  # from the left upper corner to the middle: on the way lies a curve
        page.mouse.move(box["x"] + 60 + step * 4, box["y"] + 30 + step * 4)
        if "AUROC" in readout.inner_text():
            break
    assert "at a false-positive rate of" in readout.inner_text()
    page.select_option("#pick", label="salad")
    page.locator("#pick").dispatch_event("change")
    assert readout.inner_text().startswith("salad: AUROC 0.8")
    expect(page.locator("#roc-chart .mark-area path")).to_have_count(1)


def test_a_finger_brings_a_curve_forward_and_it_stays(browser: Any, site: Path) -> None:
    visit = Visit(browser, has_touch=True)
    page = visit.open(next(site.glob("tasks/oct2017-????????.html")))
    readout = page.locator("#readout")
    page.locator("#roc-chart").scroll_into_view_if_needed()
    box = page.locator("#roc-chart svg").bounding_box()
    for step in range(0, 60, 2):
        page.touchscreen.tap(box["x"] + 60 + step * 4, box["y"] + 30 + step * 4)
        if "AUROC" in readout.inner_text():
            break
    assert "at a false-positive rate of" in readout.inner_text()
    visit.check()
    visit.context.close()


def test_the_corner_of_few_false_alarms_can_be_seen(visit: Visit, site: Path) -> None:
    page = visit.open(next(site.glob("tasks/oct2017-????????.html")))
    page.click("[data-reach='0.05']")
    assert page.get_attribute("[data-reach='0.05']", "aria-pressed") == "true"
    expect(page.locator("#roc-chart text", has_text=re.compile(r"^0\.05$"))).to_have_count(1)
    before = page.locator("#roc-chart .mark-line path").count()
    page.uncheck("#legend input >> nth=0")
    expect(page.locator("#roc-chart .mark-line path")).not_to_have_count(before)
    page.select_option("#spread", index=1)
    assert page.locator("#bars-chart svg").count() == 1


def test_two_detectors_are_compared_and_the_link_keeps_them(visit: Visit, site: Path) -> None:
    page = visit.open(site / "compare.html")
    page.select_option("[name=task]", label="oct2017 v1 (subset-1000)")
    page.select_option("[name=a]", label="salad")
    page.select_option("[name=b]", label="ganomaly")
    expect(page.locator("#verdict")).to_contain_text("salad is better than ganomaly")
    rows = page.locator("#parts tbody th").all_inner_texts()
    assert rows == ["all", "CNV", "DME", "DRUSEN"]
    assert page.locator("#images tbody tr").count() == 25
    page = visit.open(site / "compare.html", f"#{page.url.partition('#')[2]}")
    expect(page.locator("#verdict")).to_contain_text("salad is better than ganomaly")
    page.click("#swap")
    expect(page.locator("#parts tbody td").first).to_contain_text("−")
    assert "−" in page.locator("#verdict").inner_text()
    assert page.input_value("[name=b]").startswith("salad-")


def test_images_of_drawn_tasks_are_shown_and_no_others(visit: Visit, site: Path) -> None:
    page = visit.open(site / "compare.html")
    page.select_option("[name=task]", label="oct2017 v1 (subset-1000)")
    expect(page.locator("#images tbody tr")).to_have_count(25)
    assert page.locator(".thumb").count() == 0
    page.select_option("[name=task]", label="oct-phantom v1 (drawn-1)")
    expect(page.locator(".thumb")).to_have_count(25)
    assert [path.name.rpartition("-")[0] for path in sorted((site / "thumbs").iterdir())] == [
        "cxr-phantom",
        "oct-phantom",
    ]
    assert any("thumbs/oct-phantom" in url for url in visit.asked)


def test_a_choice_of_detectors_outlives_the_task_and_their_versions(visit: Visit, site: Path) -> None:
    page = visit.open(site / "compare.html", "#a=ae-v0-00000000&b=memae-v0-00000000")  # of versions long gone
    chosen = "[...document.querySelectorAll('[name=a], [name=b]')].map((one) => one.selectedOptions[0].text)"
    assert page.evaluate(chosen) == ["ae", "memae"]
    page.select_option("[name=task]", label="oct2017 v1 (subset-1000)")
    assert page.evaluate(chosen) == ["ae", "memae"]
    expect(page.locator("#verdict")).to_contain_text("ae and memae")


def test_every_page_fits_a_phone(browser: Any, site: Path) -> None:
    visit = Visit(browser)
    visit.page.set_viewport_size({"width": 390, "height": 800})
    for path in pages(site):
        page = visit.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    visit.check()
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(browser: Any, site: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install axe-playwright-python")
    visit = Visit(browser, color_scheme=scheme)
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] if scheme == "light" else ["color-contrast"]
    for path in pages(site):
        page = visit.open(path)
        lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
        assert (lightness > 200) == (scheme == "light")
        page.evaluate(
            "document.querySelectorAll('.edition').forEach(one => { one.style.contentVisibility = 'visible'; })"
        )
        found = axe.Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"], "preload": False})
        assert found.violations_count == 0, f"{path.name}\n{found.generate_report()}"
    visit.check()
    visit.context.close()


def test_the_start_page_is_small_and_draws_nothing(visit: Visit, site: Path) -> None:
    visit.open(site / "index.html")
    files = [Path(url.removeprefix("file://")) for url in visit.asked if url.startswith("file:")]
    assert {path.name for path in files} == {"index.html", "style.css", "site.js"}
    assert sum(path.stat().st_size for path in files) < 500_000


def test_the_first_key_skips_to_the_content_and_focus_is_seen(visit: Visit, site: Path) -> None:
    page = visit.open(site / "index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_without_javascript_the_rankings_are_there(browser: Any, site: Path) -> None:
    visit = Visit(browser, java_script_enabled=False)
    assert "salad" in names(visit.open(site / "index.html"))
    visit.check()
    visit.context.close()


def test_a_web_server_shows_the_same(browser: Any, site: Path) -> None:
    server = open_server(site, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    visit = Visit(browser)
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    for path in ("index.html", "compare.html", *(f"tasks/{one.name}" for one in site.glob("tasks/*"))):
        visit.page.goto(address + path)
        visit.page.wait_for_load_state("networkidle")
    assert not visit.said
    assert all(url.startswith((address, "data:")) for url in visit.asked), visit.asked
    visit.context.close()
    server.shutdown()
    server.server_close()


def test_hostile_names_are_only_text(visit: Visit, tmp_path: Path, kept: Kept) -> None:
    store = small_store(tmp_path / "results")
    for number, name in enumerate((HOSTILE, LONG, "</script><img src=x onerror=alert(1)>")):
        change(store, add_record(store, detector=f"hostile{number}"), detector__name=name)
    record = add_record(Store(store.root), task="hostile-task")
    change(store, record, task__name=HOSTILE, task__edition=LONG)
    build(store, tmp_path / "site", kept)
    assert CATALOGUE.tasks
    for path in sorted((tmp_path / "site").rglob("*.html")):
        page = visit.open(path)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert page.locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
