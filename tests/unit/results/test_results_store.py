"""Records on disk: never half written, never overwritten by less."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from bench.errors import NewerRecordError, RecordError, StorageError
from bench.files import check_writable, storage_error, write_atomically, writing_atomically
from bench.results.record import STATE, Record, read_record
from bench.results.scores import read_scores, read_table, scores_table, split_scores, to_parquet
from bench.results.store import FAILED_ATTEMPT, RECORD, SCORES, Store
from tests.unit.record_factory import N, add_record, entries


def test_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = add_record(store)
    ((folder, found),) = store.records()
    assert found == record
    assert folder == tmp_path / "runs" / "chest-xray" / "toy" / record.cell
    assert store.has_files_of(found)
    scores = read_scores(folder / SCORES, found.files[0].sha256)
    assert len(scores.labels) == len(scores.scores) == len(scores.ids) == N
    assert len(scores.tune) == N // 10
    assert list(scores.ids) == sorted(scores.ids)
    assert sorted(path.name for path in folder.iterdir()) == [RECORD, SCORES]


def test_a_folder_without_a_record_holds_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = add_record(store)
    (store.folder_of(record) / RECORD).unlink()
    assert list(store.records()) == []
    assert store.find("chest-xray", "toy", record.cell) is None


def test_failed_attempt_stands_beside_a_finished_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = add_record(store)
    add_record(store, status="failed", reason="no luck")
    assert store.find("chest-xray", "toy", good.cell) == good
    assert read_record(store.folder_of(good) / FAILED_ATTEMPT).reason == "no luck"
    add_record(store)
    assert not (store.folder_of(good) / FAILED_ATTEMPT).exists()


@pytest.mark.parametrize("fails_at", range(1, 5))
def test_a_disk_that_fills_up_leaves_the_older_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    store = Store(tmp_path)
    before = add_record(store)
    calls = 0

    def full(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bench.files.os.fsync", full)
    if fails_at <= 2:  # two files are written: the scores and the record
        with pytest.raises(StorageError, match="the disk is full"):
            add_record(store, gap=3.0)
        assert store.find("chest-xray", "toy", before.cell) == before
        assert store.has_files_of(before)
    else:
        assert add_record(store, gap=3.0) != before
    assert sorted(path.name for path in store.folder_of(before).iterdir()) == [RECORD, SCORES]


def test_damaged_and_newer_records_are_told_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = add_record(store)
    path = store.folder_of(record) / RECORD
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema": 7}))
    with pytest.raises(NewerRecordError, match="schema 7"):
        store.find("chest-xray", "toy", record.cell)
    path.write_text(json.dumps({**content, "seed": "many"}))
    with pytest.raises(RecordError, match="seed"):
        read_record(path)
    assert store.find("chest-xray", "toy", record.cell) is None
    path.write_text("{")
    with pytest.raises(RecordError, match="damaged"):
        read_record(path)


def test_scores_of_another_record_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = add_record(store)
    with pytest.raises(RecordError, match="sha256 differs"):
        read_scores(store.folder_of(record) / SCORES, "0" * 64)
    (store.folder_of(record) / SCORES).unlink()
    assert not store.has_files_of(record)


def test_atomic_write_leaves_nothing_behind_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("bench.files.os.fsync", refuse)
    with pytest.raises(StorageError, match="read-only"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_more_room_is_needed_than_there_is(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="MB are needed"):
        check_writable(tmp_path, needed_bytes=1 << 60)
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unknown_trouble_keeps_the_systems_words() -> None:
    assert "strange" in str(storage_error(Path("x"), OSError(errno.EIO, "strange")))


def test_what_is_known_of_images_becomes_columns_and_ages_become_bands() -> None:
    given = entries(4)
    known = [{"sex": "F", "age": "63", "view": "PA", "eye": "L"}, {"sex": "M"}, {}, {"age": "unknown"}]
    given = [entry._replace(attributes=known[place % 4]) for place, entry in enumerate(given)]
    table = scores_table(given, np.zeros(len(given)))
    assert [name for name in table.columns if name.startswith("group_")] == ["group_sex", "group_age", "group_view"]
    assert table["group_age"].tolist()[0] == "60–79" and table["group_age"].isna().tolist()[1:] == [True] * 3
    found = split_scores(read_table(to_parquet(table), "scores"))
    assert set(found.groups) == {"sex", "age", "view"}
    assert sorted(found.groups["sex"].tolist()) == sorted(["F", "M", "", ""][: len(found.ids)])


def test_an_image_without_a_patient_stands_for_itself() -> None:
    given = [entry._replace(patient="same" if place < 2 else None) for place, entry in enumerate(entries(6))]
    found = split_scores(scores_table(given, np.zeros(len(given))))
    assert found.patients is not None and len(found.ids) == 6
    shared = [place for place, entry in enumerate(e for e in given if e.role == "test") if entry.patient]
    assert len(set(found.patients.tolist())) == 6 - max(len(shared) - 1, 0)
    nobody = [entry._replace(patient=None) for entry in given]
    assert split_scores(scores_table(nobody, np.zeros(len(given)))).patients is None


def add_with_state(store: Store, content: bytes, **changes: object) -> Record:
    source = store.root.parent / "learned"
    source.write_bytes(content)
    return add_record(store, state=source, **changes)


def test_state_stands_beside_its_record_and_goes_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    record = add_with_state(store, b"learned")
    folder = store.folder_of(record)
    assert (folder / STATE).read_bytes() == b"learned"
    assert [file.path for file in record.files] == [SCORES]
    assert read_record(folder / RECORD) == record
    assert store.has_state_of(record)
    (folder / STATE).write_bytes(b"learnt")
    assert not store.has_state_of(record)
    (folder / STATE).unlink()
    assert not store.has_state_of(record)
    assert store.has_files_of(record)

    add_with_state(store, b"learned")
    add_record(store, status="failed", reason="no luck")
    assert store.has_state_of(record)  # of the record that stands
    after = add_record(store, gap=2.0)
    assert after.state is None
    assert not store.has_state_of(after)
    assert sorted(path.name for path in folder.iterdir()) == [RECORD, SCORES]
    assert b"state" not in (folder / RECORD).read_bytes()


@pytest.mark.parametrize("fails_at", range(1, 5))
def test_a_disk_that_fills_up_leaves_the_older_state_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    store = Store(tmp_path / "runs")
    before = add_with_state(store, b"older")
    calls = 0

    def full(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bench.files.os.fsync", full)
    if fails_at <= 3:  # three files are written: the scores, the state and the record
        with pytest.raises(StorageError, match="the disk is full"):
            add_with_state(store, b"newer", gap=3.0)
        assert store.find("chest-xray", "toy", before.cell) == before
        assert store.has_files_of(before)
        assert store.has_state_of(before)
    else:
        assert store.has_state_of(add_with_state(store, b"newer", gap=3.0))
    assert sorted(path.name for path in store.folder_of(before).iterdir()) == [RECORD, SCORES, STATE]


def test_a_writer_that_is_stopped_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"older")
    with pytest.raises(KeyboardInterrupt), writing_atomically(path) as file:
        file.write(b"newer")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]
