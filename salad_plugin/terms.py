"""The score's terms: what is measured of an image, and how measurements become comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_ndtr
from sklearn.covariance import ledoit_wolf
from torch import Tensor
from torch.nn import functional as F

from bench import RunContext
from bench.torchkit import Standardiser, autocast, select_arrays
from salad_plugin.config import SaladConfig, ScoreTerm
from salad_plugin.losses import ssim_scales
from salad_plugin.networks import TRANSFORMS, Networks
from salad_plugin.pretext import blanked_quarters, most_altered, symmetry

TINY = 1e-9


@dataclass(frozen=True)
class Gaussian:
    """Where normal images lie in p spaces of k features each, and how far apart they are there.

    Attributes:
        mean: float64 (p, k), the centers.
        precision: float64 (p, k, k), inverses of the shrunk covariances.

    """

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float64]) -> Self:
        """Measure features (n, p, k), k possibly above n: covariance shrunk after Ledoit and Wolf (JMVA 2004)."""
        return cls(features.mean(axis=0), np.stack([_precision(space) for space in features.transpose(1, 0, 2)]))

    def distance(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared Mahalanobis distance of features (n, p, k) to the center, its geometric mean over spaces: (n,)."""
        # Row by row: the rounding of one product of all would depend on how many images there are.
        squared = np.empty(features.shape[:2])
        for row, away in enumerate(features - self.mean):
            squared[row] = [part @ precision @ part for part, precision in zip(away, self.precision, strict=True)]
        distance: NDArray[np.float64] = np.exp(np.log(np.maximum(squared, TINY)).mean(axis=1))
        return distance


