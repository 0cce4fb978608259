"""From what was asked for to the cells that answer it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.contracts import API, DetectorConfig, DetectorSpec, TaskSpec
from bench.data.decode import DECODER
from bench.data.manifest import Manifest
from bench.errors import UnknownNameError, UsageError
from bench.registry import Offer, Registry
from bench.run.source import Provenance, provenance


@dataclass(frozen=True)
class Variant:
    """One detector in one configuration, under the name that tables give it."""

    offer: Offer[DetectorSpec]
    name: str
    config: DetectorConfig
    provenance: Provenance

    @property
    def spec(self) -> DetectorSpec:
        """The detector."""
        return self.offer.spec


@dataclass(frozen=True)
class TaskImages:
    """A task as found on this machine."""

    spec: TaskSpec
    manifest: Manifest


@dataclass(frozen=True)
class Cell:
    """One detector with one configuration × one task × one seed."""

    id: str
    variant: Variant
    task: TaskImages
    seed: int


@dataclass(frozen=True)
class Changes:
    """What was asked for beyond the defaults: a preset for all, and values by detector."""

    preset: str = "default"
    label: str | None = None
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_changes(preset: str, label: str | None, config_file: Path | None, assignments: Sequence[str]) -> Changes:
    """Gather ``--preset``, ``--label``, ``--config FILE.toml`` and ``--set NAME.FIELD=VALUE``; the latter win.

    Raises:
        UsageError: a file that cannot be read, or an assignment of another form.

    """
    values: dict[str, dict[str, Any]] = {}
    if config_file is not None:
        try:
            tables = tomllib.loads(config_file.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {config_file}: {error}") from error
        for detector, fields in tables.items():
            if not isinstance(fields, dict):
                raise UsageError(f"{config_file}: '{detector}' is no table; write [DETECTOR] and fields below it")
            values[detector] = dict(fields)
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        detector, dot, name = target.strip().partition(".")
        if not (equals and dot and detector and name):
            raise UsageError(f"--set {assignment}: write it as DETECTOR.FIELD=VALUE, e.g. salad.epochs=5")
        values.setdefault(detector, {})[name] = _parse(text.strip())
    if label is not None and not values:
        raise UsageError("--label names what --set or --config changes, and nothing is changed")
    return Changes(preset, label, values)


def _parse(text: str) -> Any:
    """Read a value as TOML would; anything else is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def choose_variants(registry: Registry, detectors: Sequence[str], changes: Changes) -> list[Variant]:
    """Turn detector names into configured variants, and hash their code and weights.

    Raises:
        UsageError: an unknown detector, preset or field (with the nearest names), or a value out of range.
        PluginProblem: a detector that two plugins offer, or whose source cannot be found.

    """
    variants = []
    for offer in choose_offers(registry, detectors, changes):
        name, config = configure(offer.spec, changes)
        variants.append(Variant(offer, name, config, provenance(offer.spec, config)))
    return variants


def choose_offers(registry: Registry, detectors: Sequence[str], changes: Changes) -> list[Offer[DetectorSpec]]:
    """Find detectors by name, each once.

    Raises:
        UsageError: an unknown detector, or one that is configured but not asked for.
        PluginProblem: a detector that two plugins offer.

    """
    offers = [registry.detector(name) for name in dict.fromkeys(detectors)]
    for name in changes.values:
        if name not in detectors:
            registry.detector(name)
            raise UsageError(f"'{name}' is configured but not among --detectors {','.join(detectors)}")
    return offers


def configure(spec: DetectorSpec, changes: Changes) -> tuple[str, DetectorConfig]:
    """Make the configuration that was asked for, and the name that tables give it.

    Raises:
        UsageError: an unknown preset or field (with the nearest names), or a value out of range.

    """
    presets = {"default": {}, **spec.presets}
    if changes.preset not in presets:
        raise UnknownNameError(f"preset of {spec.name}", changes.preset, presets)
    own = dict(changes.values.get(spec.name, {}))
    make = spec.config()
    for name in own:
        if name not in make.model_fields:
            raise UnknownNameError(f"configuration field of {spec.name}", name, make.model_fields)
    try:
        config = make.model_validate({**presets[changes.preset], **own})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise UsageError(f"configuration of {spec.name}: {problems}") from error
    return _variant_name(spec.name, changes, own, config, presets), config


def _variant_name(
    detector: str,
    changes: Changes,
    own: Mapping[str, Any],
    config: DetectorConfig,
    presets: Mapping[str, Mapping[str, Any]],
) -> str:
    """One name for one configuration, since one cell stands for it: a preset's wherever the values are a preset's."""
    preset = changes.preset
    make = type(config)
    unchanged = [name for name in dict.fromkeys(("default", preset)) if make.model_validate(presets[name]) == config]
    if unchanged:
        if own and changes.label is not None:
            text = f"--label {changes.label}: --set and --config leave {detector} as its preset '{unchanged[0]}' has it"
            raise UsageError(text)
        return unchanged[0]
    if changes.label in presets:
        raise UsageError(f"--label {changes.label} is the name of a preset of {detector}: choose another")
    if changes.label is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", changes.label):
        raise UsageError(f"--label {changes.label!r}: use letters, digits, dots, hyphens and underscores")
    changed = changes.label or _short_hash({"preset": preset, **own})
    return changed if preset == "default" else f"{preset}+{changed}"


def make_cells(variants: Sequence[Variant], tasks: Sequence[TaskImages], seeds: int) -> list[Cell]:
    """All cells, task by task; a detector that draws no random numbers gets the first seed only."""
    return [
        Cell(cell_id(variant, task, seed), variant, task, seed)
        for task in tasks
        for variant in variants
        for seed in range(seeds if variant.spec.stochastic else 1)
    ]


def cell_id(variant: Variant, task: TaskImages, seed: int) -> str:
    """Identity of a cell."""
    return identity(
        (task.spec.name, task.spec.version, task.manifest.sha256),
        (variant.spec.name, variant.spec.version),
        variant.config.model_dump(mode="json"),
        seed,
    )


def identity(task: tuple[str, str, str], detector: tuple[str, str], config: Mapping[str, Any], seed: int) -> str:
    """16 hex digits over everything that was asked for, and nothing of where it ran.

    Args:
        task: its name and version, and the hash of its manifest.
        detector: its name and version.
        config: all fields of the configuration, as JSON has them.
        seed: the seed.

    """
    return _short_hash(
        {
            "task": task[0],
            "task_version": task[1],
            "manifest": task[2],
            "detector": detector[0],
            "detector_version": detector[1],
            "config": config,
            "seed": seed,
            "api": API,
            "decoder": DECODER,
        },
        16,
    )


def _short_hash(value: Mapping[str, Any], digits: int = 8) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:digits]
