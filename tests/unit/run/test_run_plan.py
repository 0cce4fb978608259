"""Plans, redaction, digests: the parts of a run that need no process."""

import getpass
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.contracts import DetectorConfig, DetectorSpec, TaskSpec
from bench.data.manifest import Manifest
from bench.errors import UsageError
from bench.registry import Offer, Plugin
from bench.run.environment import describe_environment, redact
from bench.run.plan import Changes, TaskImages, Variant, cell_id, configure, make_cells, read_changes
from bench.run.source import Provenance, provenance


def spec(**changes: Any) -> DetectorSpec:
    given: dict[str, Any] = {
        "name": "toy",
        "version": "1",
        "summary": "s",
        "citation": "c",
        "config": lambda: DetectorConfig,
        "load": lambda: None,
        "presets": {"smoke": {}},
    }
    return DetectorSpec(**{**given, **changes})


def variant(config: DetectorConfig | None = None, **changes: Any) -> Variant:
    plugin = Plugin("toy", "toy", "toy", "1", "ok")
    return Variant(Offer(spec(**changes), plugin), "default", config or DetectorConfig(), Provenance((), "0", []))


def task(digest: str = "0" * 64, version: str = "1") -> TaskImages:
    made = TaskSpec("t", version, "m", "c", "l", "u", "patient", "x", build=lambda _: [])
    return TaskImages(made, Manifest("t", version, "patient", "e", digest, ()))


def test_cell_id_depends_on_what_is_asked_for() -> None:
    base = cell_id(variant(), task(), 0)
    assert len(base) == 16
    assert int(base, 16) >= 0
    others = [
        cell_id(variant(), task(), 1),
        cell_id(variant(version="2"), task(), 0),
        cell_id(variant(name="other"), task(), 0),
        cell_id(variant(DetectorConfig(image_size=32)), task(), 0),
        cell_id(variant(), task(version="2"), 0),
        cell_id(variant(), task("1" * 64), 0),
    ]
    assert len({base, *others}) == 7
    assert cell_id(replace(variant(), name="label"), task(), 0) == base
    assert cell_id(variant(summary="other words"), task(), 0) == base


def test_one_configuration_has_one_name() -> None:
    class Config(DetectorConfig):
        epochs: int = 5

    made = spec(config=lambda: Config, presets={"smoke": {"epochs": 1}, "same": {}})

    def name(preset: str = "default", label: str | None = None, **own: Any) -> str:
        return configure(made, Changes(preset, label, {"toy": own} if own else {}))[0]

    assert [name(), name("smoke"), name("same"), name(epochs=5)] == ["default", "smoke", "default", "default"]
    assert name("smoke", epochs=1) == "smoke"
    assert name("smoke", epochs=5) == "default"
    assert name(label="long", epochs=9) == "long"
    assert name("smoke", label="long", epochs=9) == "smoke+long"
    assert re.fullmatch(r"smoke\+[0-9a-f]{8}", name("smoke", epochs=9))
    for label in ("a/b", "a+b", "", "ü"):
        with pytest.raises(UsageError, match="--label"):
            name(label=label, epochs=9)


def test_one_seed_where_seeds_do_not_matter() -> None:
    cells = make_cells([variant(), variant(name="still", stochastic=False)], [task()], seeds=3)
    assert [(cell.variant.spec.name, cell.seed) for cell in cells] == [("toy", 0), ("toy", 1), ("toy", 2), ("still", 0)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("0.5", 0.5), ("true", True), ('"x"', "x"), ("plain", "plain"), ('["a", "b"]', ["a", "b"]), ("", "")],
)
def test_values_are_read_as_toml_or_as_text(text: str, value: object) -> None:
    assert read_changes("default", None, None, [f"toy.field={text}"]).values == {"toy": {"field": value}}


def test_later_settings_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[toy]\na = 1\nb = 2\n")
    changes = read_changes("default", "mine", tmp_path / "c.toml", ["toy.b=3"])
    assert changes.values == {"toy": {"a": 1, "b": 3}}


def test_a_label_without_changes_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is changed"):
        read_changes("default", "mine", None, [])


def test_redaction_removes_home_and_data_but_keeps_the_rest() -> None:
    text = f"File {Path.home()}/code/x.py read /mnt/scans/a.png as {getpass.getuser()}"
    clean = redact(text, {"DATA": Path("/mnt/scans")})
    assert "<DATA>/a.png" in clean
    assert str(Path.home()) + "/" not in clean
    assert "code/x.py" in clean


def test_redaction_does_without_a_name_a_home_and_a_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(error: Exception) -> Callable[[], str]:
        def raises() -> str:
            raise error

        return raises

    monkeypatch.setattr(getpass, "getuser", refuse(KeyError("uid")))
    monkeypatch.setattr(Path, "home", refuse(RuntimeError("no home")))
    monkeypatch.setattr(Path, "cwd", refuse(FileNotFoundError("gone")))
    assert redact("/mnt/scans/a.png \udcff", {"DATA": Path("/mnt/scans")}) == "<DATA>/a.png ?"


def test_environment_names_no_folder() -> None:
    text = describe_environment().model_dump_json()
    assert str(Path.home()) + "/" not in text
    assert "numpy" in text


def test_digest_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "digest_me"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    made = spec(package="digest_me", torch=False)

    def digest(of: DetectorSpec = made) -> str:
        return provenance(of, DetectorConfig()).source_digest

    first = provenance(made, DetectorConfig())
    before = first.source_digest
    (package / "README.md").write_text("words")
    assert digest() == before
    assert not first.edited()
    (package / "a.py").write_text("x = 2")
    changed = digest()
    assert changed != before
    assert first.edited()
    (package / "a.py").rename(package / "b.py")
    assert digest() not in {before, changed}
    assert digest(replace(made, torch=True)) != digest()
