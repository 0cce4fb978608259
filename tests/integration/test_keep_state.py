"""``bench run --keep-state`` with real detectors: all of a state beside its record, or none."""

import json
from pathlib import Path

import pytest

from bench.run.statefile import read_state
from tests.conftest import Bench, toy_detector
from tests.inside import Place

STATES = {
    "raises": ("raise RuntimeError('nothing to show')", "nothing to show"),
    "objects": ("return {'centre': np.array([object()])}", "expected numpy arrays of numbers"),
}


def with_state(name: str, statement: str) -> str:
    return toy_detector(name).replace('return {"centre": self.centre}', statement)


def test_state_is_kept_where_asked_for_and_a_bad_one_costs_its_cell(
    bench: Bench, chest_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    for kind, (statement, _) in STATES.items():
        bench.add_plugin(f"bad_{kind}", with_state(f"bad-{kind}", statement))
    monkeypatch.syspath_prepend(bench.folder / "site")
    place = Place(bench.folder)
    words = ("run", "--tasks", "chest-xray", "--data", str(chest_data), "--detectors")
    assert place(*words, "toy").returncode == 0
    assert not (place.record("toy") / "state.safetensors").exists()

    done = place(*words, "toy,bad-raises,bad-objects", "--keep-state", "--json")
    assert done.returncode == 1, done.stderr
    assert "toy · seed 0: computed again, since its learned state was not kept" in done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["toy"]["status"] == "ok"
    for kind, (_, reason) in STATES.items():
        assert rows[f"bad-{kind}"]["status"] == "failed"
        assert reason in rows[f"bad-{kind}"]["reason"]
    (path,) = bench.results.glob("runs/*/*/*/state.safetensors")
    assert path.parent == place.record("toy")
    assert read_state(path)["centre"].shape == (16, 16, 1)
    state = json.loads((path.parent / "record.json").read_text())["state"]
    assert (state["own_decoder"], state["map_range"], state["threads"]) == (False, None, 1)

    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert "reused" in place(*words, "toy").stderr
    assert "its learned state is missing or damaged" in place(*words, "toy", "--keep-state").stderr
    assert path.read_bytes() == good
    assert "reused" in place(*words, "toy", "--keep-state").stderr
