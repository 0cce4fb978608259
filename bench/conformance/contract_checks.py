"""Checks of the spec, of construction, and of fitting."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bench.conformance.check import Check, CheckFailed, NotApplicable, require
from bench.conformance.observe import observing
from bench.conformance.score_checks import require_same
from bench.conformance.subject import SEED, Subject
from bench.errors import BenchError, NotFittedError

CONSTRUCTION_SECONDS = 0.1


class Presets(Check):
    """The default configuration or a preset cannot be built, or does not survive JSON.

    Every field needs a default, every value of a preset must be valid, and
    ``Config.model_validate_json(config.model_dump_json())`` must give the same configuration: the harness sends it to
    the worker as JSON and writes it into the record.
    """

    name = "presets"

    def run(self, subject: Subject) -> None:
        """Build the default and every preset, and read each back from JSON."""
        make = subject.spec.config()
        for preset, values in {"default": {}, **subject.spec.presets}.items():
            try:
                config = make.model_validate(values)
                again = make.model_validate_json(config.model_dump_json())
            except ValueError as error:
                raise CheckFailed(f"preset '{preset}': {' '.join(str(error).split())}") from error
            require(again == config, f"preset '{preset}' comes back from JSON as {again!r}, not {config!r}")


class KnownFailures(Check):
    """The spec declares a known failure of a check that does not exist, or without a written reason.

    ``known_failures`` maps the name of a check to the reason why this detector cannot pass it.
    """

    name = "known-failures"

    def run(self, subject: Subject) -> None:
        """Compare the declared names with those of the checks."""
        from bench.conformance.checks import CHECKS

        known = [check.name for check in CHECKS]
        for name, reason in subject.spec.known_failures.items():
            require(name in known, f"there is no check '{name}'; known: {', '.join(known)}")
            require(isinstance(reason, str) and reason.strip(), f"'{name}' is declared without a reason")


class Construction(Check):
    """Constructing the detector does work: it must only store the configuration.

    Build networks and open files in ``fit`` or ``load_state``: the harness constructs detectors in places where
    nothing should be computed, and before random numbers are seeded.
    """

    name = "construction"

    def run(self, subject: Subject) -> None:
        """Construct an instance under observation."""
        subject.new()  # the first time may import
        with observing() as seen:
            started = time.perf_counter()
            detector = subject.new()
            seconds = time.perf_counter() - started
        require(detector.config == subject.config, f"its config is {detector.config!r}, not the one it was given")
        require(not seen.changed, f"it writes {', '.join(seen.changed)}")
        require(not seen.state, f"it changes {', '.join(seen.state)}")
        heavy = [name for name, value in vars(detector).items() if _is_computed(value)]
        require(not heavy, f"it already holds arrays or networks: {', '.join(heavy)}")
        require(seconds < CONSTRUCTION_SECONDS, f"it takes {seconds:.2f} s")


def _is_computed(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "state_dict") or hasattr(value, "data_ptr")


class NotFitted(Check):
    """Before ``fit`` or ``load_state``, scoring and ``state`` must raise ``bench.NotFittedError``.

    A detector that gives scores without having learned hides a harness, or a user, that forgot to fit it. The same
    holds for ``anomaly_maps`` where the spec declares maps: at the latest when the first map is asked for.
    """

    name = "not-fitted"

    def run(self, subject: Subject) -> None:
        """Call everything that needs a fit on an instance without one."""
        images = subject.phantom.test[:4]
        with subject.context() as run:
            calls = {
                "anomaly_scores": lambda: subject.new().anomaly_scores(images, run),
                "state": lambda: subject.new().state(),
            }
            if subject.spec.maps:
                calls["anomaly_maps"] = lambda: next(subject.new().anomaly_maps(images, run))
            for name, call in calls.items():
                _expect_not_fitted(name, call)


def _expect_not_fitted(name: str, call: Any) -> None:
    try:
        call()
    except NotFittedError:
        return
    except Exception as error:
        raise CheckFailed(f"{name} raised {type(error).__name__}: {error}") from error
    raise CheckFailed(f"{name} gave a result")


class ReturnsItself(Check):
    """``fit`` and ``load_state`` must return the detector itself.

    End both with ``return self``, so that ``Detector(config).fit(normal, run).anomaly_scores(images, run)`` works.
    """

    name = "returns-itself"

    def run(self, subject: Subject) -> None:
        """Look at what both return."""
        require(subject.watched.fit_returned_self, "fit returned something else")
        fresh = subject.new()
        require(fresh.load_state(subject.fitted.state()) is fresh, "load_state returned something else")


class Refit(Check):
    """``fit`` does not forget an earlier fit: the scores depend on images seen before.

    Build networks, memories and statistics anew in every ``fit``; add to nothing that an earlier one left.
    """

    name = "refit"

    def run(self, subject: Subject) -> None:
        """Fit to other normals, then to the phantom's; compare with the shared fit."""
        detector = subject.fit(subject.new(), subject.phantom.other)
        again = subject.score(subject.fit(detector), subject.phantom.test)
        require_same(subject, again, subject.scores, "after an earlier fit to other images")


