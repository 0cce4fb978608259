"""An honest detector, and one faulty copy of it for every way to break the contract that the kit must notice."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import bench

MODULE = __name__
FLOOR = 4.0


class Config(bench.DetectorConfig):
    """Small images, so that all checks of one detector take about two seconds."""

    image_size: int = 32


class Honest(bench.Detector[Config]):
    """Mean of the squared deviations of an image's pixels from the same pixels of normal images."""

    mean: NDArray[np.float64] | None = None
    std: NDArray[np.float64]

    def fit(self, normal: NDArray[np.uint8], run: bench.RunContext) -> Self:
        self.check_images(normal)
        self.mean, self.std = normal.mean(axis=0), normal.std(axis=0) + FLOOR
        return self

    def anomaly_scores(self, images: NDArray[np.uint8], run: bench.RunContext) -> NDArray[np.float64]:
        return np.array([one.mean(dtype=np.float64) for one in self.anomaly_maps(images, run)])

    def anomaly_maps(self, images: NDArray[np.uint8], run: bench.RunContext) -> Iterator[NDArray[np.float32]]:
        self.require_fitted()
        self.check_images(images)
        return (np.square((one - self.mean) / self.std).mean(axis=2).astype(np.float32) for one in images)

    def state(self) -> Mapping[str, NDArray[Any]]:
        self.require_fitted()
        assert self.mean is not None
        return {"mean": self.mean, "std": self.std}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        self.mean, self.std = np.array(state["mean"]), np.array(state["std"])
        return self

    def require_fitted(self) -> None:
        if self.mean is None:
            raise bench.NotFittedError("fit first")


class BuildsInConstructor(Honest):
    """Computes a table when it is constructed."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.table = np.zeros((16, 16))


class ScoresBeforeFit(Honest):
    """Has a default where it has learned nothing."""

    def require_fitted(self) -> None:
        if self.mean is None:
            self.mean, self.std = np.float64(127.0), np.float64(50.0)  # type: ignore[assignment]


class HalfPrecision(Honest):
    """Returns what its network computed in, not float64."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        return super().anomaly_scores(images, run).astype(np.float32)


class Column(Honest):
    """Returns a column."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        return super().anomaly_scores(images, run)[:, None]


class DividesByZero(Honest):
    """Gives NaN for the images that are most normal."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        scores = super().anomaly_scores(images, run)
        return np.where(scores < 1.0, np.nan, scores)


class Flipped(Honest):
    """Higher is more normal, as decision_function has it elsewhere."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        return -super().anomaly_scores(images, run)


class MinMax(Honest):
    """Scales scores to [0, 1] over the images that it is given: published GANomaly code does."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        scores = super().anomaly_scores(images, run)
        return (scores - scores.min()) / max(scores.max() - scores.min(), 1e-12)


class TrainModeBatchNorm(Honest):
    """Scores with batch norm left in training mode, so that images normalise one another."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        import torch

        self.require_fitted()
        self.check_images(images)
        norm = torch.nn.BatchNorm2d(1, affine=False)
        pixels = torch.from_numpy(np.array(images[..., :1], np.float32)).permute(0, 3, 1, 2)
        with torch.no_grad():
            return norm(pixels).square().mean(dim=(1, 2, 3)).double().numpy() * super().anomaly_scores(images, run)


class RunningMean(Honest):
    """Carries a running mean from image to image, anew in each call."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        scores = super().anomaly_scores(images, run)
        for index in range(1, len(scores)):
            scores[index] = 0.9 * scores[index] + 0.1 * scores[index - 1]
        return scores


class ShortLastBatch(Honest):
    """Drops to a coarser computation where a batch is not full, as kernels chosen by batch size may."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        scores = super().anomaly_scores(images, run)
        full = len(scores) - len(scores) % 16
        scores[full:] = np.round(scores[full:], 1)
        return scores


class RandomFlips(Honest):
    """Flips images at random while scoring."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        self.check_images(images)
        flip = np.random.default_rng().random((len(images), 1, 1, 1)) < 0.5
        return super().anomaly_scores(np.where(flip, images[:, ::-1], images), run)


