"""Adding a submission: all of it or nothing, whatever kills it, and badges that are earned."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RecordError, StorageError, SubmissionError
from bench.report.badges import badge_notes
from bench.report.merging import Merged, merge_submission
from bench.report.published import check_leaderboard, published_rows
from bench.results.attestations import (
    NAME,
    add_attestations,
    attest,
    attestation_problems,
    badges,
    read_attestations,
)
from bench.results.checksums import check_listed
from bench.results.record import Record
from bench.results.rerun import rerun_problems
from bench.results.store import Store
from bench.results.verify import verify_results
from bench.whole import changing_whole
from tests.conftest import ROOT
from tests.unit.record_factory import add_record
from tests.unit.submissions import published, submitted, write_archive

DAY = date(2026, 1, 2)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("original"))


@pytest.fixture
def results(tmp_path: Path, original: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "home" / "results"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submission")
    return write_archive(folder / "submission.zip", submitted(folder / "runs"))


def merge(archive: Path, results: Path, **options: Any) -> Merged:
    return merge_submission(archive, results, "maintainers", DAY, **options)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_added_verifies_and_is_in_the_tables(results: Path, archive: Path) -> None:
    merged = merge(archive, results)
    assert [record.detector.name for record in merged.added] == ["novel"]
    assert verify_results(results, deep=True) == (5, [])
    assert check_leaderboard(results) == []
    assert check_listed(results) == []
    assert b"| novel |" in (results / "leaderboard/tables.md").read_bytes()
    assert read_attestations(results) == attest([merged.added[0].cell], "recomputed", "maintainers", DAY)
    assert (
        b"Followed up: metrics recomputed from submitted scores: novel."
        in (results / "leaderboard/tables.md").read_bytes()
    )
    assert [path.name for path in results.parent.iterdir()] == ["results"]


def test_the_difference_in_ranks_is_told(results: Path, archive: Path) -> None:
    ((task, changes),) = merge(archive, results).changes
    assert task.startswith("chest-xray v1 (toy)")
    told = {change.name: (change.before, change.after) for change in changes}
    assert told["novel"] == ("", "1–2")
    assert set(told) == {"toy", "other", "novel"}
    assert told["toy"][0] != "" and told["toy"] != told["novel"]
    assert all("[" in change.auroc for change in changes)


def test_a_dry_run_says_the_same_and_changes_nothing(results: Path, archive: Path) -> None:
    before = snapshot(results)
    dry = merge(archive, results, dry_run=True)
    assert snapshot(results) == before
    assert dry == merge(archive, results)
    assert snapshot(results) != before


def test_a_refused_submission_changes_nothing_and_is_told_in_full(results: Path, tmp_path: Path) -> None:
    before = snapshot(results)
    files = submitted(tmp_path / "runs", citation="", variant="smoke")
    with pytest.raises(SubmissionError, match=r"bad\.zip is refused, for 2 reason") as error:
        merge(write_archive(tmp_path / "bad.zip", files), results)
    assert ["smoke" in error.value.reasons[0], "citation" in error.value.reasons[1]] == [True, True]
    (tmp_path / "no.zip").write_bytes(b"no")
    with pytest.raises(SubmissionError, match="no zip archive"):
        merge(tmp_path / "no.zip", results)
    assert snapshot(results) == before


def test_nothing_is_added_to_results_that_were_changed_by_hand(results: Path, archive: Path) -> None:
    (next(results.glob("runs/*/toy/*")) / "stray").write_text("x")
    with pytest.raises(RecordError, match="changed by hand"):
        merge(archive, results)


KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
import bench.report.merging as merging, bench.whole as whole

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(function):
    def both(*arguments):
        function(*arguments)
        die()
    return both

def merge(archive, results, moment):
    if moment.isdecimal():  # at one of the files that are written
        left, fsync = [int(moment)], os.fsync
        def counted(descriptor):
            left[0] -= 1
            die() if left[0] == 0 else fsync(descriptor)
        os.fsync = counted
    else:
        whole._exchange = die if moment == "before" else then_die(whole._exchange)
    merging.merge_submission(archive, results, "maintainers", date(2026, 1, 2))

for moment in sys.argv[3:]:
    child = os.fork()
    if child == 0:
        merge(Path(sys.argv[1]), Path(sys.argv[2]) / moment / "results", moment)
        os._exit(9)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
MOMENTS = ("1", "3", "8", "before", "after")


def test_a_kill_leaves_the_results_as_before_or_complete(original: Path, archive: Path, tmp_path: Path) -> None:
    """Killed while a file is written, before the two folders change places, and right after."""
    before = snapshot(original)
    for moment in MOMENTS:
        shutil.copytree(original, tmp_path / moment / "results")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(archive), str(tmp_path), *MOMENTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(MOMENTS), done.stderr
    for moment in MOMENTS:
        results = tmp_path / moment / "results"
        assert len(list(results.parent.iterdir())) == 2  # what was left lies beside it
        assert (snapshot(results) == before) is (moment != "after")
    complete = tmp_path / "after" / "results"
    assert verify_results(complete) == (5, []) and check_leaderboard(complete) == []
    merge(archive, tmp_path / "before" / "results")
    assert snapshot(tmp_path / "before" / "results") == snapshot(complete)
    for moment in ("before", "after"):
        with changing_whole(tmp_path / moment / "results"):
            pass  # whoever comes next clears away what was left
        assert [path.name for path in (tmp_path / moment).iterdir()] == ["results"]


def test_an_error_inside_leaves_the_folder_as_it_was(results: Path) -> None:
    before = snapshot(results)
    with pytest.raises(KeyboardInterrupt), changing_whole(results) as copy:
        (copy / "new").write_text("x")
        raise KeyboardInterrupt
    assert snapshot(results) == before
    assert [path.name for path in results.parent.iterdir()] == ["results"]


def test_a_folder_is_changed_by_one_process_at_a_time(results: Path) -> None:
    descriptor = os.open(results.parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(StorageError, match="changed by another process"), changing_whole(results):
        pass
    os.close(descriptor)
    with changing_whole(results):
        pass


def test_a_link_to_the_results_stays_one(results: Path, archive: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(results)
    merge(archive, link)
    assert link.is_symlink() and verify_results(results)[0] == 5


def test_a_file_system_without_hard_links_or_exchange(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(results)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "not here")

    with monkeypatch.context() as patch:
        patch.setattr("bench.whole.os.link", refuse)
        with changing_whole(results) as copy:
            assert snapshot(copy) == before
    monkeypatch.setattr("bench.whole._EXCHANGE", 1 << 20)
    with pytest.raises(StorageError, match="as a whole: Invalid argument"), changing_whole(results) as copy:
        (copy / "new").write_text("x")
    assert snapshot(results) == before


def test_attestations_are_one_list_without_repetition(tmp_path: Path) -> None:
    cells = ["b" * 16, "a" * 16]
    add_attestations(tmp_path, attest(cells, "recomputed", "us", DAY))
    first = (tmp_path / NAME).read_bytes()
    add_attestations(tmp_path, attest(cells, "recomputed", "us", DAY))
    assert (tmp_path / NAME).read_bytes() == first
    add_attestations(tmp_path, attest(cells[:1], "reproduced", "Jürgen", DAY))
    assert badges(tmp_path) == {"a" * 16: "recomputed", "b" * 16: "reproduced"}
    assert json.loads((tmp_path / NAME).read_text())[2] == {
        "cell": "b" * 16,
        "badge": "reproduced",
        "by": "Jürgen",
        "on": "2026-01-02",
    }
    assert attestation_problems(tmp_path, cells[1:]) == [f"attestations.json: there is no record of cell {'b' * 16}"]


@pytest.mark.parametrize("by", ["", "a\u202eb", "<script>", "x" * 101, "a\nb", "a|b"])
def test_names_that_cannot_be_shown_are_refused(by: str) -> None:
    with pytest.raises(RecordError, match="'by' cannot be shown"):
        attest(["a" * 16], "rerun", by, DAY)


def test_a_damaged_list_is_named(results: Path) -> None:
    (results / NAME).write_text('[{"cell": "x"}]')
    with pytest.raises(RecordError, match=r"attestations\.json is damaged"):
        badges(results)
    assert any("is damaged" in problem for problem in verify_results(results)[1])


def test_an_edited_attestation_is_found_by_the_list_of_checksums(results: Path, archive: Path) -> None:
    merge(archive, results)
    path = results / NAME
    path.write_text(path.read_text().replace("recomputed", "reproduced"))
    assert check_listed(results) == [
        "attestations.json: it is not the file that was published (its sha256 differs from checksums.txt)"
    ]


def test_a_row_has_the_badge_that_all_its_seeds_have(results: Path) -> None:
    toy = [record for _, record in Store(results).records() if record.detector.name == "toy"]
    add_attestations(results, attest([toy[0].cell], "reproduced", "us", DAY))
    assert badge_notes(results, published_rows(results)) == {}
    add_attestations(results, attest([toy[1].cell], "rerun", "us", DAY))
    (note,) = badge_notes(results, published_rows(results)).values()
    assert note == "Followed up: re-run with the same scores: toy."


def again(folder: Path, record: Record, **changes: Any) -> Path:
    """A second run of what the factory made, with other times."""
    store = Store(folder)
    other = add_record(store, seed=record.seed, detector=record.detector.name, **changes)
    store.replace(other.model_copy(update={"cost": other.cost.model_copy(update={"fit_seconds": 99.0})}))
    return folder


def test_a_rerun_must_have_the_same_scores(results: Path, tmp_path: Path) -> None:
    one = next(cell for cell in Store(results).records() if cell[1].detector.name == "toy")
    assert rerun_problems(one, again(tmp_path / "same", one[1]), "rerun") == []
    assert rerun_problems(one, again(tmp_path / "rounded", one[1], digits=5), "rerun") == []
    assert "scores differ by up to" in rerun_problems(one, again(tmp_path / "off", one[1], digits=1), "rerun")[0]
    assert "has no record of this cell" in rerun_problems(one, tmp_path / "empty", "rerun")[0]
    assert "the published record itself" in rerun_problems(one, results, "rerun")[0]


def test_a_reproduction_must_lie_within_the_published_interval(results: Path, tmp_path: Path) -> None:
    one = next(cell for cell in Store(results).records() if cell[1].detector.name == "toy")
    assert rerun_problems(one, again(tmp_path / "near", one[1], digits=1), "reproduced") == []
    (problem,) = rerun_problems(one, again(tmp_path / "far", one[1], gap=6.0), "reproduced")
    assert "AUROC" in problem and "is not within" in problem
    assert (
        "no record of this detector" in rerun_problems(one, again(tmp_path / "x", one[1], version="2"), "reproduced")[0]
    )
    failed = Store(tmp_path / "failed")
    add_record(failed, seed=one[1].seed, status="failed", reason="no")
    failed.replace(
        next(failed.records())[1].model_copy(update={"cost": one[1].cost.model_copy(update={"device": "x"})})
    )
    assert "both must have finished" in rerun_problems(one, failed.root, "reproduced")[0]


def test_a_reproduction_is_not_believed_but_verified(results: Path, tmp_path: Path) -> None:
    one = next(cell for cell in Store(results).records() if cell[1].detector.name == "toy")
    folder = again(tmp_path / "lies", one[1], gap=6.0)
    ((_, other),) = Store(folder).records()
    Store(folder).replace(other.model_copy(update={"metrics": one[1].metrics}))
    assert any("auroc.value is" in problem for problem in rerun_problems(one, folder, "reproduced"))


def test_the_same_archive_twice_is_refused(results: Path, archive: Path, tmp_path: Path) -> None:
    cell = merge(archive, results).added[0].cell
    with pytest.raises(SubmissionError, match=f"is there already \\({cell}\\)"):
        merge(archive, results)
    renamed = submitted(tmp_path / "renamed", detector="renam", gap=2.0)
    with pytest.raises(SubmissionError, match="taken for one detector"):
        merge(write_archive(tmp_path / "renamed.zip", renamed), results)
