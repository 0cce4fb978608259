"""Anomaly maps: where the score's terms come from, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench import RunContext
from bench.contracts import Images
from bench.torchkit import Standardiser, autocast, score_in_batches
from salad_plugin.config import SaladConfig, ScoreTerm
from salad_plugin.losses import WINDOW, ssim_map
from salad_plugin.networks import Networks


@dataclass(frozen=True)
class MapScale:
    """Mean and deviation of each raw map's pixels on held-out normals."""

    standardiser: Standardiser

    @classmethod
    def of(cls, networks: Networks, config: SaladConfig, held_out: Images, run: RunContext) -> Self:
        """Measure uint8 (n, s, s, c)."""

        def moments(x: Tensor) -> Tensor:
            maps = raw_maps(networks, config, x, run)
            return torch.cat([maps.mean(dim=(2, 3)), maps.square().mean(dim=(2, 3))], dim=1)

        mean, square = np.split(score_in_batches(held_out, run, moments, config.batch_size, "maps").mean(axis=0), 2)
        return cls(Standardiser(mean, np.sqrt(np.maximum(square - mean**2, 1e-12))))

    def fuse(self, maps: Tensor) -> Tensor:
        """Mean of standardised maps (n, m, s, s): float32 (n, s, s), about 0 where normal."""
        mean, std = (
            torch.from_numpy(values).float().to(maps.device).view(1, -1, 1, 1)
            for values in (self.standardiser.mean, self.standardiser.std)
        )
        return ((maps - mean) / std).mean(dim=1)


def raw_maps(networks: Networks, config: SaladConfig, x: Tensor, run: RunContext) -> Tensor:
    """What :func:`raw_maps_once` does, averaged over image and mirror image where training has mirrored images too."""
    if not config.augment:
        return raw_maps_once(networks, config.terms, x, run)
    upright, mirrored = raw_maps_once(networks, config.terms, torch.cat([x, x.flip(3)]), run).chunk(2)
    return (upright + mirrored.flip(3)) / 2


def raw_maps_once(networks: Networks, terms: tuple[ScoreTerm, ...], x: Tensor, run: RunContext) -> Tensor:
    """One map a term that has a place in the image, of images (n, c, s, s): float32 (n, m, s, s), higher is worse.

    ``ssim``: 1 − SSIM around each pixel. ``consistency``: how much the features of x and x̂ differ, mean over scales,
    each divided by its own size. ``pretext``: the probability of having been altered, where the task is ``locate``.
    All three where none of the terms has a place.
    """
    shown = [term for term in terms if term in ("ssim", "consistency") or (term == "pretext" and networks.locate_head)]
    with autocast(run):
        z, features = networks.encoder(x)
        translated = networks.decoder(z)
        again = networks.encoder(translated)[1]
        logits = networks.locate_head(features)[0] if networks.locate_head is not None else None
    maps = []
    if "ssim" in shown or not shown:
        error = 1 - ssim_map(x, translated).mean(dim=1, keepdim=True)
        maps.append(F.pad(error, (WINDOW // 2,) * 4, mode="replicate"))
    if "consistency" in shown or not shown:
        scales = [_inconsistency(a.float(), b.float()) for a, b in zip(features, again, strict=True)]
        maps.append(torch.stack([_enlarge(scale, x) for scale in scales]).mean(dim=0))
    if logits is not None and ("pretext" in shown or not shown):
        maps.append(_enlarge(logits.float().sigmoid()[:, None], x))
    return torch.cat(maps, dim=1)


def _inconsistency(a: Tensor, b: Tensor) -> Tensor:
    """Difference of features (n, c, h, w) relative to their size: (n, 1, h, w)."""
    size = a.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    return (a - b).abs().mean(dim=1, keepdim=True) / size


def _enlarge(maps: Tensor, x: Tensor) -> Tensor:
    return F.interpolate(maps, size=x.shape[2:], mode="bilinear", align_corners=False)
