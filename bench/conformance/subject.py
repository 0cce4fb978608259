"""The detector under test: its smoke configuration, the easy phantom, and one fit that many checks share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.conformance.observe import Observation, observing, outside
from bench.conformance.phantom import EasyPhantom, draw_easy_phantom
from bench.contracts import Detector, DetectorConfig, DetectorSpec, Images, RunContext
from bench.registry import Offer

SEED = 7


@dataclass(frozen=True)
class Watched:
    """A detector that was fitted under observation, the scores it gave, and what was seen meanwhile.

    Attributes:
        detector: as fitted to the phantom.
        fit_returned_self: whether ``fit`` returned the detector.
        scores: of the test images, as returned.
        normal: the images that ``fit`` was given; unlike in the harness, they could be written to.
        test: likewise the images that were scored.
        seen: changes outside the detector.
        outside: files changed outside of scratch.

    """

    detector: Detector[Any]
    fit_returned_self: bool
    scores: Any
    normal: Images
    test: Images
    seen: Observation
    outside: list[str]


class Subject:
    """A detector under test. What several checks need is computed once, when it is first asked for."""

    def __init__(self, offer: Offer[DetectorSpec], config: DetectorConfig | None = None) -> None:
        """Look at a detector with its preset ``smoke``, or with another configuration."""
        self.offer = offer
        self._config = config

    @property
    def spec(self) -> DetectorSpec:
        """The detector's spec."""
        return self.offer.spec

    @cached_property
    def config(self) -> DetectorConfig:
        """The configuration under test, the preset ``smoke`` unless another was given."""
        if self._config is not None:
            return self._config
        return self.spec.config().model_validate(self.spec.presets["smoke"])

    @cached_property
    def phantom(self) -> EasyPhantom:
        """Images of the size and number of channels that the configuration asks for."""
        return draw_easy_phantom(self.config.image_size, self.config.channels)

    def new(self) -> Detector[Any]:
        """Return an instance that has learned nothing."""
        return self.spec.load()(self.config)

    @contextmanager
    def context(self, seed: int = SEED) -> Iterator[RunContext]:
        """Give a run with a scratch folder of its own, on the CPU in float32, where rounding differs least."""
        with tempfile.TemporaryDirectory(prefix="bench-check-") as scratch:
            yield RunContext(seed, "cpu", Path(scratch))

    def fit(self, detector: Detector[Any], normal: Images | None = None, seed: int = SEED) -> Detector[Any]:
        """Fit a detector, to the phantom's normals unless told otherwise."""
        with self.context(seed) as run:
            detector.fit(read_only(self.phantom.normal if normal is None else normal), run)
        return detector

    def score(self, detector: Detector[Any], images: Images) -> NDArray[np.float64]:
        """Score images as float64, whatever the detector returns."""
        with self.context() as run:
            return np.asarray(detector.anomaly_scores(read_only(images), run), np.float64)

    @cached_property
    def _watched(self) -> Watched | BaseException:
        try:
            if self.spec.torch:
                import torch  # noqa: F401  (before its global state is looked at)
            self.spec.load()
            normal, test = self.phantom.normal.copy(), self.phantom.test.copy()
            with self.context() as run, _temporary_files_in(run.scratch):
                with observing() as seen:
                    detector = self.new()
                    returned = detector.fit(normal, run)
                    scores = detector.anomaly_scores(test, run)
                left = outside(seen.changed, run.scratch)
                return Watched(detector, returned is detector, scores, normal, test, seen, left)
        except (Exception, SystemExit) as error:
            return error

    @property
    def watched(self) -> Watched:
        """The shared fit. What went wrong in it is raised for every check that asks."""
        if isinstance(self._watched, BaseException):
            raise self._watched
        return self._watched

    @property
    def fitted(self) -> Detector[Any]:
        """The detector of the shared fit: score with it, never fit it again."""
        return self.watched.detector

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores of the test images from the shared fit, float64 whatever the detector returned."""
        return np.asarray(self.watched.scores, np.float64)

    @property
    def tolerance(self) -> float:
        """Scores within this of each other count as the same: 1e-3 of the interquartile range."""
        finite = self.scores[np.isfinite(self.scores)]
        return float(1e-3 * np.subtract(*np.percentile(finite, [75, 25]))) if len(finite) else 0.0


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Have python's temporary files made in scratch, as the harness does through TMPDIR."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def read_only(images: Images) -> Images:
    """View images as the harness hands them out."""
    view = images.view()
    view.flags.writeable = False
    return view