class SameSeed(Check):
    """The same seed gives other scores.

    Derive every random choice from ``run.seed`` (torch detectors: ``bench.torchkit.isolated_seed``), and draw nothing
    from the clock, from unordered sets or from a global generator.
    """

    name = "same-seed"

    def run(self, subject: Subject) -> None:
        """Fit once more with the same seed, in another global random state."""
        import random

        state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            random.seed(1)
            np.random.seed(1)  # noqa: NPY002
            again = subject.score(subject.fit(subject.new()), subject.phantom.test)
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
        require_same(subject, again, subject.scores, "from a second fit with the same seed")


class Stochastic(Check):
    """The spec says ``stochastic=False``, but the seed changes the scores.

    The harness runs one seed of such a detector, whatever was asked for, and shows no spread: declare
    ``stochastic=True``, or use no random numbers.
    """

    name = "stochastic"

    def run(self, subject: Subject) -> None:
        """Fit with another seed."""
        if subject.spec.stochastic:
            raise NotApplicable("the spec says that seeds matter")
        other = subject.score(subject.fit(subject.new(), seed=SEED + 1), subject.phantom.test)
        require_same(subject, other, subject.scores, "from a fit with another seed")


class WrongInput(Check):
    """Images of a wrong type, shape or size are not refused with a clear error.

    Call ``self.check_images(images)`` first in ``fit`` and ``anomaly_scores``: it raises a ``ValueError`` that states
    what was expected and what came.
    """

    name = "wrong-input"

    def run(self, subject: Subject) -> None:
        """Hand over arrays that the configuration rules out."""
        good = subject.phantom.test[:4]
        bad = {
            "floating-point images": good.astype(np.float32) / 255,
            "images without a channel axis": good[..., 0],
            "one image without the others": good[0],
            "images of half the size": good[:, ::2, ::2],
            "images with one channel too many": np.concatenate([good, good[..., :1]], axis=3),
        }
        for what, images in bad.items():
            _expect_refusal(f"anomaly_scores took {what}", lambda images=images: subject.score(subject.fitted, images))
            _expect_refusal(f"fit took {what}", lambda images=images: subject.fit(subject.new(), images))


def _expect_refusal(taken: str, call: Any) -> None:
    try:
        call()
    except (ValueError, TypeError, BenchError) as error:
        if isinstance(error, NotFittedError) or not str(error).strip():
            raise CheckFailed(f"{taken}, and raised {type(error).__name__}: {error}") from error
        return
    except Exception as error:
        raise CheckFailed(f"{taken}, and raised {type(error).__name__}: {error}") from error
    raise CheckFailed(taken)
