"""Digests of detector code: edited code is never served old scores."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from bench.contracts import DetectorSpec
from bench.errors import PluginProblem


def source_digest(spec: DetectorSpec) -> str:
    """Hash the source of a detector's package and of bench.torchkit, which torch detectors share.

    Raises:
        PluginProblem: the package cannot be found.

    """
    package = spec.package or spec.load.__module__.partition(".")[0]
    names = [package, "bench.torchkit"] if spec.torch else [package]
    digest = sha256()
    for name in names:
        for label, path in _sources(name):
            digest.update(f"{label}\n".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sources(name: str) -> Iterable[tuple[str, Path]]:
    """All files of a package but bytecode, by their path inside it."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise PluginProblem(f"no source found for the package '{name}'")
    if not found.submodule_search_locations:
        return [(name, Path(found.origin))]
    roots = [Path(location) for location in found.submodule_search_locations]
    files = [(path.relative_to(root), path) for root in roots for path in root.rglob("*") if path.is_file()]
    return [
        (f"{name}/{inside.as_posix()}", path)
        for inside, path in sorted(files)
        if path.suffix not in {".pyc", ".md"}
        and not any(part.startswith((".", "__pycache__")) for part in inside.parts)
    ]