class LearnsWhileScoring(Honest):
    """Moves its mean towards the images that it scores."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        scores = super().anomaly_scores(images, run)
        self.mean = 0.9 * self.mean + 0.1 * images.mean(axis=0)
        return scores


class Clock(Honest):
    """Draws its random choices from the clock."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        self.check_images(normal)
        chosen = np.random.default_rng(time.perf_counter_ns()).permutation(len(normal))[:16]
        return super().fit(normal[chosen], run)


class Seeded(Honest):
    """Uses the seed, and rightly so; but its spec says that it does not."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        self.check_images(normal)
        return super().fit(normal[np.random.default_rng(run.seed).permutation(len(normal))[:16]], run)


class Remembers(Honest):
    """Adds the normals of every fit to those of earlier ones."""

    seen: NDArray[np.uint8] | None = None

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        self.check_images(normal)
        self.seen = normal if self.seen is None else np.concatenate([self.seen, normal])
        return super().fit(self.seen, run)


class ReturnsNothing(Honest):
    """Forgets to return itself."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        super().fit(normal, run)


HIDDEN: dict[str, Any] = {}


class GlobalMemory(Honest):
    """Keeps a part of what it learned in a global variable."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        super().fit(normal, run)
        HIDDEN["std"], self.std = self.std, np.ones_like(self.std)
        return self

    def anomaly_maps(self, images, run):  # type: ignore[no-untyped-def]
        for one in super().anomaly_maps(images, run):
            yield (one / np.square(HIDDEN.get("std", np.ones(1))).mean(axis=-1)).astype(np.float32)


class PickledState(Honest):
    """Puts an object into its state, which only pickle could store."""

    def state(self):  # type: ignore[no-untyped-def]
        return {**super().state(), "config": np.array([self.config], dtype=object)}


class WritesIntoInputs(Honest):
    """Subtracts the mean in place."""

    def anomaly_maps(self, images, run):  # type: ignore[no-untyped-def]
        maps = list(super().anomaly_maps(images, run))
        images[:] = 0
        return iter(maps)


class TakesAnything(Honest):
    """Lets numpy broadcast whatever it is given."""

    def check_images(self, images):  # type: ignore[no-untyped-def]
        pass

    def anomaly_maps(self, images, run):  # type: ignore[no-untyped-def]
        self.require_fitted()
        size = self.mean.shape[0]
        for one in images:
            pixels = np.resize(one, self.mean.shape) if np.shape(one) != self.mean.shape else one
            yield np.square((pixels - self.mean) / self.std).mean(axis=2).reshape(size, size).astype(np.float32)


class SeedsGlobally(Honest):
    """Seeds the generators that everybody shares."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        random.seed(run.seed)
        np.random.seed(run.seed)  # noqa: NPY002
        return super().fit(normal, run)


class DrawsGlobally(Honest):
    """Draws a number from the generator that everybody shares."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        np.random.random()  # noqa: NPY002
        return super().fit(normal, run)


class LeavesTorchChanged(Honest):
    """Sets torch's default dtype and leaves it so."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        import torch

        torch.set_default_dtype(torch.float64)
        return super().fit(normal, run)


class SavesModel(Honest):
    """Saves its model to the working directory."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        super().fit(normal, run)
        path = Path("faulty-model.npy")
        np.save(path, self.mean)
        path.unlink()
        return self


class CallsHome(Honest):
    """Asks a server for something."""

    def fit(self, normal, run):  # type: ignore[no-untyped-def]
        with suppress(OSError), socket.socket() as connection:
            connection.settimeout(0.1)
            connection.connect(("127.0.0.1", 9))
        return super().fit(normal, run)


class AllAtOnce(Honest):
    """Converts all images to float64 before it looks at the first."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        self.require_fitted()
        self.check_images(images)
        return np.square((images - self.mean) / self.std).mean(axis=3).astype(np.float32).mean(axis=(1, 2), dtype=float)


class InvertedMaps(Honest):
    """Draws maps that are low on the lesion."""

    def anomaly_maps(self, images, run):  # type: ignore[no-untyped-def]
        for one in super().anomaly_maps(images, run):
            yield -one

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        return -super().anomaly_scores(images, run)


