"""What a plugin author writes against: detectors, tasks, metrics and what a run hands to them.

Only numpy and pydantic are imported here, so that listing plugins stays fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

API = 1
"""Version of this contract. A spec that declares another one is refused, with the reason."""

RESUME = "resume"
"""Phase that a training reports once when it goes on from a checkpoint: ``done`` steps took ``seconds`` before."""

Role = Literal["fit", "tune", "test", "pool", "skipped"]
Grouping = Literal["patient", "eye", "image", "unknown"]
Images = NDArray[np.uint8]


class DetectorConfig(BaseModel):
    """A detector's configuration: frozen, a default for each field, unknown names refused.

    Subclass it and give every field a ``Field(default, description=...)``: ``bench show`` prints them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    image_size: int = Field(64, ge=8, le=1024, description="side in pixels of the square images the detector is given")
    channels: Literal[1, 3] = Field(1, description="1: grey; 3: the grey value repeated, for networks made for colour")


ConfigT = TypeVar("ConfigT", bound=DetectorConfig)


class ProgressCallback(Protocol):
    """Told how far a phase has come; called as often as the detector likes, the harness thins it out."""

    def __call__(self, phase: str, done: int, total: int, **scalars: float) -> None:
        """``done`` of ``total`` steps of ``phase`` are finished; scalars (``loss=0.3``) are shown beside it."""


def _no_progress(phase: str, done: int, total: int, **scalars: float) -> None:
    """Discard progress: what a RunContext made by hand does."""


@dataclass(frozen=True)
class RunContext:
    """What a run gives a detector besides its images.

    Attributes:
        seed: derive every random choice from it.
        device: a torch device name: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``bfloat16`` where the device computes fast in it, else ``float32``. A hint: torchkit follows it.
        scratch: an existing empty folder that the detector may write to, removed afterwards.
        progress: see :class:`ProgressCallback`.
        checkpoint: a file that outlives a kill while ``fit`` runs, for the next try of the same cell: there when
            ``fit`` begins if an earlier try was killed. Replace it by renaming another file onto it, and report going
            on from it as phase :data:`RESUME`; ``torchkit.Checkpoint`` does both. None: nothing is kept.

    """

    seed: int
    device: str
    scratch: Path
    precision: Literal["float32", "bfloat16"] = "float32"
    progress: ProgressCallback = _no_progress
    checkpoint: Path | None = None


class Detector(ABC, Generic[ConfigT]):
    """Learns from normal images, gives each image one anomaly score; higher is more anomalous."""

    def __init__(self, config: ConfigT) -> None:
        """Store the configuration and do no other work."""
        self.config = config

    def check_images(self, images: Images) -> None:
        """Refuse what the configuration rules out: call it first in ``fit``, ``anomaly_scores`` and ``anomaly_maps``.

        Raises:
            ValueError: not uint8 (n, h, w, c) with the configured size and channels.

        """
        size, channels = self.config.image_size, self.config.channels
        if not isinstance(images, np.ndarray):
            raise ValueError(f"images are a {type(images).__name__}; expected a numpy array")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, channels):
            raise ValueError(
                f"images are {images.dtype} {images.shape}; expected uint8 (n, {size}, {size}, {channels}), "
                "as image_size and channels of the configuration have it"
            )

    @abstractmethod
    def fit(self, normal: Images, run: RunContext) -> Self:
        """Learn from normal images, forgetting any earlier fit.

        Args:
            normal: uint8 (n, h, w, c), values 0–255, read-only. Held-out normals come out of it too.
            run: seed, device, scratch folder and progress.

        """

    @abstractmethod
    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """Score images; an image's score must not depend on the images beside it.

        Args:
            images: uint8 (n, h, w, c), read-only; the harness may pass consecutive chunks of any size.
            run: seed, device, scratch folder and progress.

        Returns:
            float64 (n,), finite; higher is more anomalous.

        Raises:
            NotFittedError: before ``fit`` or ``load_state``.
            ValueError: images of another type or shape than configured (:meth:`check_images`).

        """

    def anomaly_maps(self, images: Images, run: RunContext) -> Iterator[NDArray[np.float32]]:
        """Yield one float32 (h, w) map per image, higher where more anomalous; only if the spec says ``maps=True``.

        Raises:
            NotFittedError: before ``fit`` or ``load_state``, at the latest when the first map is asked for.
            ValueError: images of another type or shape than configured.

        """
        raise NotImplementedError(f"{type(self).__name__} draws no anomaly maps")

    @abstractmethod
    def state(self) -> Mapping[str, NDArray[Any]]:
        """Everything learned, as named arrays; the harness writes them as safetensors.

        Raises:
            NotFittedError: before ``fit`` or ``load_state``.

        """

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over what another instance of the same configuration learned; the inverse of :meth:`state`."""


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights learned elsewhere that a detector builds on; printed on every table.

    Attributes:
        name: architecture and training set, e.g. ``tf_efficientnet_lite0 (ImageNet-1k)``.
        source: where they come from: a package, a hub.
        licence: what is known of their licence.
        sha256: finds the weights on this machine and hashes them; None while they are not on this machine.

    """

    name: str
    source: str
    licence: str
    sha256: Callable[[], str | None]


def _no_weights(_config: DetectorConfig) -> Sequence[PretrainedWeights]:
    return ()


