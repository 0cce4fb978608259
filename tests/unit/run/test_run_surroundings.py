"""Environment of a worker: how many threads it is told to use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from bench.run.surroundings import thread_count, threads, worker_environment


def test_jobs_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert [thread_count(jobs) for jobs in (1, 3, 8, 50)] == [8, 2, 1, 1]
    assert threads(2) == {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}


@pytest.mark.parametrize(("said", "count"), [("3", 3), (" 4,2", 4), ("", 8), ("0", 8), ("many", 8)])
def test_omp_num_threads_decides_where_it_is_a_number(monkeypatch: pytest.MonkeyPatch, said: str, count: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert thread_count(1) == count


def test_torch_takes_as_many_threads_as_it_was_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Torch sets its threads to MKL's, whatever OMP_NUM_THREADS says."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    program = "import torch; print(torch.get_num_threads())"
    environment = worker_environment([], 1, tmp_path)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process is bound to cores on Linux only")
def test_cores_of_others_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from bench.run.surroundings import thread_count; print(thread_count(1))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
