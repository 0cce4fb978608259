"""Finding plugins: entry points are loaded one by one, guarded, so that a broken one breaks nothing else."""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

import pluggy

from bench.contracts import API, DetectorSpec, MetricSpec, TaskSpec
from bench.errors import PluginProblem, UnknownNameError
from bench.hookspecs import GROUP, HookSpecs

AnySpec = DetectorSpec | TaskSpec | MetricSpec
SpecT = TypeVar("SpecT", DetectorSpec, TaskSpec, MetricSpec)
KINDS: Mapping[str, tuple[str, type[AnySpec]]] = MappingProxyType(
    {
        "bench_detectors": ("detector", DetectorSpec),
        "bench_tasks": ("task", TaskSpec),
        "bench_metrics": ("metric", MetricSpec),
    }
)

SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Plugin:
    """One entry point and what became of it; ``reason`` says why it is broken or blocked, or that it is slow."""

    name: str
    module: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "blocked"]
    reason: str = ""
    hooks: tuple[str, ...] = ()
    offers: tuple[tuple[str, str], ...] = ()
    import_seconds: float = 0.0

    def offered(self, kind: str) -> list[str]:
        """Names of the detectors, tasks or metrics (``kind`` in the singular) that it offers."""
        return [name for what, name in self.offers if what == kind]


@dataclass(frozen=True)
class Offer(Generic[SpecT]):
    """A spec, and the plugin that it came from."""

    spec: SpecT
    plugin: Plugin


@dataclass(frozen=True)
class Registry:
    """All that the installed plugins offer; an immutable value."""

    plugins: tuple[Plugin, ...]
    detectors: Mapping[str, Offer[DetectorSpec]]
    tasks: Mapping[str, Offer[TaskSpec]]
    metrics: Mapping[str, Offer[MetricSpec]]
    conflicts: Mapping[tuple[str, str], str]
    manager: pluggy.PluginManager

    def detector(self, name: str) -> Offer[DetectorSpec]:
        """Return the detector of this name; an unknown or contested name is an error."""
        return self._find("detector", self.detectors, name)

    def task(self, name: str) -> Offer[TaskSpec]:
        """Return the task of this name; an unknown or contested name is an error."""
        return self._find("task", self.tasks, name)

    def _find(self, kind: str, offers: Mapping[str, Offer[SpecT]], name: str) -> Offer[SpecT]:
        if (kind, name) in self.conflicts:
            raise PluginProblem(self.conflicts[kind, name])
        if name not in offers:
            for plugin in self.plugins:
                if plugin.status != "ok" and name in (plugin.name, plugin.distribution):
                    raise PluginProblem(
                        f"no {kind} '{name}': plugin '{plugin.name}' is {plugin.status}: {plugin.reason}"
                    )
            raise UnknownNameError(kind, name, offers)
        return offers[name]


def load_registry(blocked: Collection[str] = ()) -> Registry:
    """Load every plugin of the entry-point group ``bench``.

    Args:
        blocked: names of plugins that are listed but not imported; ``BENCH_DISABLE_PLUGINS`` (comma-separated) adds
            to them.

    Raises:
        PluginProblem: with ``BENCH_STRICT_PLUGINS=1``, if any plugin is broken.

    """
    blocked = {*blocked, *filter(None, os.environ.get("BENCH_DISABLE_PLUGINS", "").split(","))}
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    loaded = [
        load_plugin(point, manager) if point.name not in blocked else (_described(point, "blocked", "by request"), ())
        for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    ]
    registry = _assemble(loaded, manager)
    broken = [plugin for plugin in registry.plugins if plugin.status == "broken"]
    if broken and os.environ.get("BENCH_STRICT_PLUGINS") == "1":
        raise PluginProblem("\n".join(f"plugin '{plugin.name}' is broken: {plugin.reason}" for plugin in broken))
    return registry


def load_plugin(point: EntryPoint, manager: pluggy.PluginManager) -> tuple[Plugin, tuple[AnySpec, ...]]:
    """Import one plugin and collect what it offers; whatever goes wrong becomes its reason."""
    started = time.perf_counter()
    described = _described(point, "ok", "")
    try:
        module = point.load()
        described = replace(described, import_seconds=time.perf_counter() - started)
        hooks = _register(module, _key(point), manager)
        specs = _collect(module, manager)
    except (Exception, SystemExit) as error:
        if manager.has_plugin(_key(point)):
            manager.unregister(name=_key(point))
        seconds = described.import_seconds or time.perf_counter() - started
        return replace(described, status="broken", reason=_reason(error), import_seconds=seconds), ()
    if described.import_seconds > SLOW_SECONDS:
        slow = f"slow: importing it takes {described.import_seconds:.1f} s; import heavy packages in config and load"
        described = replace(described, reason=slow)
    offers = tuple((KINDS[hook][0], spec.name) for hook, found in specs.items() for spec in found)
    return replace(described, hooks=hooks, offers=offers), tuple(spec for found in specs.values() for spec in found)


def _key(point: EntryPoint) -> str:
    """Name for pluggy: two distributions may well call their entry points alike."""
    return f"{point.name} = {point.value}"


