"""The commands that look at images: prepare, audit, split; and tasks that a TOML file describes."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import mlcroissant
import pandas as pd
import pytest
from PIL import Image

from bench.errors import RecordError
from bench.results.publish import check_publishable
from tests.conftest import Bench, toy_detector, write_image
from tests.unit.data.test_data_audit import encoded, scan


@pytest.fixture(autouse=True)
def toy(bench: Bench) -> None:
    bench.add_plugin("toy", toy_detector("toy"))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """OCT2017 in small, with a copy of a test scan in train."""
    root = tmp_path / "scans" / "OCT2017"
    for number in range(30):
        save(scan(number, number), root / "train" / "NORMAL" / f"NORMAL-{number}-1.jpeg")
    for number in range(6):
        save(scan(50 + number, 50 + number), root / "train" / "CNV" / f"CNV-{50 + number}-1.jpeg")
        for place, kind in enumerate(("NORMAL", "CNV", "DME", "DRUSEN")):
            one = 100 + 10 * place + number
            save(scan(one, one), root / "test" / kind / f"{kind}-{one}-1.jpeg")
    save(encoded(scan(102, 102), 60), root / "train" / "NORMAL" / "NORMAL-7-1.jpeg")
    return root.parent


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=92)


def test_audit_as_json_table_and_contact_sheet(bench: Bench, scans: Path, tmp_path: Path) -> None:
    done = bench("data", "audit", "oct2017", "--data", str(scans), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (pair,) = told["duplicates"]
    assert (pair["kind"], pair["a"], pair["b"], pair["b_role"]) == (
        "near",
        "train/NORMAL/NORMAL-7-1.jpeg",
        "test/NORMAL/NORMAL-102-1.jpeg",
        "test",
    )
    assert told["shared_patients"] == []
    assert {"mean_intensity", "contrast", "width", "height", "file_size"} <= {c["name"] for c in told["confounds"]}
    sheet = tmp_path / "sheet.png"
    done = bench("data", "audit", "oct2017", "--data", str(scans), "--sheet", str(sheet))
    assert done.returncode == 0, done.stderr
    assert "test: test/NORMAL/NORMAL-102-1.jpeg" in done.stdout
    assert "Confounds" in done.stdout
    with Image.open(sheet) as drawn:
        assert drawn.size[0] > 400


def test_split_shows_counts_and_writes_a_manifest_without_paths(bench: Bench, scans: Path, tmp_path: Path) -> None:
    done = bench("data", "split", "oct2017", "--show", "--data", str(scans))
    assert done.returncode == 0, done.stderr
    assert "DRUSEN" in done.stdout
    told = json.loads(bench("data", "split", "oct2017", "--json", "--data", str(scans)).stdout)
    roles = {(row["role"], row["category"]): (row["images"], row["patients"]) for row in told["roles"]}
    assert roles["test", "DME"] == (6, 6)
    assert roles["fit", "NORMAL"][0] + roles["tune", "NORMAL"][0] == 30
    for name in ("manifest.tsv", "manifest.parquet"):
        done = bench("data", "split", "oct2017", "--out", str(tmp_path / name), "--data", str(scans))
        assert done.returncode == 0, done.stderr
    tsv = pd.read_csv(tmp_path / "manifest.tsv", sep="\t", dtype=str)
    parquet = pd.read_parquet(tmp_path / "manifest.parquet")
    assert list(tsv["id"]) == list(parquet["id"])
    assert len(parquet) == 60
    assert str(scans) not in (tmp_path / "manifest.tsv").read_text()
    described = tmp_path / "croissant.json"
    arguments = ("--out", str(tmp_path / "manifest.tsv"), "--croissant", str(described), "--data", str(scans))
    done = bench("data", "split", "oct2017", *arguments)
    assert done.returncode == 0, done.stderr
    read = mlcroissant.Dataset(jsonld=described)
    records = list(read.records("images"))
    assert len(records) == 60
    assert {record["images/role"] for record in records} == {b"fit", b"tune", b"test", b"pool"}
    assert read.metadata.license == ["CC BY 4.0"]
    done = bench("data", "split", "oct2017", "--croissant", str(described), "--data", str(scans))
    assert done.returncode == 2
    assert "--out MANIFEST.tsv" in done.stderr
    done = bench("data", "split", "oct2017", "--out", "manifest.txt", "--data", str(scans))
    assert done.returncode == 2
    assert ".tsv or .parquet" in done.stderr


def test_prepare_then_list_then_run_decodes_nothing(bench: Bench, scans: Path) -> None:
    listed = json.loads(bench("list", "tasks", "--json", "--data", str(scans)).stdout)["tasks"]
    state = {task["name"]: task for task in listed}
    assert state["oct2017"]["state"] == "found: prepare it"
    assert state["oct2017"]["images"] == 60
    assert state["chest-xray"]["state"] == "not here"
    assert state["oct2017-clean"]["base"] == "oct2017"
    assert state["oct2017-clean"]["protocol"].startswith("fit and tune without")
    done = bench("data", "prepare", "oct2017", "--size", "16", "--size", "24", "--data", str(scans))
    assert done.returncode == 0, done.stderr
    assert "ready at 16 px, 24 px" in done.stdout
    before = sorted((bench.folder / "cache" / "images").iterdir())
    assert len(before) == 2
    done = bench("run", "--detectors", "toy", "--tasks", "oct2017", "--data", str(scans))
    assert done.returncode == 0, done.stderr
    assert "decoded" not in done.stderr
    assert sorted((bench.folder / "cache" / "images").iterdir()) == before
    told = bench("list", "tasks", "--data", str(scans)).stdout
    assert "protocol variants of" in told
    assert "get chest-xray: https://" in told


def test_clean_and_official_have_the_same_test_images(bench: Bench, scans: Path) -> None:
    done = bench("run", "--detectors", "toy", "--tasks", "oct2017,oct2017-clean", "--data", str(scans), "--json")
    assert done.returncode == 0, done.stderr
    tasks = {task["name"]: task for task in json.loads(done.stdout)["tasks"]}
    official, clean = tasks["oct2017"]["counts"], tasks["oct2017-clean"]["counts"]
    assert clean["test"] == official["test"]
    learned = [sum(counts[role]["normal"] for role in ("fit", "tune")) for counts in (official, clean)]
    assert learned == [30, 29]
    assert tasks["oct2017-clean"]["protocol"].startswith("fit and tune without")
    scores = {path.parts[-4]: pd.read_parquet(path) for path in bench.results.glob("runs/*/*/*/scores.parquet")}
    tested = {name: set(table[table["role"] == "test"]["image_id"]) for name, table in scores.items()}
    assert tested["oct2017"] == tested["oct2017-clean"]


def test_bad_images_are_all_named_and_can_be_left_out(bench: Bench, scans: Path) -> None:
    for number in (3, 4):
        path = scans / "OCT2017" / "train" / "NORMAL" / f"NORMAL-{number}-1.jpeg"
        path.write_bytes(path.read_bytes()[:200])
    done = bench("data", "prepare", "oct2017", "--size", "16", "--data", str(scans))
    assert done.returncode == 3
    assert "2 image(s) cannot be read" in done.stderr
    assert all(f"NORMAL-{number}-1.jpeg" in done.stderr for number in (3, 4))
    done = bench("run", "--detectors", "toy", "--tasks", "oct2017", "--skip-bad", "--data", str(scans), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tasks"][0]["counts"]["skipped"] == {"normal": 2, "anomalous": 0}


HOSPITAL = """
[task]
name = "my-hospital"
version = "1"
modality = "OCT"
[images]
csv = "labels.csv"
[columns]
path = "file"
label = "diagnosis"
patient = "pid"
[labels]
normal = ["healthy"]
[split]
rule = "hash"
fit = 0.6
seed = 0
"""


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Somebody's own scans, with a table of diagnoses."""
    root = tmp_path / "hospital"
    lines = ["file,diagnosis,pid"]
    for number in range(60):
        sick = number % 4 == 0
        write_image(root / "scans" / f"{number}.jpeg", number, bright=sick)
        lines.append(f"scans/{number}.jpeg,{'oedema' if sick else 'healthy'},MRN-{number // 2:05d}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    (root / "my-hospital.toml").write_text(HOSPITAL)
    return root


def test_own_data_without_code_and_nothing_of_it_leaves(bench: Bench, hospital: Path) -> None:
    toml = str(hospital / "my-hospital.toml")
    done = bench("run", "--detectors", "toy", "--tasks", toml, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["task"] == "my-hospital"
    (record,) = bench.records()
    assert record["task"]["private"] is True  # type: ignore[index]
    everything = b"".join(path.read_bytes() for path in bench.results.rglob("*") if path.is_file())
    assert b"MRN-" not in everything
    assert str(hospital).encode() not in everything
    table = pd.read_parquet(next(bench.results.glob("runs/*/*/*/scores.parquet")))
    assert table["patient"].str.fullmatch("[0-9a-f]{16}").all()
    published = bench.folder / "published"
    done = bench("publish", str(bench.results / "runs"), "--to", str(published))
    assert done.returncode == 1
    assert "task 'my-hospital' is private: its TOML file says publish = false" in done.stderr
    assert not published.exists()
    with pytest.raises(RecordError, match="private"):
        check_publishable(next(bench.results.glob("runs/*/*/*")))
    done = bench("leaderboard", "table", str(bench.results), "--format", "md", "--roc", str(bench.folder / "roc"))
    assert done.returncode == 2
    assert "private tasks are left out: my-hospital" in done.stderr
    assert not (bench.folder / "roc").exists()


def test_own_data_is_audited_and_split_as_any_other(bench: Bench, hospital: Path) -> None:
    toml = str(hospital / "my-hospital.toml")
    done = bench("data", "audit", toml, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["near_duplicates_searched"] is False  # 48 × 40 pixels
    assert told["shared_patients"] == []
    assert bench("data", "prepare", toml, "--size", "16").returncode == 0
    done = bench("data", "split", toml, "--show")
    assert done.returncode == 0, done.stderr
    assert "oedema" in done.stdout


def test_wrong_toml_names_file_line_and_fix(bench: Bench, hospital: Path) -> None:
    toml = hospital / "my-hospital.toml"
    toml.write_text(HOSPITAL.replace("[labels]", "[lables]"))
    done = bench("run", "--detectors", "toy", "--tasks", str(toml))
    assert done.returncode == 2
    assert "my-hospital.toml" in done.stderr
    assert "lables" in done.stderr
    assert "labels" in done.stderr
    assert "Traceback" not in done.stderr
    toml.write_text(HOSPITAL.replace("my-hospital", "oct2017"))
    done = bench("run", "--detectors", "toy", "--tasks", str(toml))
    assert done.returncode == 2
    assert "there is a task 'oct2017' already" in done.stderr
    assert bench("run", "--detectors", "toy", "--tasks", "nowhere.toml").returncode == 2


def test_interrupted_prepare_goes_on(bench: Bench, scans: Path) -> None:
    script = (
        "import sys, os, signal\n"
        "from bench.data import decode\n"
        "decode.BATCH, real, count = 5, decode._decode, []\n"
        "def slow(*a):\n"
        "    count.append(1)\n"
        "    if len(count) > 40: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*a)\n"
        "decode._decode = slow\n"
        "from bench.cli import main\n"
        "sys.argv = ['bench', 'data', 'prepare', 'oct2017', '--size', '16', '--data', sys.argv[1]]\n"
        "sys.exit(main())\n"
    )
    cut = subprocess.run(
        [sys.executable, "-c", script, str(scans)], env=bench.environment, capture_output=True, text=True, timeout=120
    )
    assert cut.returncode == 130, cut.stderr
    (part,) = (bench.folder / "cache" / "images").glob(".*")
    assert (part / "fit.npy").exists()
    done = bench("data", "prepare", "oct2017", "--size", "16", "--data", str(scans))
    assert done.returncode == 0, done.stderr
    assert not part.exists()


def test_unpack_writes_nothing_outside_the_data_folder(bench: Bench, tmp_path: Path) -> None:
    good, evil = tmp_path / "good.zip", tmp_path / "evil.zip"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("OCT2017/train/NORMAL/a.txt", "x")
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("fine.txt", "x")
        archive.writestr("../outside.txt", "x")
    data = tmp_path / "into"
    done = bench("data", "unpack", str(evil), "--data", str(data))
    assert done.returncode == 3
    assert "../outside.txt" in done.stderr
    assert not (tmp_path / "outside.txt").exists()
    assert not (data / "fine.txt").exists()
    assert bench("data", "unpack", str(good), "--data", str(data)).returncode == 0
    assert (data / "OCT2017" / "train" / "NORMAL" / "a.txt").read_text() == "x"
    assert bench("data", "unpack", str(good)).returncode == 2


def test_fetch_names_what_it_knows(bench: Bench) -> None:
    done = bench("data", "fetch", "octmist", "--data", ".")
    assert done.returncode == 2
    assert "did you mean octmnist" in done.stderr
    done = bench("data", "fetch", "octmnist")
    assert done.returncode == 2
    assert "--data DIR" in done.stderr


def test_published_audit_stands_beside_the_table(bench: Bench, scans: Path, hospital: Path) -> None:
    assert bench("run", "--detectors", "toy", "--tasks", "oct2017", "--data", str(scans)).returncode == 0
    done = bench("data", "audit", "oct2017", "--data", str(scans), "--to", str(bench.results))
    assert done.returncode == 0, done.stderr
    (path,) = bench.results.glob("audits/oct2017/*.json")
    assert ".jpeg" not in path.read_text()
    for form in ("md", "terminal"):
        told = " ".join(bench("leaderboard", "table", str(bench.results), "--format", form).stdout.split())
        assert "Audit: 1 copies of test images elsewhere, 0 shared patients. AUROC of what does not look at" in told
    path.write_text("{")
    done = bench("leaderboard", "table", str(bench.results), "--format", "md")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    private = bench("data", "audit", str(hospital / "my-hospital.toml"), "--to", str(bench.results))
    assert private.returncode == 2
    assert "is private" in private.stderr
