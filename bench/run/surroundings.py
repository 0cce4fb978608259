"""What a process that runs detector code finds around itself: its environment and its import path."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import joblib

import bench


def worker_environment(hidden: Iterable[Path], jobs: int, scratch: Path) -> dict[str, str]:
    """The parent's environment without a word of where data, results or cache lie.

    Args:
        hidden: those folders.
        jobs: cells at a time; the cores are divided among them.
        scratch: what the worker is to use for temporary files.

    """
    places = [str(form) for folder in hidden for form in {folder.absolute(), folder.resolve()}]
    kept = {}
    for name, value in os.environ.items():
        if name.startswith("BENCH_") or name in ("PWD", "OLDPWD"):
            continue
        if name.endswith("PATH"):  # one entry of a list does not cost the others
            value = os.pathsep.join(entry for entry in value.split(os.pathsep) if not mentions(entry, places))
        if value and not mentions(value, places):
            kept[name] = value
    return {
        **kept,
        **threads(jobs),
        "PYTHONPATH": os.pathsep.join(map(str, import_path(hidden))),
        "TMPDIR": str(scratch),
    }


def mentions(text: str, folders: Iterable[str]) -> bool:
    """Whether a text names one of these folders, or something inside; ``/data2`` does not name ``/data``."""
    return any(re.search(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])", text) for folder in folders)


def threads(jobs: int) -> Mapping[str, str]:
    """How many threads a job is to use, as numerical libraries are told: both, since torch follows MKL's."""
    count = str(thread_count(jobs))
    return {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}


def thread_count(jobs: int) -> int:
    """One job's share of the cores that this process may use, unless OMP_NUM_THREADS says otherwise."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list has one number for each nested level
    return int(said) if said.isdecimal() and int(said) else max(joblib.cpu_count() // jobs, 1)


def import_path(hidden: Iterable[Path]) -> list[Path]:
    """The parent's import path, but for what lies inside a hidden folder.

    Python's own folders and bench stay in any case: somebody's data folder may hold all of their work.
    """
    needed = [Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()]
    checkout = Path(bench.__file__).resolve().parents[1]
    folders = [folder.resolve() for folder in hidden]
    return [
        entry
        for entry in dict.fromkeys(Path(entry).resolve() for entry in sys.path)
        if entry == checkout
        or any(entry.is_relative_to(place) for place in needed)
        or not any(entry.is_relative_to(folder) for folder in folders)
    ]
