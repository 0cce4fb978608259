"""What decides scores besides the configuration: the detector's code and the weights it starts from.

Edited code is never served old scores. Nothing here imports what it looks for: with ``--sandbox`` no code of a plugin
may run in this process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from bench.contracts import DetectorConfig, DetectorSpec
from bench.errors import PluginProblem


@dataclass(frozen=True)
class Source:
    """Where the code of one package lies: its folders, or the file of a single module."""

    name: str
    roots: tuple[Path, ...]


@dataclass(frozen=True)
class Provenance:
    """A detector's code and pretrained weights, as they are on this machine now."""

    sources: tuple[Source, ...]
    source_digest: str
    pretrained: list[dict[str, str | None]]

    def edited(self) -> bool:
        """Whether the code is another by now, or gone."""
        try:
            return digest(self.sources) != self.source_digest
        except OSError:
            return True


def provenance(spec: DetectorSpec, config: DetectorConfig) -> Provenance:
    """Hash the detector's source and the weights that a configuration builds on.

    Raises:
        PluginProblem: the source cannot be found or read.

    """
    return make_provenance(package_of(spec), spec.torch, describe_weights(spec, config))


def describe_weights(spec: DetectorSpec, config: DetectorConfig) -> list[dict[str, str | None]]:
    """Name and hash the weights that a configuration builds on."""
    return [
        {"name": w.name, "source": w.source, "licence": w.licence, "sha256": w.sha256()}
        for w in spec.pretrained(config)
    ]


def make_provenance(package: str, torch: bool, pretrained: list[dict[str, str | None]]) -> Provenance:
    """Hash a package, and with it bench.torchkit for torch detectors, since it takes part in their scores.

    Raises:
        PluginProblem: the source cannot be found or read.

    """
    sources = locate([package, "bench.torchkit"] if torch else [package])
    try:
        return Provenance(sources, digest(sources), pretrained)
    except OSError as error:
        raise PluginProblem(f"the source of the package '{package}' cannot be read: {error}") from error


def package_of(spec: DetectorSpec) -> str:
    """Name of the package whose source decides a detector's scores."""
    return spec.package or spec.load.__module__.partition(".")[0]


def locate(names: Iterable[str]) -> tuple[Source, ...]:
    """Find packages and modules by their dotted names, importing none of them and none of their parents.

    Raises:
        PluginProblem: no source is found under a name.

    """
    return tuple(Source(name, _roots(name)) for name in names)


def digest(sources: Sequence[Source]) -> str:
    """Hash all files of some packages but bytecode and text, by their paths inside: 16 hex digits.

    Raises:
        OSError: a file cannot be read.

    """
    made = sha256()
    for source in sources:
        for label, path in _files(source):
            with path.open("rb") as file:
                made.update(f"{label}\n".encode() + file_digest(file, "sha256").digest())
    return made.hexdigest()[:16]


def _roots(name: str) -> tuple[Path, ...]:
    """Find a package's folders, or a module's file, walking down its dotted name."""
    inside: list[str] | None = None  # None: the import path
    origin: str | None = None
    for end in range(1, name.count(".") + 2):
        if inside == []:  # the name goes on inside a module that is no package
            raise PluginProblem(f"no source found for the package '{name}'")
        origin, inside = _find(".".join(name.split(".")[:end]), inside)
    if origin is None:
        raise PluginProblem(f"no source found for the package '{name}'")
    return tuple(map(Path, inside or [])) or (Path(origin),)


def _find(name: str, inside: list[str] | None) -> tuple[str | None, list[str]]:
    """Ask the import system where a module lies; ``importlib.util.find_spec`` would import the packages above it."""
    for finder in sys.meta_path:
        try:
            found = finder.find_spec(name, inside)
            if found is not None:
                return found.origin, list(found.submodule_search_locations or [])
        except KeyError:  # a package without __init__.py inside another that was not imported
            leaf = name.rpartition(".")[2]
            return None, [str(path) for parent in inside or [] if (path := Path(parent, leaf)).is_dir()]
    return None, []


def _files(source: Source) -> Iterable[tuple[str, Path]]:
    if len(source.roots) == 1 and not source.roots[0].is_dir():
        return [(source.name, source.roots[0])]
    files = [(path.relative_to(root), path) for root in source.roots for path in root.rglob("*") if path.is_file()]
    return [
        (f"{source.name}/{inside.as_posix()}", path)
        for inside, path in sorted(files)
        if path.suffix not in {".pyc", ".md"}
        and not any(part.startswith((".", "__pycache__")) for part in inside.parts)
    ]
