"""``bench leaderboard build``, ``serve`` and ``bench report``, as a user runs them."""

import signal
import urllib.request

from bench.report.published import write_leaderboard
from bench.results.store import RECORD
from tests.conftest import Bench
from tests.inside import Place
from tests.unit.site.sites import small_store


def test_build_writes_a_site_and_says_what_is_wrong(inside: Place) -> None:
    store = small_store(inside.folder / "results")
    next(store.root.glob(f"runs/*/other/*/{RECORD}")).write_text("{")
    done = inside("leaderboard", "build", "results/", "--out", "site/")
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 problem(s) are not shown" in done.stderr
    assert "toy" in (inside.folder / "site" / "index.html").read_text()
    again = inside("leaderboard", "build", "results/", "--out", "site/")
    assert "0 of" in again.stderr
    assert inside("leaderboard", "build", "nowhere").returncode == 2
    refused = inside("leaderboard", "build", "results", "--out", "results")
    assert (refused.returncode, "choose a new or empty folder" in refused.stderr) == (2, True)


def test_a_committed_site_is_checked_with_the_rest(inside: Place) -> None:
    store = small_store(inside.folder / "results")
    write_leaderboard(store.root)
    assert inside("leaderboard", "build", "results", "--out", "results/leaderboard/site").returncode == 0
    done = inside("leaderboard", "check", "results")
    assert (done.returncode, "and the site are what the records give" in done.stdout) == (0, True)
    (store.root / "leaderboard" / "site" / "index.html").write_text("0.999")
    done = inside("leaderboard", "check", "results")
    assert (done.returncode, done.stdout) == (
        1,
        "leaderboard/site/index.html: it is not what the records give: "
        "run bench leaderboard build results --out results/leaderboard/site\n",
    )


def test_report_is_one_file(inside: Place) -> None:
    store = small_store(inside.results)
    cell = next(store.root.glob("runs/*/toy/*")).name
    done = inside("report", cell[:6], "--out", "toy.html")
    assert (done.returncode, done.stdout) == (0, "toy.html\n")
    page = (inside.folder / "toy.html").read_text()
    assert cell in page
    assert "third" not in page
    assert inside("report", "nothing").returncode == 2


def test_tables_for_papers(inside: Place) -> None:
    small_store(inside.folder / "results")
    done = inside("leaderboard", "table", "--task", "chest-xray", "--format", "latex")
    assert done.returncode == 0, done.stderr
    assert r"\begin{tabular}" in done.stdout
    wrong = inside("leaderboard", "table", "--format", "word")
    assert (wrong.returncode, "unknown format 'word'" in wrong.stderr) == (2, True)


def test_serve_shows_the_site_until_it_is_interrupted(bench: Bench) -> None:
    small_store(bench.folder / "results")
    process = bench.start("leaderboard", "serve", "--port", "0")
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    with urllib.request.urlopen(address) as answer:
        assert b"Which anomaly detector" in answer.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