def _precision(features: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance, _ = ledoit_wolf(features)
    # A feature that is constant has no spread to divide by, and must not make the inverse explode.
    floor = TINY + 1e-6 * np.trace(covariance) / len(covariance)
    inverse: NDArray[np.float64] = np.linalg.inv(covariance + floor * np.eye(len(covariance)))
    return inverse


@dataclass(frozen=True)
class Normality:
    """What normal images measure.

    Attributes:
        gaussians: of the terms that are vectors.
        standardiser: mean and deviation of each term's logarithm on held-out normals, in the order of the terms.

    """

    gaussians: Mapping[str, Gaussian]
    standardiser: Standardiser

    @classmethod
    def of(cls, training: Mapping[str, NDArray[np.float64]], held_out: Mapping[str, NDArray[np.float64]]) -> Self:
        """Gaussians from images that were trained on, their scale from images that were not."""
        gaussians = {term: Gaussian.of(values) for term, values in training.items() if values.ndim == 3}
        return cls(gaussians, Standardiser.of(_logarithms(gaussians, held_out)))

    def surprise(self, measured: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """−log p of each image and term, float64 (n, t), p being the share of a normal distribution beyond it.

        Their sum multiplies tail probabilities (Fisher 1925). Not adding deviations: an image that is easier to
        reconstruct than normal, as smooth ones are, does not make up for what another term found.
        """
        deviations = self.standardiser(_logarithms(self.gaussians, measured))
        surprise: NDArray[np.float64] = -log_ndtr(-deviations)
        return surprise

    def state(self) -> dict[str, NDArray[Any]]:
        """As arrays, named ``normality.…``."""
        arrays = {"normality.mean": self.standardiser.mean, "normality.std": self.standardiser.std}
        for term, gaussian in self.gaussians.items():
            arrays |= {
                f"normality.{term}.mean": gaussian.mean,
                f"normality.{term}.precision": gaussian.precision,
            }
        return arrays

    @classmethod
    def load(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of :meth:`state`."""
        arrays = {name: np.array(array, np.float64) for name, array in select_arrays(state, "normality").items()}
        terms = sorted(name.partition(".")[0] for name in arrays if name.endswith(".precision"))
        gaussians = {term: Gaussian(arrays[f"{term}.mean"], arrays[f"{term}.precision"]) for term in terms}
        return cls(gaussians, Standardiser(arrays["mean"], arrays["std"]))


def _logarithms(gaussians: Mapping[str, Gaussian], measured: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Terms as columns (n, t). Errors and distances are positive and skewed; their logarithms are nearly normal."""
    columns = [gaussians[term].distance(values) if values.ndim == 3 else values for term, values in measured.items()]
    return np.log(np.maximum(np.stack(columns, axis=1), TINY))


def measure(networks: Networks, config: SaladConfig, x: Tensor, run: RunContext) -> dict[str, Tensor]:
    """What :func:`measure_once` does, averaged over image and mirror image where training has mirrored images too.

    A part of every measurement is chance, which way an image faces among it: the mean has less.
    """
    if not config.augment:
        return measure_once(networks, config.terms, x, run)
    both = measure_once(networks, config.terms, torch.cat([x, x.flip(3)]), run)
    return {term: values.view(2, len(x), *values.shape[1:]).mean(dim=0) for term, values in both.items()}


def measure_once(networks: Networks, terms: tuple[ScoreTerm, ...], x: Tensor, run: RunContext) -> dict[str, Tensor]:
    """What the networks, in eval mode, make of images (n, c, s, s): float32 (n,) or (n, p, k) for each term.

    ``consistency`` are vectors: |f − f̂| of each channel of every scale, averaged over the image, f and f̂ being features
    of x and x̂; and its logarithm, since an image that is too easy to translate is not normal either. ``center`` is one
    too: the averaged features themselves. ``ssim`` is the geometric mean of
    1 − SSIM over scales, so that no scale outweighs the others.
    """
    with autocast(run):
        z, features = networks.encoder(x)
        translated = networks.decoder(z)
        again = networks.encoder(translated)[1] if "consistency" in terms else []
    measured: dict[str, Tensor] = {}
    for term in terms:
        if term == "consistency":
            away = torch.cat([_pooled((a - b).abs()) for a, b in zip(features, again, strict=True)], dim=1)
            measured[term] = torch.stack([away, away.clamp_min(TINY).log()], dim=1)
        elif term == "center":
            measured[term] = torch.cat([_pooled(f) for f in features], dim=1)[:, None]
        elif term == "ssim":
            measured[term] = (1 - ssim_scales(x, translated)).clamp_min(TINY).log().mean(dim=1).exp()
        else:
            measured[term] = pretext_error(networks, features, x, run)
    return measured


def _pooled(features: Tensor) -> Tensor:
    """Average over the image, in float32: (n, c, h, w) to (n, c)."""
    return features.float().mean(dim=(2, 3))


def pretext_error(networks: Networks, features: list[Tensor], x: Tensor, run: RunContext) -> Tensor:
    """How badly the pretext task is solved on each image (n, c, s, s), whose features are given: float32 (n,) ≥ 0.

    ``locate``: how much of a normal image is taken for altered. ``transform`` and ``restore``: the error averaged over
    all of the task's fixed versions.
    """
    if networks.locate_head is not None:
        with autocast(run):
            maps, _ = networks.locate_head(features)
        return most_altered(maps)
    if networks.transform_head is not None:
        versions = torch.cat([symmetry(x, label) for label in range(TRANSFORMS)])
        with autocast(run):
            guesses = networks.transform_head(networks.encoder(versions)[0])
        labels = torch.arange(TRANSFORMS, device=x.device).repeat_interleave(len(x))
        return F.cross_entropy(guesses.float(), labels, reduction="none").view(TRANSFORMS, -1).mean(dim=0)
    errors = []
    for blanked, mask in blanked_quarters(x):
        with autocast(run):
            restored = networks.decoder(networks.encoder(blanked)[0]).float()
        errors.append(((restored - x).abs() * mask).flatten(1).sum(dim=1) / (mask.sum() * x.shape[1]))
    return torch.stack(errors).mean(dim=0)
