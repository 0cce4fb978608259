"""Plugins as the parent knows them with ``--sandbox``: by what they said in there, without importing any.

A detector becomes a :class:`DetectorSpec` that can be named, hashed and recorded, but not loaded. Built-in tasks are
the only plugin that is imported here.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import IO, Never

import pluggy
from pydantic import ConfigDict

from bench.contracts import DetectorConfig, DetectorSpec
from bench.errors import PluginProblem, UsageError
from bench.hookspecs import GROUP, HookSpecs
from bench.registry import AnySpec, Plugin, Registry, _assemble, load_plugin
from bench.run.collect import Answer, Collected, Configured, Problem, Question
from bench.run.messages import printable
from bench.run.plan import Changes, Variant, choose_offers
from bench.run.sandbox import Sandbox
from bench.run.source import make_provenance

BUILT_IN = "bench.data.tasks"
ANSWER_LIMIT = 4 << 20
PATIENCE_SECONDS = 120.0
SIZE_LIMIT = 4096


class CollectedConfig(DetectorConfig):
    """A configuration as its detector wrote it down, whatever its own class may be."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants")


@dataclass(frozen=True)
class _Process:
    """A plugin that is being asked."""

    point: EntryPoint
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def close(self) -> None:
        """End it, if it has not ended by itself."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.said.close()


@dataclass(frozen=True)
class Collection:
    """What all plugins said: detectors and built-in tasks, without metrics and hooks of plugins."""

    registry: Registry
    found: Mapping[tuple[str, str, str], Collected]

    def variants(self, detectors: Sequence[str] | None, changes: Changes) -> list[Variant]:
        """Return the variants that were asked for; see :func:`bench.run.plan.choose_variants`.

        Raises:
            UsageError: an unknown detector, preset or field, or a value out of range.
            PluginProblem: a detector that two plugins offer, whose configuration fails, or whose source is not found.

        """
        variants = []
        names = sorted(self.registry.detectors) if detectors is None else detectors
        for offer in choose_offers(self.registry, names, changes):
            found = self.found[offer.plugin.name, offer.plugin.module, offer.spec.name]
            name, config, weights = _configuration(found)
            variants.append(Variant(offer, name, config, make_provenance(found.package, found.torch, weights)))
        return variants

    def left_out(self) -> list[str]:
        """Names of plugins that have tasks, metrics or notify hooks, none of which are used."""
        theirs = [plugin for plugin in self.registry.plugins if plugin.module != BUILT_IN]
        return [plugin.name for plugin in theirs if set(plugin.hooks) - {"bench_detectors"}]


def collect_plugins(
    sandbox: Sandbox, detectors: Sequence[str] | None, changes: Changes, blocked: Iterable[str] = ()
) -> Collection:
    """Ask every plugin in a sandbox of its own what it offers, and to configure the detectors asked for.

    Args:
        sandbox: where.
        detectors: their names; None: all.
        changes: how to configure them.
        blocked: names of plugins that are not asked; ``BENCH_DISABLE_PLUGINS`` adds to them.

    Raises:
        PluginProblem: with ``BENCH_STRICT_PLUGINS=1``, if any plugin is broken.

    """
    blocked = {*blocked, *filter(None, os.environ.get("BENCH_DISABLE_PLUGINS", "").split(","))}
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    asked = [point for point in points if point.value != BUILT_IN and point.name not in blocked]
    answers = dict(zip(asked, _ask_all(sandbox, asked, detectors, changes), strict=True))
    found = {
        (point.name, point.value, each.name): each for point, answer in answers.items() for each in answer.detectors
    }
    return Collection(_registry(points, answers, blocked), found)


def _registry(points: Sequence[EntryPoint], answers: Mapping[EntryPoint, Answer], blocked: set[str]) -> Registry:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    loaded: list[tuple[Plugin, tuple[AnySpec, ...]]] = []
    for point in points:
        if point in answers:
            loaded.append(_stand_in(point, answers[point]))
        elif point.name in blocked:
            loaded.append((replace(_plugin(point), status="blocked", reason="by request"), ()))
        else:
            loaded.append(load_plugin(point, manager))
    registry = _assemble(loaded, manager)
    broken = [plugin for plugin in registry.plugins if plugin.status == "broken"]
    if broken and os.environ.get("BENCH_STRICT_PLUGINS") == "1":
        raise PluginProblem("\n".join(f"plugin '{plugin.name}' is broken: {plugin.reason}" for plugin in broken))
    return registry


def _plugin(point: EntryPoint) -> Plugin:
    name, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
    return Plugin(point.name, point.value, name, version, "ok")


def _stand_in(point: EntryPoint, answer: Answer) -> tuple[Plugin, tuple[DetectorSpec, ...]]:
    plugin = replace(
        _plugin(point),
        status=answer.status,
        reason=answer.reason,
        hooks=tuple(answer.hooks),
        offers=tuple(("detector", found.name) for found in answer.detectors),
        import_seconds=answer.import_seconds,
    )
    return plugin, tuple(_spec(found) for found in answer.detectors)


def _spec(found: Collected) -> DetectorSpec:
    def never() -> Never:
        raise PluginProblem(f"detector '{found.name}' is loaded in the sandbox only")

    return DetectorSpec(
        name=found.name,
        version=found.version,
        summary=found.summary,
        citation=found.citation,
        config=never,
        load=never,
        presets={"smoke": {}},
        resources=found.resources,
        stochastic=found.stochastic,
        maps=found.maps,
        torch=found.torch,
        package=found.package,
    )


def _configuration(found: Collected) -> tuple[str, DetectorConfig, list[dict[str, str | None]]]:
    if isinstance(found.outcome, Problem):
        raise (UsageError if found.outcome.kind == "usage" else PluginProblem)(found.outcome.text)
    if found.outcome is None or not _is_usable(found.outcome):
        raise PluginProblem(f"detector '{found.name}': what it says of its configuration cannot be used")
    values = found.outcome.config
    config = CollectedConfig.model_construct(set(found.outcome.fields_set), **values)
    return found.outcome.name, config, [weights.model_dump() for weights in found.outcome.pretrained]


def _is_usable(said: Configured) -> bool:
    """Whether the harness finds what it needs: the size to decode images to, and how many channels."""
    size, channels = said.config.get("image_size"), said.config.get("channels")
    return isinstance(size, int) and 1 <= size <= SIZE_LIMIT and channels in (1, 3)


def _ask_all(
    sandbox: Sandbox, points: Sequence[EntryPoint], detectors: Sequence[str] | None, changes: Changes
) -> list[Answer]:
    """Ask plugins, all at the same time."""
    names = None if detectors is None else list(detectors)
    values = {name: dict(fields) for name, fields in changes.values.items()}
    running: list[_Process] = []
    try:
        for point in points:
            question = Question(
                plugin=(point.name, point.value),
                detectors=names,
                preset=changes.preset,
                label=changes.label,
                values=values,
            )
            running.append(_ask(sandbox, point, question))
        deadline = time.monotonic() + PATIENCE_SECONDS
        return [_answer(asked, deadline) for asked in running]
    finally:
        for asked in running:
            asked.close()


def _ask(sandbox: Sandbox, point: EntryPoint, question: Question) -> _Process:
    said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
    process = sandbox.start([sys.executable, "-P", "-m", "bench.run.collect"], 1, pipes)
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended at once: what it left as an answer tells
        process.stdin.write(question.model_dump_json().encode())
        process.stdin.close()
    return _Process(point, process, said)


def _answer(asked: _Process, deadline: float) -> Answer:
    """Read an answer; whatever is wrong with it becomes the reason why the plugin is broken."""
    content = _read(asked.process, deadline)
    if content is None:
        reason = f"it did not answer within {PATIENCE_SECONDS:.0f} s, or answered too much"
    else:
        with suppress(ValueError):
            return Answer.model_validate_json(content)
        asked.said.seek(0)
        lines = printable(asked.said.read(1 << 20).decode(errors="replace")).strip().splitlines()
        reason = f"it ended while it was imported in the sandbox: {lines[-1] if lines else 'without a word'}"
    return Answer(status="broken", reason=reason, hooks=[], others=[], detectors=[], import_seconds=0.0)


def _read(process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """All that a process writes; None if that takes too long or is too much."""
    assert process.stdout is not None
    content = b""
    while len(content) <= ANSWER_LIMIT:
        ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return None
        chunk = os.read(process.stdout.fileno(), 1 << 16)
        if not chunk:
            return content
        content += chunk
    return None
