"""A finished run whose learned state was kept, and whether this machine can score other images with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.contracts import API, DetectorConfig, DetectorSpec, TaskSpec
from bench.data.decode import DECODER
from bench.errors import EnvironmentProblem, PluginProblem, RecordError, UnknownNameError, UsageError
from bench.files import file_sha256
from bench.registry import Offer, Registry
from bench.results.publish import find_cells
from bench.results.record import STATE, Record, StatePart, read_record
from bench.results.scores import scores_of
from bench.results.store import RECORD, Store
from bench.run.environment import package_versions
from bench.run.source import provenance

HOW = "run it again with: bench run … --keep-state"
ROUNDING = ("torch", "timm", "numpy", "scipy", "scikit-learn", "pillow")
"""Packages of which another version may change the last digits of a score."""


@dataclass(frozen=True)
class Learned:
    """What is needed to score other images as in a run.

    Attributes:
        record: of the run.
        kept: its part about the state.
        path: file of the state.
        offer: the detector, as it is installed now.
        config: its configuration in the run.
        task: what decodes images as in the run.
        tune: float64 (m,), scores of held-out normals, in rising order; empty where the task has none.
        notes: why scores may differ from those of the run after all.

    """

    record: Record
    kept: StatePart
    path: Path
    offer: Offer[DetectorSpec]
    config: DetectorConfig
    task: TaskSpec
    tune: NDArray[np.float64]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """``salad@no-ssim``, or ``salad`` for the default."""
        return self.record.detector.row


def find_record(name: str, store: Store) -> Path:
    """Find the folder of the one run that is meant.

    Args:
        name: a cell id or the beginning of one, or a folder with a single record that has a state.
        store: where cells are looked for.

    Raises:
        UsageError: no such cell, or several that fit, all of them named.

    """
    path = Path(name)
    folders = find_cells([str(path.parent) if path.name == RECORD and path.is_file() else name], store)
    if len(folders) > 1:
        kept = [folder for folder in folders if (folder / STATE).exists()]
        if len(kept) != 1:
            listed = "\n  ".join(map(str, kept or folders))
            what = f"{len(kept)} records with a learned state" if kept else "several records, and none has a state"
            raise UsageError(f"{name} has {what}: name one of\n  {listed}")
        folders = kept
    return folders[0]


def open_learned(folder: Path, registry: Registry) -> Learned:
    """Check that scores made now would be those of the run.

    Raises:
        RecordError: the run did not end well, or a file of it is missing or damaged.
        UsageError: its state was not kept, or its detector is not installed.
        EnvironmentProblem: the detector, its weights, its task or bench itself are not what they were.

    """
    record = read_record(folder / RECORD)
    kept = _check_state(folder, record)
    offer = _detector(record, registry)
    try:
        config = offer.spec.config().model_validate(record.detector.config)
    except ValidationError as error:
        text = f"detector '{offer.spec.name}' does not take the configuration of the record any more"
        raise PluginProblem(f"{text}: {error.errors()[0]['msg']}; {HOW}") from error
    now = provenance(offer.spec, config)
    _check_weights(record, now.pretrained)
    notes = []
    if now.source_digest != record.detector.source_digest:
        notes.append("the detector's source is not what it was in the run: scores may differ")
    if changed := _other_versions(record):
        notes.append(f"other versions than in the run ({changed}): scores may differ in their last digits")
    tune = np.sort(scores_of(folder, record).tune)
    return Learned(record, kept, folder / STATE, offer, config, _task(record, kept, registry), tune, tuple(notes))


def _check_state(folder: Path, record: Record) -> StatePart:
    if record.status != "ok":
        raise RecordError(f"{folder}: the run ended as {record.status}: run it again with --keep-state")
    if record.state is None:
        raise UsageError(f"{folder}: what the detector learned was not kept; {HOW}")
    try:
        digest = file_sha256(folder / STATE)
    except OSError as error:
        text = f"cannot read {folder / STATE}: {error.strerror}; it is kept where the run was, and not published"
        raise RecordError(f"{text}; or {HOW}") from error
    if digest != record.state.sha256:
        raise RecordError(f"{folder / STATE} is not the file that its record was made with (its sha256 differs); {HOW}")
    if record.state.api != API:
        text = f"the record is of version {record.state.api} of the detector contract, this bench has version {API}"
        raise PluginProblem(f"{text}; {HOW}")
    if record.state.decoder != DECODER:
        text = f"this bench decodes images in another way than the run did ({DECODER}, not {record.state.decoder})"
        raise EnvironmentProblem(f"{text}; {HOW}")
    return record.state


def _detector(record: Record, registry: Registry) -> Offer[DetectorSpec]:
    said = record.detector
    try:
        offer = registry.detector(said.name)
    except UnknownNameError as error:
        text = f"the record is of detector '{said.name}' of {said.distribution} {said.distribution_version}"
        raise UsageError(f"{text}, which is not installed: install it first") from error
    if offer.spec.version != said.version:
        raise PluginProblem(
            f"the record is of version {said.version} of detector '{said.name}' ({said.distribution} "
            f"{said.distribution_version}), version {offer.spec.version} is installed: install that one, or {HOW}"
        )
    return offer


def _check_weights(record: Record, now: Sequence[dict[str, str | None]]) -> None:
    if list(now) == record.detector.pretrained:
        return
    absent = [f"{weights['name']} ({weights['source']})" for weights in now if weights["sha256"] is None]
    if absent:
        raise EnvironmentProblem(f"weights that the detector builds on are not on this machine: {', '.join(absent)}")
    raise EnvironmentProblem(f"the pretrained weights are not those of the run; {HOW}")


def _other_versions(record: Record) -> str:
    before, now = record.environment.packages, package_versions()
    changed = [name for name in ROUNDING if name in before and before[name] != now.get(name)]
    return ", ".join(f"{name} {now.get(name, 'absent')} instead of {before[name]}" for name in changed)


def _task(record: Record, kept: StatePart, registry: Registry) -> TaskSpec:
    """Return the task where it has a decoder of its own; otherwise a stand-in: a user's own task has no name here."""
    said = record.task
    if kept.own_decoder:
        offer = registry.tasks.get(said.name)
        if offer is None or offer.spec.version != said.version or offer.spec.decode is None:
            text = f"task '{said.name}' version {said.version} decodes images in a way of its own"
            raise PluginProblem(f"{text}: install the plugin that offers it")
        return offer.spec
    return TaskSpec(said.name, said.version, "", "", "", "", "unknown", "", build=lambda _data: ())
