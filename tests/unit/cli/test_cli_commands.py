"""Commands that only look: show, doctor, help, version; and what importing them must not load."""

import json
import os
import subprocess
import sys

import pytest

from bench.cli import main
from tests.conftest import ROOT, Bench


def loaded(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize(
    "module", ["cli", "registry", "results.store", "report.rows", "metrics", "contracts", "site.build"]
)
def test_modules_that_must_not_import_torch(module: str) -> None:
    assert not loaded(f"import bench.{module}") & {"torch", "torchvision", "timm"}


def test_help_loads_nothing_heavy() -> None:
    run = "sys.argv = ['bench', '--help']\nfrom bench.cli import main\nmain()"
    heavy = {
        "torch",
        "timm",
        "pandas",
        "pyarrow",
        "scipy",
        "sklearn",
        "matplotlib",
        "numpy",
        "pydantic",
        "altair",
        "jinja2",
    }
    assert not loaded(run) & heavy


def test_list_loads_no_tables_and_no_torch() -> None:
    run = "sys.argv = ['bench', 'list']\nfrom bench.cli import main\nmain()"
    assert not loaded(run) & {"torch", "timm", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib"}


def test_show_names_every_field(bench: Bench) -> None:
    from salad_plugin.config import SaladConfig

    done = bench("show", "salad", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    for name, field in SaladConfig.model_fields.items():
        assert name in done.stdout
        assert field.description and field.description[:30] in done.stdout
    for word in ("IEEE TMI 40(12)", "smoke", "paper", "trained from scratch", "known to fail", "drusen"):
        assert word in done.stdout


def test_show_pretrained_and_task(bench: Bench) -> None:
    assert "ImageNet" in bench("show", "knn").stdout
    task = bench("show", "chest-xray").stdout
    assert "CC BY 4.0" in task
    assert "mendeley" in task


def test_show_unknown(bench: Bench) -> None:
    done = bench("show", "sallad")
    assert done.returncode == 2
    assert "did you mean salad" in done.stderr


def test_doctor(bench: Bench) -> None:
    done = bench("doctor", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert set(facts) >= {"python", "torch", "device", "threads", "data folder", "tasks", "plugins", "image cache"}
    assert facts["tasks"]["oct-phantom"].startswith("ready")
    assert "download" in facts["tasks"]["chest-xray"]


def test_doctor_fails_where_a_plugin_is_broken(bench: Bench) -> None:
    bench.add_plugin("sick", "raise RuntimeError('ill')")
    done = bench("doctor")
    assert done.returncode == 3
    assert "RuntimeError: ill" in done.stdout


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--version",), 0), (("--help",), 0), (("nonsense",), 2)])
def test_exit_codes_of_the_root_command(bench: Bench, arguments: tuple[str, ...], code: int) -> None:
    assert bench(*arguments).returncode == code


def test_output_into_a_closed_pipe_is_quiet(bench: Bench) -> None:
    process = bench.start("list", "detectors", "--json")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()


def test_text_of_a_plugins_exit_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def leave(**_: object) -> None:
        raise SystemExit("the licence has expired")

    monkeypatch.setattr("bench.cli.app", leave)
    assert main() == 1
    assert "the licence has expired" in capsys.readouterr().err