@dataclass(frozen=True)
class DetectorSpec:
    """A detector as a plugin offers it. Cheap to build: ``config`` and ``load`` import when called.

    Attributes:
        name: lower-case letters, digits and hyphens.
        version: bumped whenever scores may change.
        summary: one line.
        citation: paper, authors, year, venue.
        config: returns the configuration class.
        load: returns the detector class.
        presets: named sets of configuration values; ``smoke``, which runs in seconds, is required, ``default`` is
            ``{}`` unless given.
        resources: what it needs, in words.
        pretrained: the weights that a configuration builds on.
        stochastic: False if the seed cannot change a score; then one seed is run whatever is asked for.
        maps: True if ``anomaly_maps`` is implemented.
        torch: False if it never imports torch; then no time is spent on finding a device.
        package: import name of the package whose source decides the scores (its digest guards reuse);
            the top-level package of the detector if None.
        api: version of this contract that it was written for.
        known_failures: conformance checks that it fails, each with a written reason.
        card: what else people should know before they use it, as ``{"fails at": "small lesions"}``: limits, how it was
            chosen, what was not examined. Shown by ``bench show`` and as its model card on the leaderboard's site.

    """

    name: str
    version: str
    summary: str
    citation: str
    config: Callable[[], type[DetectorConfig]]
    load: Callable[[], type[Detector[Any]]]
    presets: Mapping[str, Mapping[str, Any]]
    resources: str = "a CPU core"
    pretrained: Callable[[Any], Sequence[PretrainedWeights]] = _no_weights
    stochastic: bool = True
    maps: bool = False
    torch: bool = True
    package: str | None = None
    api: int = API
    known_failures: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)


class ImageFile(NamedTuple):
    """One image as a task finds it on disk, before the harness hashes it.

    Attributes:
        path: absolute path of the file.
        label: 0 normal, 1 anomalous.
        category: the class in the data set's own words (``CNV``, ``NORMAL``).
        patient: key of the patient, or None where it is not known.
        role: ``fit`` (the harness moves a tenth of it to ``tune``), ``test`` or ``pool``.
        mask: file of the lesion mask (non-zero on the lesion), or None.
        member: where ``path`` is an .npz file of many images, the name of an array (n, h, w) or (n, h, w, c), and the
            image's row in it.
        attributes: what else is known of the image, such as ``{"sex": "F", "age": "63", "view": "PA"}``. The confound
            audit looks at it; it is no part of the manifest, and no detector is given it.

    """

    path: Path
    label: Literal[0, 1]
    category: str
    patient: str | None
    role: Literal["fit", "test", "pool"]
    mask: Path | None = None
    member: tuple[str, int] | None = None
    attributes: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ProtocolVariant:
    """What a task changes of the protocol of its base; several changes apply in this order.

    Attributes:
        clean: fit and tune lose what shares a patient with test, or is a near-duplicate of a test image.
        normals: fit keeps that many images.
        contamination: share of anomalies that fit is given, from pool.
        categories: test keeps its normals and these classes.
        corruption: name of what is done to test images, see :mod:`bench.data.corruptions`.
        severity: 1 (slight) to 5 (strong).

    """

    clean: bool = False
    normals: int | None = None
    contamination: float = 0.0
    categories: tuple[str, ...] = ()
    corruption: str = ""
    severity: int = 0


@dataclass(frozen=True)
class TaskSpec:
    """A data set with its split, as a plugin offers it.

    Attributes:
        name: lower-case letters, digits and hyphens.
        version: bumped whenever a split may change.
        modality: ``OCT``, ``chest X-ray``, …
        citation: of the data set.
        licence: of the images.
        url: the official download.
        grouping: the level at which roles are disjoint.
        layout: the folders expected below the data folder, shown when they are missing.
        build: lists the images found below the data folder, in any order.
        decode: reads one file to a uint8 or uint16 array (h, w) or (h, w, c); Pillow by default.
        synthetic: True if the images are drawn, not taken; then ``build`` is given a cache folder to draw into, and
            the leaderboard's site may show them.
        editions: names of known downloads by their manifest hash; any other is named by its hash.
        base: the task whose images and split this one starts from, or None.
        protocol: what it changes of them.
        private: True keeps its records and images from being published.

    """

    name: str
    version: str
    modality: str
    citation: str
    licence: str
    url: str
    grouping: Grouping
    layout: str
    build: Callable[[Path], Sequence[ImageFile]]
    decode: Callable[[Path], NDArray[np.uint8] | NDArray[np.uint16]] | None = None
    synthetic: bool = False
    editions: Mapping[str, str] = field(default_factory=dict)
    base: TaskSpec | None = None
    protocol: ProtocolVariant = ProtocolVariant()
    private: bool = False


@dataclass(frozen=True)
class MetricSpec:
    """A metric of the scores of one cell; the harness adds a bootstrap interval.

    Attributes:
        name: lower-case letters, digits and underscores.
        version: bumped whenever a value may change.
        summary: one line.
        higher_is_better: its direction.
        compute: ``(labels int8 (n,), scores float64 (n,), tune float64 (m,)) -> float``. ``tune`` are the scores of
            held-out normals, and may be empty; the bootstrap draws both anew, patient by patient where patients are
            known. One that raises is named in the record, and costs no other metric.
        resamples: of the bootstrap; fewer for a metric that takes long.

    """

    name: str
    version: str
    summary: str
    higher_is_better: bool
    compute: Callable[[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64]], float]
    resamples: int = 2000
