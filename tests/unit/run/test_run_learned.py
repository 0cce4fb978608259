"""Which records may score other images on this machine, and what is said of those that may not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.knn import SPEC as KNN
from bench.contracts import API, TaskSpec
from bench.data.decode import DECODER
from bench.errors import BenchError, EnvironmentProblem, PluginProblem, RecordError, UsageError
from bench.registry import Offer, Registry, load_registry
from bench.results.record import STATE, Record
from bench.results.scores import read_scores
from bench.results.store import RECORD, SCORES, Store
from bench.run.learned import find_record, open_learned
from tests.unit.record_factory import add_record


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "learned").write_bytes(b"learned")
    return Store(tmp_path / "runs")


def add(store: Store, **changes: Any) -> Record:
    return add_record(store, **{"detector": "mean-intensity", "state": store.root.parent / "learned", **changes})


def edit(store: Store, record: Record, part: str, **changes: Any) -> Path:
    """Change a part of a record on disk, and return its folder."""
    changed = getattr(record, part).model_copy(update=changes)
    folder = store.folder_of(record)
    (folder / RECORD).write_bytes(record.model_copy(update={part: changed}).to_json())
    return folder


def test_a_kept_run_is_ready(store: Store, registry: Registry) -> None:
    record = add(store)
    folder = store.folder_of(record)
    learned = open_learned(folder, registry)
    assert (learned.record, learned.kept, learned.path) == (record, record.state, folder / STATE)
    assert (learned.name, learned.config) == ("mean-intensity", learned.offer.spec.config()())
    assert learned.tune.tolist() == sorted(read_scores(folder / SCORES, record.files[0].sha256).tune)
    assert (learned.task.name, learned.task.decode) == ("chest-xray", None)
    assert [note for note in learned.notes if "source is not what it was" in note]  # the record says "s"


def test_runs_are_found_by_id_beginning_folder_and_record(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, other = add(store), add(store, seed=1, state=None)
    folder = store.folder_of(kept)
    for name in (kept.cell, kept.cell[:6], str(folder), str(folder / RECORD), str(folder.parent), str(store.root)):
        assert find_record(name, store).resolve() == folder.resolve(), name
    assert find_record(other.cell, store) == store.folder_of(other)
    for name, text in (("nonsense", "no record 'nonsense'"), (str(tmp_path / "learned"), "no record")):
        with pytest.raises(UsageError, match=text):
            find_record(name, store)
    third = add(store, seed=2)
    with pytest.raises(UsageError, match=r"has 2 records with a learned state(.|\n)*" + third.cell):
        find_record(str(folder.parent), store)


@pytest.mark.parametrize(
    ("part", "changes", "error", "text"),
    [
        ("state", {"api": API + 1}, PluginProblem, f"version {API + 1} of the detector contract"),
        ("state", {"decoder": DECODER + "x"}, EnvironmentProblem, "decodes images in another way"),
        ("state", {"sha256": "0" * 64}, RecordError, "is not the file that its record was made with"),
        ("state", {"own_decoder": True}, PluginProblem, "install the plugin that offers it"),
        ("detector", {"name": "gone", "distribution": "lost"}, UsageError, "'gone' of lost 1, which is not installed"),
        ("detector", {"version": "7"}, PluginProblem, "version 7 of detector 'mean-intensity'"),
        ("detector", {"config": {"power": 2}}, PluginProblem, "does not take the configuration"),
        ("detector", {"name": "knn", "version": KNN.version}, EnvironmentProblem, "weights are not those of the run"),
    ],
)
def test_what_differs_is_refused_with_the_way_out(
    store: Store, registry: Registry, part: str, changes: dict[str, Any], error: type[BenchError], text: str
) -> None:
    folder = edit(store, add(store), part, **changes)
    with pytest.raises(error, match=text) as caught:
        open_learned(folder, registry)
    assert "--keep-state" in str(caught.value) or "install" in str(caught.value)


def test_weights_that_are_not_here_are_named(store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = edit(store, add(store), "detector", name="knn", version=KNN.version)
    monkeypatch.setattr("bench.pretrained.weights_file", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"not on this machine: tf_efficientnet_lite0"):
        open_learned(folder, registry)


def test_missing_and_damaged_files_are_named(store: Store, registry: Registry) -> None:
    folder = store.folder_of(add(store, seed=1, state=None))
    with pytest.raises(UsageError, match="was not kept; run it again with: bench run … --keep-state"):
        open_learned(folder, registry)
    folder = store.folder_of(add(store, seed=2, status="failed", reason="no", state=None))
    with pytest.raises(RecordError, match="ended as failed"):
        open_learned(folder, registry)
    folder = store.folder_of(add(store))
    (folder / SCORES).write_bytes(b"")
    with pytest.raises(RecordError, match="sha256 differs"):
        open_learned(folder, registry)
    (folder / STATE).unlink()
    with pytest.raises(RecordError, match=r"No such file(.|\n)*not published"):
        open_learned(folder, registry)


def test_a_task_with_a_decoder_of_its_own_decodes_by_it(store: Store, registry: Registry) -> None:
    def decode(path: Path) -> np.ndarray:
        return np.zeros((4, 4), np.uint8)

    spec = TaskSpec("scans", "1", "", "", "", "", "image", "", lambda data: (), decode)
    folder = edit(store, add(store, task="scans"), "state", own_decoder=True)
    offer = Offer(spec, registry.plugins[0])
    assert open_learned(folder, replace(registry, tasks={"scans": offer})).task.decode is decode
    newer = Offer(replace(spec, version="2"), registry.plugins[0])
    with pytest.raises(PluginProblem, match="task 'scans' version 1"):
        open_learned(folder, replace(registry, tasks={"scans": newer}))


def test_other_versions_of_packages_are_told(store: Store, registry: Registry) -> None:
    before = {"numpy": "1.0", "salad-bench": "0", "pandas": "0"}
    folder = edit(store, add(store), "environment", packages=before)
    (note,) = [note for note in open_learned(folder, registry).notes if "versions" in note]
    assert f"(numpy {np.__version__} instead of 1.0)" in note
