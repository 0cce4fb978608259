"""SALAD as a detector: fit the networks, learn how far normal images stray, multiply the terms' tail probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import Detector, DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import (
    ScoringCopy,
    Standardiser,
    isolated_seed,
    load_module_arrays,
    maps_in_batches,
    module_arrays,
    require_fitted,
    score_in_batches,
    split_normal,
)
from salad_plugin.config import SaladConfig
from salad_plugin.maps import MapScale, raw_maps
from salad_plugin.networks import Networks
from salad_plugin.terms import Normality, measure
from salad_plugin.train import train

COLLAPSED = 1e-4
ENOUGH = 4096
"""Images that normality is measured on, at most: what is measured of one takes kilobytes."""


class ScoringNetworks:
    """Networks, and copies of those that score, each made once for a device and precision."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self._encoder, self._decoder = ScoringCopy(networks.encoder), ScoringCopy(networks.decoder)
        self._locate = ScoringCopy(networks.locate_head) if networks.locate_head is not None else None
        self._transform = ScoringCopy(networks.transform_head) if networks.transform_head is not None else None

    def on(self, run: RunContext) -> Networks:
        """Return the copies for a run."""
        return replace(
            self.networks,
            encoder=self._encoder.on(run),
            decoder=self._decoder.on(run),
            locate_head=self._locate.on(run) if self._locate is not None else None,
            transform_head=self._transform.on(run) if self._transform is not None else None,
        )


@dataclass(frozen=True)
class _Learned:
    networks: ScoringNetworks
    normality: Normality
    map_scale: MapScale


def _at_most(images: Images, count: int) -> Images:
    """All images, or that many of them at equal distances."""
    if len(images) <= count:
        return images
    return images[np.linspace(0, len(images) - 1, count).astype(np.int64)]


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
            train(self.config, networks, training, run, generator)
        scoring = ScoringNetworks(networks)
        self._refuse_collapse(networks, held_out, run)
        measured = [self._measured(scoring, _at_most(part, ENOUGH), run) for part in (training, held_out)]
        if not all(np.isfinite(values).all() for part in measured for values in part.values()):
            raise DetectorError("training diverged: score terms of normals are not finite; lower learning_rate")
        normality = Normality.of(*measured)
        scale = MapScale.of(scoring.on(run), self.config, held_out, run)
        self._learned = _Learned(scoring, normality, scale)
        return self

    def anomaly_scores(self, images: Images, run: RunContext) -> NDArray[np.float64]:
        """−Σ log of the terms' tail probabilities: float64 (n,), at least 0; normal images are about 1 a term."""
        self.check_images(images)
        learned = require_fitted(self._learned, self)
        networks = learned.networks.on(run)

        def compute(x: Tensor) -> Tensor:
            # At once for each batch: what is measured of an image takes more memory than the image.
            measured = measure(networks, self.config, x, run)
            known = {term: values.double().cpu().numpy() for term, values in measured.items()}
            return torch.from_numpy(learned.normality.surprise(known).sum(axis=1))

        return score_in_batches(images, run, compute, self.config.batch_size, concurrent=True)

    def anomaly_maps(self, images: Images, run: RunContext) -> Iterator[NDArray[np.float32]]:
        """Mean of standardised maps of SSIM, inconsistency and pretext: float32 (s, s), about 0 where normal."""
        self.check_images(images)
        learned = require_fitted(self._learned, self)
        networks = learned.networks.on(run)

        def compute(x: Tensor) -> Tensor:
            return learned.map_scale.fuse(raw_maps(networks, self.config, x, run))

        return maps_in_batches(images, run, compute, self.config.batch_size)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Networks, and what normal images measure."""
        learned = require_fitted(self._learned, self)
        arrays: dict[str, NDArray[Any]] = {
            **learned.normality.state(),
            "maps.mean": learned.map_scale.standardiser.mean,
            "maps.std": learned.map_scale.standardiser.std,
        }
        for name, module in learned.networks.networks.learned().items():
            arrays |= module_arrays(module, name)
        return arrays

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take over what was learned; it stays on the CPU until scoring."""
        networks = Networks.build(self.config, "cpu")
        for name, module in networks.learned().items():
            load_module_arrays(module, state, name)
        scale = MapScale(Standardiser(np.array(state["maps.mean"]), np.array(state["maps.std"])))
        self._learned = _Learned(ScoringNetworks(networks), Normality.load(state), scale)
        return self

    def _measured(self, networks: ScoringNetworks, images: Images, run: RunContext) -> dict[str, NDArray[np.float64]]:
        """Every term of every image: float64 (n,), or (n, p, k) where the term is p vectors."""
        copies, shapes = networks.on(run), dict[str, torch.Size]()

        def compute(x: Tensor) -> Tensor:
            measured = measure(copies, self.config, x, run)
            shapes.update({term: values.shape[1:] for term, values in measured.items()})
            return torch.cat([values.view(len(x), -1) for values in measured.values()], dim=1)

        columns = score_in_batches(images, run, compute, self.config.batch_size, "measure")
        ends = np.cumsum([shape.numel() for shape in shapes.values()])
        parts = np.split(columns, ends[:-1], axis=1)
        return {term: part.reshape(-1, *shapes[term]) for term, part in zip(shapes, parts, strict=True)}

    def _refuse_collapse(self, networks: Networks, held_out: Images, run: RunContext) -> None:
        """Raise DetectorError where different images have one embedding: the center constraint's trivial solution.

        In float32 whatever the run's precision, whose rounding alone would look like a spread.
        """
        networks.encoder.eval()
        z = score_in_batches(held_out, run, lambda x: networks.encoder(x)[0], self.config.batch_size, "check")
        spread, size = z.std(axis=0).max(), np.sqrt(np.square(z).mean())
        # At most, not below: an encoder of zeros has a spread and a size of 0.
        if spread <= COLLAPSED * size and (held_out != held_out[:1]).any():
            raise DetectorError(
                f"all embeddings collapsed to one point (spread {spread:.1e} at size {size:.1e}); lower center_weight"
            )