def _described(point: EntryPoint, status: Literal["ok", "broken", "blocked"], reason: str) -> Plugin:
    name, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
    return Plugin(point.name, point.value, name, version, status, reason)


def _reason(error: BaseException) -> str:
    text = str(error).strip() or "no message"
    if isinstance(error, ModuleNotFoundError):
        return f"{text}: install the missing package beside the plugin"
    if isinstance(error, PluginProblem | SyntaxError):  # both say where
        return text if isinstance(error, PluginProblem) else f"{type(error).__name__}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}"


def _register(module: Any, name: str, manager: pluggy.PluginManager) -> tuple[str, ...]:
    """Register the module with pluggy and refuse hooks that bench does not know."""
    try:
        manager.register(module, name)
    except pluggy.PluginValidationError as error:
        raise PluginProblem(f"a hook has a wrong signature: {' '.join(str(error).split())}") from error
    callers = manager.get_hookcallers(module) or []
    known = [attribute for attribute in dir(HookSpecs) if attribute.startswith("bench_")]
    for caller in callers:
        if not caller.has_spec():
            near = get_close_matches(caller.name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise PluginProblem(f"'{caller.name}' is no hook of bench: {hint}")
    if not callers:
        raise PluginProblem("it implements no hook: mark its functions with @bench.hookimpl")
    return tuple(sorted(caller.name for caller in callers))


def _collect(module: Any, manager: pluggy.PluginManager) -> dict[str, list[AnySpec]]:
    """Call this plugin's own collecting hooks and check every spec."""
    found: dict[str, list[AnySpec]] = {}
    for hook, (kind, wanted) in KINDS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is not module:
                continue
            offered = implementation.function()
            if not isinstance(offered, list | tuple):
                raise PluginProblem(f"{hook} returned {type(offered).__name__}, not a list of {wanted.__name__}")
            for spec in offered:
                _check_spec(spec, kind, wanted)
            found[hook] = list(offered)
    return found


def _check_spec(spec: Any, kind: str, wanted: type[AnySpec]) -> None:
    if not isinstance(spec, wanted):
        raise PluginProblem(f"it offers a {type(spec).__name__} as a {kind}, not a bench.{wanted.__name__}")
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", spec.name):
        raise PluginProblem(f"{kind} name {spec.name!r}: use lower-case letters, digits and hyphens")
    if isinstance(spec, MetricSpec) and spec.name in ("auroc", "average_precision", "sensitivity_at_95_specificity"):
        raise PluginProblem(f"metric '{spec.name}' is built in: choose another name")
    if isinstance(spec, DetectorSpec):
        if spec.api != API:
            raise PluginProblem(
                f"detector '{spec.name}' is written for version {spec.api} of the detector contract; this bench has "
                f"version {API}: install a matching version of the plugin or of bench"
            )
        if "smoke" not in spec.presets:
            raise PluginProblem(f"detector '{spec.name}' has no preset 'smoke', which is required")
        try:
            spec.pretrained(spec.config()())
        except (Exception, SystemExit) as error:
            raise PluginProblem(f"detector '{spec.name}': its default configuration fails: {_reason(error)}") from error


def _assemble(loaded: list[tuple[Plugin, tuple[AnySpec, ...]]], manager: pluggy.PluginManager) -> Registry:
    """Gather all offers; a name offered twice belongs to nobody."""
    offers: dict[tuple[str, str], list[tuple[Plugin, AnySpec]]] = {}
    for plugin, specs in loaded:
        for (kind, name), spec in zip(plugin.offers, specs, strict=True):
            offers.setdefault((kind, name), []).append((plugin, spec))
    conflicts = {
        key: _conflict(key, [plugin for plugin, _ in found]) for key, found in offers.items() if len(found) > 1
    }
    plugins = []
    for plugin, _ in loaded:
        clashes = [conflicts[offer] for offer in dict.fromkeys(plugin.offers) if offer in conflicts]
        plugins.append(replace(plugin, status="broken", reason="; ".join(clashes)) if clashes else plugin)

    def of_kind(kind: str, make: Callable[[Plugin, Any], Any]) -> Mapping[str, Any]:
        unique = {name: found[0] for (what, name), found in offers.items() if what == kind and len(found) == 1}
        return MappingProxyType({name: make(plugin, spec) for name, (plugin, spec) in unique.items()})

    return Registry(
        tuple(plugins),
        of_kind("detector", lambda plugin, spec: Offer[DetectorSpec](spec, plugin)),
        of_kind("task", lambda plugin, spec: Offer[TaskSpec](spec, plugin)),
        of_kind("metric", lambda plugin, spec: Offer[MetricSpec](spec, plugin)),
        MappingProxyType(conflicts),
        manager,
    )


def _conflict(key: tuple[str, str], plugins: list[Plugin]) -> str:
    kind, name = key
    sources = " and ".join(f"'{plugin.name}' of {plugin.distribution} {plugin.version}" for plugin in plugins)
    return f"{kind} '{name}' is offered by {sources}: block one of them with --no-plugin NAME"