class MapsScaledTogether(Honest):
    """Scales the maps of one call by their common maximum."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        return np.array([one.mean(dtype=np.float64) for one in super().anomaly_maps(images, run)])

    def anomaly_maps(self, images, run):  # type: ignore[no-untyped-def]
        maps = list(super().anomaly_maps(images, run))
        return (one / max(float(other.max()) for other in maps) for one in maps)


class Crashes(Honest):
    """Kills its process while it scores."""

    def anomaly_scores(self, images, run):  # type: ignore[no-untyped-def]
        os.kill(os.getpid(), 9)


# The checks that compare scores with those of the shared fit.
COMPARED = {"companions", "order", "chunks", "repeat", "same-seed", "stochastic", "refit", "state"}

# A detector, what its spec says otherwise, and the checks that it fails. Every other check passes or does not apply.
FAULTS: dict[str, tuple[type[Honest], dict[str, Any], set[str]]] = {
    "bad-preset": (Honest, {"presets": {"smoke": {}, "paper": {"depth": 50}}}, {"presets"}),
    "excuses": (Honest, {"known_failures": {"rank": "no reason"}}, {"known-failures"}),
    "unneeded-excuse": (Honest, {"known_failures": {"auroc": "modesty"}}, {"auroc"}),
    "builds-in-constructor": (BuildsInConstructor, {}, {"construction"}),
    "scores-before-fit": (ScoresBeforeFit, {}, {"not-fitted"}),
    "half-precision": (HalfPrecision, {}, {"score-shape"}),
    "column": (Column, {}, {"score-shape", "auroc"}),
    "divides-by-zero": (DividesByZero, {}, {"score-shape", "auroc"}),
    "flipped": (Flipped, {}, {"auroc"}),
    "min-max": (MinMax, {}, {"companions", "chunks"}),
    "train-mode-batch-norm": (TrainModeBatchNorm, {}, {"companions", "chunks", "memory"}),
    "running-mean": (RunningMean, {}, {"companions", "order", "chunks"}),
    "short-last-batch": (ShortLastBatch, {}, {"companions", "chunks"}),
    "random-flips": (RandomFlips, {}, {*COMPARED, "memory"}),
    "learns-while-scoring": (LearnsWhileScoring, {}, {"companions", "order", "chunks", "repeat", "state"}),
    "clock": (Clock, {}, {"same-seed", "refit", "stochastic"}),
    "seeded": (Seeded, {}, {"stochastic"}),
    "remembers": (Remembers, {}, {"refit"}),
    "returns-nothing": (ReturnsNothing, {}, {"returns-itself"}),
    "global-memory": (GlobalMemory, {}, {"state"}),
    "pickled-state": (PickledState, {}, {"state", "memory"}),
    "writes-into-inputs": (WritesIntoInputs, {}, {*COMPARED - {"state"}, "inputs-unmodified", "memory", "maps"}),
    "takes-anything": (TakesAnything, {}, {"wrong-input"}),
    "seeds-globally": (SeedsGlobally, {}, {"global-state"}),
    "draws-globally": (DrawsGlobally, {}, {"global-state"}),
    "leaves-torch-changed": (LeavesTorchChanged, {"torch": True}, {"global-state"}),
    "saves-model": (SavesModel, {}, {"writes"}),
    "calls-home": (CallsHome, {}, {"network"}),
    "all-at-once": (AllAtOnce, {}, {"memory"}),
    "inverted-maps": (InvertedMaps, {}, {"maps"}),
    "maps-scaled-together": (MapsScaledTogether, {}, {"maps"}),
}


def make_spec(name: str, detector: type[Honest], changes: Mapping[str, Any]) -> bench.DetectorSpec:
    """Offer one of the detectors above."""
    given: dict[str, Any] = {
        "name": name,
        "version": "1",
        "summary": (detector.__doc__ or "").splitlines()[0],
        "citation": "none",
        "config": lambda: Config,
        "load": lambda: detector,
        "presets": {"smoke": {}},
        "stochastic": False,
        "maps": True,
        "torch": False,
    }
    return bench.DetectorSpec(**{**given, **changes})


@bench.hookimpl
def bench_detectors() -> Sequence[bench.DetectorSpec]:
    specs = [make_spec(name, detector, changes) for name, (detector, changes, _) in FAULTS.items()]
    return [make_spec("honest", Honest, {}), make_spec("crashes", Crashes, {}), *specs]
