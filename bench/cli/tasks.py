"""From what people call a task on the command line to its specification and the folder of its images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DataMissingError, UsageError

if TYPE_CHECKING:
    from bench.contracts import TaskSpec
    from bench.registry import Registry


def find_task(registry: Registry, name: str, cache: Path) -> TaskSpec:
    """Find a task by its name, or read the TOML file that describes it.

    Raises:
        UsageError: no such task, or a TOML file that is wrong or takes the name of another task.

    """
    if not name.endswith(".toml"):
        return registry.task(name).spec
    from bench.data.own import load_task

    spec = load_task(Path(name), cache)
    if spec.name in registry.tasks:
        raise UsageError(f"{name}: there is a task '{spec.name}' already: choose another name")
    return spec


def data_folder(spec: TaskSpec, name: str, data: Path | None, cache: Path) -> Path:
    """Say where a task's files lie: beside its TOML file, in the cache (phantoms), or in the data folder.

    Raises:
        DataMissingError: no data folder is named, or it does not exist; with the layout, and where to get the images.

    """
    if name.endswith(".toml"):
        return Path(name).absolute().parent
    if spec.synthetic:
        return data or cache
    how = f"Expected layout:\n{spec.layout}\nOfficial download: {spec.url}"
    if data is None:
        where = "name the folder they lie in with --data DIR or BENCH_DATA"
        raise DataMissingError(f"task '{spec.name}' needs its images: {where}\n{how}")
    if not data.is_dir():
        raise DataMissingError(f"task '{spec.name}': there is no folder {data}\n{how}")
    return data
