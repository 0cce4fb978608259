"""SALAD as a detector: fit the networks, standardise the score terms, add them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench import Detector, DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import (
    Standardiser,
    autocast,
    isolated_seed,
    load_module_arrays,
    module_arrays,
    require_fitted,
    score_in_batches,
    split_normal,
)
from salad_plugin.config import SaladConfig
from salad_plugin.losses import squared_distance, ssim
from salad_plugin.networks import TRANSFORMS, Networks
from salad_plugin.pretext import blanked_quarters, symmetry
from salad_plugin.train import train

COLLAPSED = 1e-4


@dataclass(frozen=True)
class _Learned:
    networks: Networks
    center: Tensor
    standardiser: Standardiser


class SaladDetector(Detector[SaladConfig]):
    """Zhao et al., IEEE TMI 2021; the score's exact form is inference (README.md)."""

    _learned: _Learned | None = None

    def fit(self, normal: Images, run: RunContext) -> Self:
        """Train on most of uint8 (n, s, s, c); the held-out rest gives each score term its mean and deviation.

        Raises:
            DetectorError: training diverged, or all embeddings collapsed to one point.

        """
        self.check_images(normal)
        training, held_out = split_normal(normal, self.config.held_out, run.seed)
        with isolated_seed(run.seed) as generator:
            networks = Networks.build(self.config, run.device)
            center = train(self.config, networks, training, run, generator)
        for module in networks.scoring().values():
            module.eval()
        raw = self._terms(networks, center, held_out, run)
        self._refuse_collapse(networks, held_out, run)
        if not np.isfinite(raw).all():
            raise DetectorError(
                "training diverged: score terms of held-out normals are not finite; lower learning_rate"
            )
        self._learned = _Learned(networks, center, Standardiser.of(raw))
        return self

    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """Add up the standardised terms: float64 (n,), about 0 for normal images."""
        self.check_images(images)
        learned = require_fitted(self._learned, self)
        return self._combine(learned.standardiser(self._terms(learned.networks, learned.center, images, run)))

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Networks, center and standardiser."""
        learned = require_fitted(self._learned, self)
        arrays: dict[str, NDArray[Any]] = {
            "center": learned.center.cpu().numpy(),
            "standardiser.mean": learned.standardiser.mean,
            "standardiser.std": learned.standardiser.std,
        }
        for name, module in learned.networks.scoring().items():
            arrays |= module_arrays(module, name)
        return arrays

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over networks, center and standardiser; they stay on the CPU until scoring."""
        networks = Networks.build(self.config, "cpu")
        for name, module in networks.scoring().items():
            load_module_arrays(module, state, name)
            module.eval()
        standardiser = Standardiser(np.array(state["standardiser.mean"]), np.array(state["standardiser.std"]))
        self._learned = _Learned(networks, torch.from_numpy(np.array(state["center"])), standardiser)
        return self

    def _columns(self) -> list[str]:
        """Which score term each column of :meth:`_terms` belongs to; consistency has one per feature scale."""
        scales = min(self.config.feature_levels, int(np.log2(self.config.image_size)) - 2)
        counts = {"consistency": 1 + scales}
        return [term for term in self.config.terms for _ in range(counts.get(term, 1))]

    def _combine(self, standardised: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the terms; a term of several columns counts once, as their mean."""
        columns = np.array(self._columns())
        total: NDArray[np.float64] = sum(
            (standardised[:, columns == term].mean(axis=1) for term in self.config.terms), np.zeros(len(standardised))
        )
        return total

    def _terms(self, networks: Networks, center: Tensor, images: Images, run: RunContext) -> NDArray[np.float64]:
        """Raw score terms, float64 (n, k), in the order of :meth:`_columns`."""
        for module in networks.scoring().values():
            module.to(run.device)
        center = center.to(run.device)

        def compute(x: Tensor) -> Tensor:
            return torch.stack(self._batch_terms(networks, center, x, run), dim=1)

        terms = score_in_batches(images, run, compute, self.config.batch_size)
        return terms.reshape(len(images), len(self._columns()))

    def _refuse_collapse(self, networks: Networks, held_out: Images, run: RunContext) -> None:
        """Raise DetectorError where different images have one embedding: the center constraint's trivial solution.

        In float32 whatever the run's precision, whose rounding alone would look like a spread.
        """
        z = score_in_batches(held_out, run, lambda x: networks.encoder(x)[0], self.config.batch_size, "check")
        spread, size = z.std(axis=0).max(), np.sqrt(np.square(z).mean())
        if spread < COLLAPSED * size and (held_out != held_out[:1]).any():
            raise DetectorError(
                f"all embeddings collapsed to one point (spread {spread:.1e} at size {size:.1e}); lower center_weight"
            )

    def _batch_terms(self, networks: Networks, center: Tensor, x: Tensor, run: RunContext) -> list[Tensor]:
        # Networks compute in the run's precision; differences of their outputs are taken in float32.
        with autocast(run):
            z, features = networks.encoder(x)
            translated = networks.decoder(z)
            again, features_again = networks.encoder(translated)
        terms: dict[str, list[Tensor]] = {}
        if "consistency" in self.config.terms:
            deepest = list(zip(features, features_again, strict=True))[-self.config.feature_levels or len(features) :]
            terms["consistency"] = [squared_distance(z, again)] + [squared_distance(a, b) for a, b in deepest]
        if "center" in self.config.terms:
            terms["center"] = [squared_distance(z, center.expand_as(z))]
        if "ssim" in self.config.terms:
            terms["ssim"] = [1 - ssim(x, translated)]
        if "pretext" in self.config.terms:
            terms["pretext"] = [self._pretext_error(networks, x, run)]
        return [column for term in self.config.terms for column in terms[term]]

    def _pretext_error(self, networks: Networks, x: Tensor, run: RunContext) -> Tensor:
        """How badly the pretext task is solved on each image, averaged over all of its fixed versions."""
        if networks.transform_head is None:
            errors = []
            for blanked, mask in blanked_quarters(x):
                with autocast(run):
                    restored = networks.decoder(networks.encoder(blanked)[0]).float()
                errors.append(((restored - x).abs() * mask).flatten(1).sum(dim=1) / (mask.sum() * x.shape[1]))
            return torch.stack(errors).mean(dim=0)
        versions = torch.cat([symmetry(x, label) for label in range(TRANSFORMS)])
        with autocast(run):
            guesses = networks.transform_head(networks.encoder(versions)[0])
        labels = torch.arange(TRANSFORMS, device=x.device).repeat_interleave(len(x))
        return F.cross_entropy(guesses.float(), labels, reduction="none").view(TRANSFORMS, -1).mean(dim=0)
