"""Learned state as a file: what comes back is what was given, and nothing else is accepted."""

import os
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BadStateError
from bench.run.statefile import STATE_FILE, check_state, read_state, write_state


def test_arrays_come_back_whatever_their_order_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    state = {
        "plain": rng.normal(size=(3, 4)),
        "columns first": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float32)),
        "every other": np.arange(10)[::2],
        "other byte order": np.arange(5, dtype=">f8"),
        "one number": np.array(7),
        "none": np.empty((0, 3), np.float16),
        "yes": np.array([True, False]),
    }
    write_state(state, tmp_path / STATE_FILE)
    found = read_state(check_state(tmp_path / STATE_FILE))
    assert set(found) == set(state)
    for name, array in state.items():
        assert found[name].shape == array.shape, name
        assert (found[name] == array).all(), name
        assert found[name].dtype == array.dtype.newbyteorder("="), name


@pytest.mark.parametrize(
    "state", [None, [np.zeros(2)], {1: np.zeros(2)}, {"x": [0.0]}, {"x": np.array([object()])}, {"x": np.array(["a"])}]
)
def test_what_is_no_state_is_refused(tmp_path: Path, state: object) -> None:
    with pytest.raises(BadStateError, match=r"^state (returned|has)"):
        write_state(state, tmp_path / STATE_FILE)
    assert not list(tmp_path.iterdir())


def test_odd_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / STATE_FILE
    with pytest.raises(BadStateError, match="cannot be read"):
        check_state(path)
    write_state({"x": np.zeros(100)}, path)
    whole = path.read_bytes()
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "short").write_bytes(whole[:-1])
    (tmp_path / "long").write_bytes(whole + b"x")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "short", "long", "folder"):
        with pytest.raises(BadStateError, match=r"cannot be read|is damaged|is not a file"):
            check_state(tmp_path / name)
    with pytest.raises(BadStateError, match="short is damaged"):
        read_state(tmp_path / "short")
