"""How well anomaly maps find lesions, computed from histograms (:mod:`bench.metrics.pixel_counts`).

A pixel is called anomalous when its value is at least the threshold; thresholds are the edges of bins. Between edges
nothing is known of the order of pixels, and :mod:`bench.metrics.pixel_bounds` says how much that may matter. Functions
of sums take one row for each resample; a single row of weights one gives the metric itself.

- ``pixel_auroc``, ``pixel_average_precision``: over all pixels of all test images, ties half and step-wise.
- ``aupro_at_30_fpr``: per-region overlap, averaged over lesions, below a false-positive rate of 0.3 over all pixels
  outside masks, divided by 0.3. Source: Bergmann et al., IJCV 2021, "The MVTec anomaly detection dataset", section 5.1.
- ``aupimo``: recall of each image with lesions, averaged over these, over the logarithm of the false-positive rate of
  normal images between 1e-5 and 1e-4. Source: Bertoldo et al., BMVC 2024, "AUPIMO", section 3.
- ``oracle_best_dice``: the highest Dice coefficient of all pixels at any threshold, chosen by the test masks.
- ``lesion_sensitivity_at_95_specificity``: share of lesions with a pixel above the smallest threshold that no pixel of
  at least 95 % of the tune images exceeds; also for lesions below 0.5 %, up to 2 % and above 2 % of the image's area.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.pixel_bins import BINS, threshold_rank
from bench.metrics.pixel_counts import Block, PixelCounts

Floats = NDArray[np.float64]

FPR_LIMIT = 0.3
PIMO_BOUNDS = (1e-5, 1e-4)
LESIONS = "lesion_sensitivity_at_95_specificity"
SIZES = ("small", "medium", "large")
SENSITIVITIES = (LESIONS, *(f"{LESIONS}_{size}" for size in SIZES))
PIXEL_METRICS = (
    "pixel_auroc", "pixel_average_precision", "aupro_at_30_fpr", "aupimo", "oracle_best_dice", *SENSITIVITIES
)  # fmt: skip


@dataclass(frozen=True)
class Sums:
    """What each resample adds up to. All but the last two are (rows, 4096), from the highest bin downwards, cumulative.

    Attributes:
        normal: pixels of normal images.
        outside: pixels outside masks, normal images included.
        inside: pixels inside masks.
        overlap: shares of lesions, summed over lesions; the last is the number of lesions.
        recall: shares of images' lesion pixels, summed over images; the last is the number of images with lesions.
        found: (rows, 4), lesions found at the threshold that tune images set: of any size, small, medium, large.
        lesions: (rows, 4), lesions there are.

    """

    normal: Floats
    outside: Floats
    inside: Floats
    overlap: Floats
    recall: Floats
    found: Floats
    lesions: Floats


def add_up(counts: PixelCounts, weights: NDArray[np.int64], thresholds: NDArray[np.int64]) -> Sums:
    """Sum the histograms of all images, each as often as it was drawn.

    Args:
        counts: of one cell.
        weights: (rows, n), how often each test image was drawn.
        thresholds: (rows,), bins above which a pixel counts as found.

    Raises:
        ValueError: no lesion at all, or no pixel outside lesions.

    """
    normal, outside, inside, overlap, recall = np.zeros((5, len(weights), BINS))
    found, lesions = np.zeros((2, len(weights), 1 + len(SIZES)))
    start = 0
    for block in counts.blocks:
        rows = slice(start, start := start + len(block.lesions))
        drawn, healthy = weights[:, rows].astype(np.float64), counts.labels[rows] == 0
        falling = block.outside[:, ::-1].astype(np.float64)
        normal += drawn[:, healthy] @ falling[healthy]
        outside += drawn[:, ~healthy] @ falling[~healthy]
        sick = np.flatnonzero(block.lesions)
        for total, part in zip((inside, overlap, recall), _lesion_shares(block), strict=True):
            total += drawn[:, sick] @ part[sick]
        _add_lesions(block, counts.side, drawn, thresholds, found, lesions)
    outside += normal
    for total in (normal, outside, inside, overlap, recall):
        np.cumsum(total, axis=1, out=total)
    if not (inside[:, -1].all() and outside[:, -1].all()):
        raise ValueError("pixel metrics need lesions in the masks of test images, and pixels outside them")
    return Sums(normal, outside, inside, overlap, recall, found, lesions)


def _lesion_shares(block: Block) -> tuple[Floats, Floats, Floats]:
    """Histograms (n, 4096), highest bin first, of pixels in lesions, shares of lesions, shares of images' lesions."""
    images, areas = block.lesion_images(), block.areas()
    size = len(block.lesions)
    whole = np.bincount(images, areas, minlength=size)
    lesion = np.repeat(np.arange(len(areas)), block.lengths)
    places = images[lesion] * BINS + (BINS - 1 - block.bins.astype(np.int64))

    def spread(values: Floats) -> Floats:
        filled: Floats = np.bincount(places, values, minlength=size * BINS).astype(np.float64, copy=False)
        return filled.reshape(size, BINS)

    pixels = block.pixels.astype(np.float64)
    return spread(pixels), spread(pixels / areas[lesion]), spread(pixels / whole[images[lesion]])


def lesion_sizes(areas: NDArray[np.int64], side: int) -> NDArray[np.bool_]:
    """Which lesions (l,) count as any size, small, medium and large: bool (l, 4)."""
    small, large = areas * 1000 < 5 * side**2, areas * 100 > 2 * side**2
    return np.column_stack([np.ones(len(areas), np.bool_), small, ~small & ~large, large])


