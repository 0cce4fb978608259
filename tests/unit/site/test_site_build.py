"""The site as files: what is in them, and which of them are written."""

import json
import re
import threading
import time
import urllib.request
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.errors import EnvironmentProblem, UsageError
from bench.results.store import RECORD, Store
from bench.site.build import LISTING, PUBLISHED, build_site, published_problems
from bench.site.keeping import Kept
from bench.site.run_report import report
from bench.site.serve import open_server, watch
from tests.unit.record_factory import add_record
from tests.unit.site.sites import CATALOGUE, HOSTILE, LONG, build, change, small_store, texts


class Tags(HTMLParser):
    """All elements of a page with their attributes, and whether they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, kept: Kept) -> Path:
    """A site of records whose every name is hostile, beside good ones and a corrupt one."""
    folder = tmp_path_factory.mktemp("hostile")
    store = small_store(folder / "results")
    for number, name in enumerate((HOSTILE, LONG, "\u202e", "</script>")):
        record = add_record(store, detector=f"hostile{number}", gap=2.0)
        change(
            store, record, detector__name=name, detector__distribution=name, detector__config={name: name},
            detector__pretrained=[{"name": name, "source": name, "licence": name}],
            environment__git_commit=name, environment__packages={name: name}, detector__version=name,
        )  # fmt: skip
    task = add_record(store, task="hostile-task", status="failed", reason=HOSTILE)
    change(store, task, task__name=HOSTILE, task__edition=HOSTILE, task__grouping=HOSTILE, task__protocol=HOSTILE)
    add_record(store, task="my-hospital", private=True)
    path = next(store.root.glob(f"runs/*/other/*/{RECORD}"))
    path.write_text("{")
    build(store, folder / "site", kept)
    return folder / "site"


def test_nothing_of_a_name_becomes_markup(hostile: Path) -> None:
    for name, text in texts(hostile).items():
        assert "<script>alert" not in text, name
        assert "my-hospital" not in text, name
        if name.endswith(".html"):
            tags = Tags()
            tags.feed(text)
            assert not tags.open, name
            assert {tag for tag, _ in tags.found}.isdisjoint({"iframe", "object", "embed", "base", "style"}), name
            for tag, attributes in tags.found:
                assert not any(key.startswith("on") or key == "style" for key in attributes), (name, tag, attributes)
                if tag == "script":
                    assert re.fullmatch(r"(\.\./)?(assets|data)/[\w./-]+\.js", attributes["src"] or "")
                for key in ("href", "src"):
                    target = attributes.get(key) or "#"
                    assert re.fullmatch(r"(\.\./)?[\w./-]*(#[\w=-]*)?|data:,", target), (name, target)
        if name.startswith("data/"):
            json.loads(re.fullmatch(r"\(window\.BENCH=.*?\)\[.*?\]=(.*);\n", text, re.S)[1])  # type: ignore[index]
            assert "<" not in text, name


def test_a_model_card_is_in_the_words_of_its_plugin(hostile: Path) -> None:
    page = next(hostile.glob("detectors/toy-*.html")).read_text()
    assert "<dt>fails at</dt><dd>small &lt;b&gt;lesions&lt;/b&gt;</dd>" in page


def test_links_of_pages_lead_somewhere(hostile: Path) -> None:
    for path in hostile.rglob("*.html"):
        text = path.read_text()
        for target in re.findall(r'(?:href|src)="([^"#]+)(?:#[^"]*)?"', text):
            assert target == "data:," or (path.parent / target).is_file(), (path.name, target)


def test_the_policy_allows_nothing_but_own_files(hostile: Path) -> None:
    for path in hostile.rglob("*.html"):
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', path.read_text())
        assert policy is not None
        assert "default-src" in policy[1]
        assert "unsafe" not in policy[1]
        assert "http" not in policy[1]
        assert "*" not in policy[1]


def test_a_corrupt_record_is_named_and_the_rest_is_there(hostile: Path) -> None:
    assert "runs/chest-xray/other/" in (hostile / "problems.html").read_text()
    start = (hostile / "index.html").read_text()
    assert '<a href="problems.html">1 problem</a>' in start
    assert "RuntimeError: &lt;b&gt;no&lt;/b&gt;" in start
    assert "toy" in start


def test_a_build_writes_only_what_changed_and_removes_what_is_gone(tmp_path: Path, kept: Kept) -> None:
    store, out = small_store(tmp_path / "results"), tmp_path / "site"
    first = build(store, out, kept)
    assert first.written == first.files
    before = texts(out)
    assert build(store, out, kept).written == 0
    (out / "notes.txt").write_text("mine")
    add_record(store, detector="fourth", gap=1.5)
    second = build(store, out, kept)
    assert 0 < second.written < second.files
    assert any(name.startswith("detectors/fourth") for name in texts(out))
    for path in sorted((store.root / "runs" / "chest-xray" / "fourth").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    build(store, out, kept)
    assert texts(out) == {**before, "notes.txt": "mine"}
    listing = json.loads((out / LISTING).read_text())
    (out / LISTING).write_text(json.dumps({**listing, "files": [*listing["files"], "../results/checksums.txt"]}))
    (store.root / "checksums.txt").write_text("kept")
    build(store, out, kept)
    assert (store.root / "checksums.txt").read_text() == "kept"


def test_a_published_site_is_held_against_the_records(tmp_path: Path, kept: Kept) -> None:
    store = small_store(tmp_path)
    out = tmp_path / PUBLISHED

    def wrong() -> list[str]:
        return [problem.partition(":")[0] for problem in published_problems(tmp_path, CATALOGUE, kept)]

    assert wrong() == []  # there is none, which is no problem
    build(store, out, kept)
    assert wrong() == []
    start, data = out / "index.html", next(out.glob("data/scores/*/*.js"))
    start.write_text(start.read_text().replace("0.", "1.", 1))
    data.unlink()
    (out / "data" / "old.js").write_text("1")
    listing = json.loads((out / LISTING).read_text())
    changed = {**listing, "files": [*listing["files"], "data/old.js"]}
    (out / LISTING).write_text(json.dumps(changed))
    names = [path.relative_to(tmp_path).as_posix() for path in (data, start, out / LISTING, out / "data" / "old.js")]
    assert sorted(wrong()) == sorted(names)
    (out / LISTING).write_text(json.dumps({**changed, "drawn_with": {"altair": "0"}}))  # drawn by something older
    assert sorted(wrong()) == sorted([names[0], names[3]])
    (out / LISTING).write_text("[]")
    with pytest.raises(UsageError, match="not a site that bench wrote"):
        wrong()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="not a site that bench wrote"):
        build(Store(tmp_path / "home"), tmp_path / "home")
    with pytest.raises(UsageError, match="is not a folder"):
        build_site(tmp_path / "nowhere", tmp_path / "site", CATALOGUE, Kept(None))
    assert not (tmp_path / "site").exists()


def test_an_empty_folder_gives_a_site_that_says_so(tmp_path: Path, kept: Kept) -> None:
    (tmp_path / "results").mkdir()
    build(Store(tmp_path / "results"), tmp_path / "site", kept)
    assert "There are no records yet" in (tmp_path / "site" / "index.html").read_text()


def test_a_thousand_records(tmp_path: Path, kept: Kept) -> None:
    store = Store(tmp_path / "results")
    record = add_record(store)
    folder, manifest = store.folder_of(record), next(store.root.glob("manifests/*/*.parquet"))
    told, scores = json.loads((folder / RECORD).read_text()), (folder / "scores.parquet").read_bytes()
    for number in range(1000):
        task, detector, seed = f"task-{number % 5}", f"detector-{number // 5 % 40}", number // 200
        own = store.cell_folder(task, detector, f"{number:016x}")
        own.mkdir(parents=True)
        changed = {**told, "cell": own.name, "seed": seed}
        changed["task"], changed["detector"] = {**told["task"], "name": task}, {**told["detector"], "name": detector}
        (own / RECORD).write_text(json.dumps(changed))
        (own / "scores.parquet").write_bytes(scores)
        (store.root / "manifests" / task).mkdir(exist_ok=True)
        (store.root / "manifests" / task / manifest.name).write_bytes(manifest.read_bytes())
    built = build(store, tmp_path / "site", kept)
    assert not built.site.problems
    assert built.site.records == 1001
    assert len(built.site.editions) == 6


def test_a_report_is_one_file_that_allows_only_its_own_script(tmp_path: Path, kept: Kept) -> None:
    store = small_store(tmp_path / "results")
    secret = add_record(store, task="my-hospital", private=True, variant="smoke")
    folders = [path.parent for path in sorted(store.root.glob(f"runs/*/*/*/{RECORD}"))]
    page = unescape(report(folders, CATALOGUE, kept).decode())
    for kind in ("script", "style"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.S)
        assert f"{kind}-src 'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:,)', page)
    assert "Private: this task says publish = false" in page
    assert secret.cell in page
    assert "third" in page
    elsewhere = small_store(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="2 folders of results"):
        report([*folders, next(elsewhere.root.glob("runs/*/*/*"))], CATALOGUE, kept)


def test_the_server_is_of_this_machine_and_sees_changes(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("one")
    server = open_server(tmp_path / "site", 0)
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(EnvironmentProblem, match="choose another --port"):
        open_server(tmp_path / "site", int(server.server_address[1]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/") as answer:
        assert (answer.read(), answer.headers["Cache-Control"]) == (b"one", "no-store")
    server.shutdown()
    server.server_close()
    stop, rebuilt = threading.Event(), threading.Event()
    thread = threading.Thread(target=watch, args=(store.root, rebuilt.set, stop, 0.05))
    thread.start()
    time.sleep(0.15)
    assert not rebuilt.is_set()
    (store.root / "runs").mkdir(parents=True)
    (store.root / "runs" / "new.json").write_text("{}")
    assert rebuilt.wait(10)
    stop.set()
    thread.join(10)
