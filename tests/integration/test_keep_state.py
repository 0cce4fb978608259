"""``bench run --keep-state`` through real processes: all of a state beside its record, or none."""

import json
import subprocess
from collections.abc import Callable

from bench.run.statefile import read_state
from tests.conftest import Bench, toy_detector

Run = Callable[..., subprocess.CompletedProcess[str]]
STATES = {
    "raises": ("raise RuntimeError('nothing to show')", "nothing to show"),
    "objects": ("return {'centre': np.array([object()])}", "expected numpy arrays of numbers"),
}


def with_state(name: str, statement: str) -> str:
    return toy_detector(name).replace('return {"centre": self.centre}', statement)


def test_state_is_kept_where_asked_for_and_a_bad_one_costs_its_cell(bench: Bench, run_toy: Run) -> None:
    bench.add_plugin("toy", toy_detector("toy"))
    for kind, (statement, _) in STATES.items():
        bench.add_plugin(f"bad_{kind.replace('-', '_')}", with_state(f"bad-{kind}", statement))
    assert run_toy("--detectors", "toy").returncode == 0
    assert not list(bench.results.glob("runs/*/*/*/state.safetensors"))

    names = ",".join(["toy", *(f"bad-{kind}" for kind in STATES)])
    done = run_toy("--detectors", names, "--keep-state", "--json")
    assert done.returncode == 1, done.stderr
    assert "toy · seed 0: computed again, since its learned state was not kept" in done.stderr
    rows = {row["detector"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["toy"]["status"] == "ok"
    for kind, (_, reason) in STATES.items():
        assert rows[f"bad-{kind}"]["status"] == "failed"
        assert reason in rows[f"bad-{kind}"]["reason"]
    (path,) = bench.results.glob("runs/*/*/*/state.safetensors")
    assert path.parent.parent.name == "toy"
    assert read_state(path)["centre"].shape == (16, 16, 1)
    state = json.loads((path.parent / "record.json").read_text())["state"]
    assert (state["own_decoder"], state["map_range"]) == (False, None)

    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert "reused" in run_toy("--detectors", "toy").stderr
    again = run_toy("--detectors", "toy", "--keep-state")
    assert "its learned state is missing or damaged" in again.stderr
    assert path.read_bytes() == good