def _add_lesions(
    block: Block, side: int, drawn: Floats, thresholds: NDArray[np.int64], found: Floats, lesions: Floats
) -> None:
    images, tops = block.lesion_images(), block.tops()
    sizes = lesion_sizes(block.areas(), side).astype(np.float64)
    for start in range(0, len(tops), BINS):  # an image of specks may have thousands
        part = slice(start, start + BINS)
        times = drawn[:, images[part]]
        lesions += times @ sizes[part]
        found += (times * (tops[part] > thresholds[:, None])) @ sizes[part]


def tune_threshold(tune_tops: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Smallest bins (…,) that the highest pixels of at least 95 % of tune images (…, m) do not exceed; m ≥ 1."""
    rank = threshold_rank(tune_tops.shape[-1])
    return np.partition(tune_tops, rank, axis=-1)[..., rank].astype(np.int64)


def _auroc(sums: Sums) -> Floats:
    """Trapezoids, so that pixels of one bin count half."""
    tp, fp = sums.inside, sums.outside
    area: Floats = np.einsum("ij,ij->i", fp - before(fp), tp + before(tp)) / (2 * tp[:, -1] * fp[:, -1])
    return area


def _average_precision(sums: Sums) -> Floats:
    tp = sums.inside
    precision = tp / np.maximum(tp + sums.outside, 1)
    mean: Floats = np.einsum("ij,ij->i", tp - before(tp), precision) / tp[:, -1]
    return mean


def _aupro(sums: Sums) -> Floats:
    """Area of the curve cut at the limit, where it is interpolated linearly."""
    width, part, overlap = to_limit(sums)
    start = before(overlap)
    area: Floats = (width * (start + part / 2 * (overlap - start))).sum(axis=1) / FPR_LIMIT
    return area


def to_limit(sums: Sums) -> tuple[Floats, Floats, Floats]:
    """Width of each step of the false-positive rate below the limit, its share of the whole step, and the overlap."""
    fpr = sums.outside / sums.outside[:, -1:]
    whole = np.diff(fpr, prepend=0)
    width = np.clip(FPR_LIMIT - before(fpr), 0, whole)
    part = np.divide(width, whole, out=np.ones_like(whole), where=whole > 0)
    return width, part, sums.overlap / sums.overlap[:, -1:]


def _aupimo(sums: Sums) -> Floats:
    """At each rate, the recall at the lowest threshold whose rate does not exceed it: a step function."""
    recall = before(sums.recall) / sums.recall[:, -1:]
    area: Floats = (recall * decades(sums)).sum(axis=1)
    return area


def decades(sums: Sums) -> Floats:
    """Share of the range of AUPIMO that each step of the false-positive rate of normal images covers."""
    low, high = np.log10(PIMO_BOUNDS)
    rate = np.log10(np.clip(sums.normal / sums.normal[:, -1:], *PIMO_BOUNDS))
    shares: Floats = np.diff(rate, prepend=low) / (high - low)
    return shares


def _dice(sums: Sums) -> Floats:
    tp = sums.inside
    best: Floats = (2 * tp / (tp + sums.outside + tp[:, -1:])).max(axis=1)
    return best


def before(curve: Floats) -> Floats:
    """Shift a curve by one bin: its values at the next higher threshold, from 0."""
    return np.concatenate([np.zeros((len(curve), 1)), curve[:, :-1]], axis=1)


CURVES: dict[str, Callable[[Sums], Floats]] = {
    "pixel_auroc": _auroc,
    "pixel_average_precision": _average_precision,
    "aupro_at_30_fpr": _aupro,
    "aupimo": _aupimo,
    "oracle_best_dice": _dice,
}


def statistics(sums: Sums, without: Container[str] = ()) -> dict[str, Floats]:
    """Every metric but those to be left out, float64 (rows,); NaN where a resample has no lesion of a size."""
    found = {name: compute(sums) for name, compute in CURVES.items() if name not in without}
    shares = np.divide(sums.found, sums.lesions, out=np.full_like(sums.found, np.nan), where=sums.lesions > 0)
    return found | {name: shares[:, place] for place, name in enumerate(SENSITIVITIES) if name not in without}


def totals(counts: PixelCounts) -> Sums:
    """Sums (1, …) of all images, each once."""
    everyone = np.ones((1, len(counts.labels)), np.int64)
    known = len(counts.tune_tops) > 0
    return add_up(counts, everyone, tune_threshold(counts.tune_tops[None]) if known else np.zeros(1, np.int64))


def left_out(sums: Sums, counts: PixelCounts) -> dict[str, str]:
    """Name the metrics that these images cannot give, each with the reason."""
    reasons = {}
    needed, there = round(1 / PIMO_BOUNDS[0]), int(sums.normal[0, -1])
    if there < needed:
        rate = f"a false-positive rate of {PIMO_BOUNDS[0]:g}"
        reasons["aupimo"] = f"{rate} needs {needed:,} pixels of normal test images, and there are {there:,}"
    if not len(counts.tune_tops):
        return reasons | dict.fromkeys(SENSITIVITIES, "a threshold needs tune images, and there is none")
    absent = [name for name, number in zip(SENSITIVITIES, sums.lesions[0], strict=True) if not number]
    return reasons | dict.fromkeys(absent, "no lesion is of that size")


def pixel_values(counts: PixelCounts) -> dict[str, float]:
    """Compute every pixel metric that these images can give, without intervals.

    Raises:
        ValueError: no lesion at all, or no pixel outside lesions.

    """
    sums = totals(counts)
    return {name: float(found[0]) for name, found in statistics(sums, left_out(sums, counts)).items()}


def omitted(counts: PixelCounts) -> dict[str, str]:
    """Name the metrics that :func:`pixel_values` leaves out, each with the reason.

    Raises:
        ValueError: no lesion at all, or no pixel outside lesions.

    """
    return left_out(totals(counts), counts)
