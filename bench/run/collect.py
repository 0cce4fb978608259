"""Says what one plugin offers, as data: run inside the sandbox, so that its import code runs nowhere else.

``python -m bench.run.collect`` reads a :class:`Question` from standard input and writes an :class:`Answer`. There is
one process for each plugin, so that none can change what another one offers.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint
from typing import Annotated, Any, Literal

import pluggy
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bench.contracts import DetectorConfig, DetectorSpec
from bench.errors import BenchError, UsageError
from bench.hookspecs import GROUP, HookSpecs
from bench.run.messages import printable
from bench.run.plan import Changes, configure
from bench.run.source import describe_weights, package_of
from bench.run.worker import describe

TEXT_LIMIT = 2000


def _short(text: str) -> str:
    return printable(text)[:TEXT_LIMIT]


Text = Annotated[str, AfterValidator(_short)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", ser_json_inf_nan="constants")


class Question(_Message):
    """What is asked of a plugin.

    Attributes:
        plugin: name and module of its entry point.
        detectors: names that are to be configured; None: all that it offers.
        preset: see :class:`bench.run.plan.Changes`, as for what follows.
        label: the same.
        values: the same.

    """

    plugin: tuple[str, str]
    detectors: list[str] | None
    preset: str
    label: str | None
    values: dict[str, dict[str, Any]]


class Problem(_Message):
    """Why a detector could not be configured."""

    kind: Literal["usage", "plugin"]
    text: Text


class Weights(_Message):
    """Pretrained weights, as :class:`bench.contracts.PretrainedWeights` describes them."""

    name: Text
    source: Text
    licence: Text
    sha256: Text | None


class Configured(_Message):
    """A detector's variant: what :class:`bench.run.plan.Variant` holds, as data."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$")]
    config: dict[str, Any]
    fields_set: list[str]
    pretrained: list[Weights]


class Collected(_Message):
    """A detector that a plugin offers, and the variant of it that was asked for, if it was."""

    name: Name
    version: Text
    summary: Text
    citation: Text
    resources: Text
    stochastic: bool
    maps: bool
    torch: bool
    package: Text
    outcome: Configured | Problem | None


class Answer(_Message):
    """What became of a plugin and what it offers; ``others`` are its tasks and metrics, as kind and name."""

    status: Literal["ok", "broken"]
    reason: Text
    hooks: list[Text]
    others: list[tuple[Literal["task", "metric"], Name]]
    detectors: list[Collected]
    import_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


def main() -> None:
    """Answer one question; never returns."""
    channel = os.dup(1)
    os.dup2(2, 1)  # what a plugin prints is no part of the answer
    answer = collect(Question.model_validate_json(sys.stdin.buffer.read()))
    with os.fdopen(channel, "wb") as file:
        file.write(answer.model_dump_json().encode())
    os._exit(0)  # exit handlers of a plugin have nothing left to do


def collect(question: Question) -> Answer:
    """Load a plugin and configure its detectors."""
    from bench.registry import load_plugin

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    plugin, specs = load_plugin(EntryPoint(*question.plugin, GROUP), manager)
    changes = Changes(question.preset, question.label, question.values)
    return Answer(
        status="broken" if plugin.status == "broken" else "ok",
        reason=plugin.reason,
        hooks=list(plugin.hooks),
        others=[(kind, name) for kind, name in plugin.offers if kind != "detector"],  # type: ignore[misc]
        detectors=[
            _collected(spec, changes, question.detectors is None or spec.name in question.detectors)
            for spec in specs
            if isinstance(spec, DetectorSpec)
        ],
        import_seconds=plugin.import_seconds,
    )


def _collected(spec: DetectorSpec, changes: Changes, wanted: bool) -> Collected:
    return Collected(
        name=spec.name,
        version=spec.version,
        summary=spec.summary,
        citation=spec.citation,
        resources=spec.resources,
        stochastic=spec.stochastic,
        maps=spec.maps,
        torch=spec.torch,
        package=package_of(spec),
        outcome=_outcome(spec, changes) if wanted else None,
    )


def _outcome(spec: DetectorSpec, changes: Changes) -> Configured | Problem:
    try:
        name, config = configure(spec, changes)
        return _configured(name, config, describe_weights(spec, config))
    except UsageError as error:
        return Problem(kind="usage", text=str(error))
    except (Exception, SystemExit) as error:
        text = str(error) if isinstance(error, BenchError) else describe(error)
        return Problem(kind="plugin", text=f"detector '{spec.name}': {text}")


def _configured(name: str, config: DetectorConfig, pretrained: list[dict[str, str | None]]) -> Configured:
    return Configured(
        name=name,
        config=config.model_dump(mode="json"),
        fields_set=sorted(config.model_fields_set),
        pretrained=[Weights.model_validate(weights) for weights in pretrained],
    )


if __name__ == "__main__":
    main()
