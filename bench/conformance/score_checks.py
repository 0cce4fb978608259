"""Checks of scores and maps: an image's score is its own, and higher means more anomalous."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.conformance.check import Check, NotApplicable, require
from bench.conformance.subject import Subject, read_only
from bench.metrics import auroc

CHANCE = 0.6


def require_same(subject: Subject, scores: NDArray[np.float64], expected: NDArray[np.float64], what: str) -> None:
    """Fail unless two sets of scores agree within the subject's tolerance."""
    require(scores.shape == expected.shape, f"{scores.shape} scores {what}, {expected.shape} before")
    finite = np.isfinite(expected)  # what is not is score-shape's to find
    require(np.array_equal(finite, np.isfinite(scores)), f"{what} other scores are finite")
    worst = float(np.abs(scores - expected)[finite].max(initial=0.0))
    require(
        worst <= subject.tolerance, f"{what} scores differ by up to {worst:.3g}; {subject.tolerance:.3g} is allowed"
    )


class ScoreShape(Check):
    """``anomaly_scores`` must return one finite float64 per image, as a numpy array of shape (n,)."""

    name = "score-shape"

    def run(self, subject: Subject) -> None:
        """Look at type, shape and values."""
        scores: Any = subject.watched.scores
        n = len(subject.phantom.test)
        require(isinstance(scores, np.ndarray), f"it returned a {type(scores).__name__}")
        require(scores.shape == (n,), f"it returned shape {scores.shape} for {n} images")
        require(scores.dtype == np.float64, f"it returned {scores.dtype}")
        require(np.isfinite(scores).all(), f"{np.count_nonzero(~np.isfinite(scores))} of {n} are not finite")


class Companions(Check):
    """The score of an image depends on the images beside it.

    Scores that are scaled, ranked or normalised over the images of one call cannot be used one patient at a time, and
    learn from the test set. Take means and deviations from held-out normals in ``fit``, and put batch norm into
    evaluation mode.
    """

    name = "companions"

    def run(self, subject: Subject) -> None:
        """Score the lesions alone, the normals alone, and a single image."""
        labels = subject.phantom.labels
        for what, chosen in {
            "of the anomalous images alone": np.flatnonzero(labels == 1),
            "of the normal images alone": np.flatnonzero(labels == 0),
            "of one image alone": np.array([3]),
        }.items():
            own = subject.score(subject.fitted, subject.phantom.test[chosen])
            require_same(subject, own, subject.scores[chosen], what)


class Order(Check):
    """The order of the images changes their scores.

    Nothing may be carried from one image to the next: no running mean, no recurrent state, no position.
    """

    name = "order"

    def run(self, subject: Subject) -> None:
        """Score the images in reverse order."""
        backwards = subject.score(subject.fitted, subject.phantom.test[::-1].copy())
        require_same(subject, backwards, subject.scores[::-1], "in reverse order")


class Chunks(Check):
    """The size of the chunks in which images come changes their scores.

    The harness calls ``anomaly_scores`` with consecutive chunks of any size. Torch detectors get the same rounding in
    all of them from ``bench.torchkit.score_in_batches``, whose batches have one constant size.
    """

    name = "chunks"

    def run(self, subject: Subject) -> None:
        """Score in chunks of 1 and of 7."""
        images = subject.phantom.test
        for size in (1, 7):
            starts = range(0, len(images), size)
            parts = [subject.score(subject.fitted, images[start : start + size]) for start in starts]
            require_same(subject, np.concatenate(parts), subject.scores, f"in chunks of {size}")


class Repeat(Check):
    """Scoring the same images twice gives other scores.

    No dropout, no noise and no random flips while scoring; and nothing learned from the images that are scored. If a
    random choice is needed, derive it from ``run.seed`` anew in each call.
    """

    name = "repeat"

    def run(self, subject: Subject) -> None:
        """Score a second and a third time."""
        for what in ("a second time", "a third time"):
            require_same(subject, subject.score(subject.fitted, subject.phantom.test), subject.scores, what)


class Auroc(Check):
    """On an easy phantom the AUROC is not above 0.6: higher scores must mean more anomalous.

    An AUROC well below 0.5 is a flipped sign. One around 0.5 may be a preset ``smoke`` that learns too little: the
    lesions are large patches of strong contrast on smooth images, which any working detector finds.
    """

    name = "auroc"

    def run(self, subject: Subject) -> None:
        """Rank the phantom's test images."""
        require(np.isfinite(subject.scores).all(), "some scores are not finite")
        value = auroc(subject.phantom.labels, subject.scores)
        require(value > CHANCE, f"the AUROC is {value:.3f}" + (": is the sign flipped?" if value < 0.3 else ""))


class Maps(Check):
    """An anomaly map must be finite float32 (h, w), one per image, the same whatever images come beside, and higher on
    the lesion.

    ``anomaly_maps`` is checked where the spec says ``maps=True``. The pixels of a lesion must rank above the other
    pixels of its image, on average over the images, with an AUROC above 0.6.
    """

    name = "maps"

    def run(self, subject: Subject) -> None:
        """Draw maps of all test images, and of some alone."""
        if not subject.spec.maps:
            raise NotApplicable("the spec declares no maps")
        phantom, size = subject.phantom, subject.config.image_size
        drawn = self._draw(subject, phantom.test)
        require(len(drawn) == len(phantom.test), f"{len(drawn)} maps for {len(phantom.test)} images")
        for one in drawn:
            require(isinstance(one, np.ndarray) and one.dtype == np.float32, f"a map is {_kind(one)}, not float32")
            require(one.shape == (size, size), f"a map has shape {one.shape}, its image ({size}, {size})")
            require(np.isfinite(one).all(), "a map is not finite")
        alone = self._draw(subject, phantom.test[:3])
        worst = max(float(np.abs(a - b).max()) for a, b in zip(alone, drawn, strict=False))
        spread = float(np.subtract(*np.percentile(np.stack(drawn), [75, 25])))
        require(worst <= 1e-3 * spread, f"maps drawn without the other images differ by up to {worst:.3g}")
        ranks = [auroc(phantom.masks[i].ravel().astype(np.int8), drawn[i].ravel().astype(np.float64))
                 for i in np.flatnonzero(phantom.labels)]  # fmt: skip
        require(np.mean(ranks) > CHANCE, f"pixels of the lesions rank with an AUROC of {np.mean(ranks):.3f}")

    def _draw(self, subject: Subject, images: Any) -> list[Any]:
        with subject.context() as run:
            return list(subject.fitted.anomaly_maps(read_only(images), run))


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
