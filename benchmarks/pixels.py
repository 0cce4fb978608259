"""What pixel metrics cost: AUPRO of 60 maps from raw maps and masks, beside loops over 200 thresholds.

    python benchmarks/pixels.py

All are timed in one run, labelling of lesions included. A loop finds, at each threshold, the overlap of every lesion
and the false-positive rate of all pixels. Many label the lesions anew each time; the second one here does so once. The
last column is the distance from AUPRO with every pixel's value as a threshold.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bench.metrics.pixel_bins import bin_edges, top_bins, tune_values
from bench.metrics.pixel_bounds import binning_error
from bench.metrics.pixel_counts import PixelCounts, count_blocks
from bench.metrics.pixel_intervals import pixel_metrics
from bench.metrics.pixels import pixel_values

IMAGES, TUNE, SIDE, THRESHOLDS, LIMIT, RUNS = 60, 20, 256, 200, 0.3, 5
EIGHT = np.ones((3, 3))
Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]


def draw(number: int, seed: int) -> Maps:
    """Smooth noise, float32 (number, 256, 256), as a network's maps look."""
    noise = np.random.default_rng(seed).normal(size=(number, SIDE, SIDE))
    return np.stack([ndimage.gaussian_filter(one, 3) * 10 for one in noise]).astype(np.float32)


def scene() -> tuple[Maps, Masks, Maps]:
    """Maps and masks of test images, every second one with one to four lesions, and maps of tune images."""
    random = np.random.default_rng(0)
    maps, masks = draw(IMAGES, 1), np.zeros((IMAGES, SIDE, SIDE), np.bool_)
    for mask in masks[::2]:
        for _ in range(random.integers(1, 5)):
            row, column, height, width = random.integers([0, 0, 4, 4], [SIDE - 50, SIDE - 50, 50, 50])
            mask[row : row + height, column : column + width] = True
    maps[masks] += np.float32(1.5)
    return maps, masks, draw(TUNE, 2)


def count(maps: Maps, masks: Masks, tune: Maps) -> PixelCounts:
    """Place the bins, label the lesions and count all pixels."""
    values = tune_values(tune, len(tune))
    edges = bin_edges(values)
    blocks = list(count_blocks(zip(maps, masks, strict=True), edges))
    labels = np.array([mask.any() for mask in masks], np.int8)
    return PixelCounts(edges, SIDE, top_bins(values.highest, edges), ("",) * len(maps), labels, blocks)


def loop(maps: Maps, masks: Masks, thresholds: NDArray[np.float32], anew: bool) -> float:
    """AUPRO, one threshold at a time; ``anew`` labels the lesions at each of them."""
    labelled = [ndimage.label(mask, EIGHT) for mask in masks]
    outside, points = np.count_nonzero(~masks), [(0.0, 0.0)]
    for threshold in thresholds[::-1]:
        overlaps: list[float] = []
        false = 0
        if anew:
            labelled = [ndimage.label(mask, EIGHT) for mask in masks]
        for one, mask, (names, number) in zip(maps, masks, labelled, strict=True):
            above = one >= threshold
            false += int(np.count_nonzero(above & ~mask))
            overlaps += [float(above[names == name].mean()) for name in range(1, number + 1)]
        points.append((false / outside, float(np.mean(overlaps))))
    fpr, pro = np.array(points).T
    inside = fpr <= LIMIT
    rates, overlap = np.append(fpr[inside], LIMIT), np.append(pro[inside], np.interp(LIMIT, fpr, pro))
    return float(np.trapezoid(overlap, rates) / LIMIT)


def every_value(maps: Maps, masks: Masks) -> float:
    """AUPRO with every pixel's value as a threshold, by sorting all pixels at once."""
    weight = np.zeros(maps.shape)
    number = 0
    for row, mask in enumerate(masks):
        names, here = ndimage.label(mask, EIGHT)
        areas = np.bincount(names.ravel())
        weight[row][mask] = 1 / areas[names[mask]]
        number += here
    order = np.argsort(-maps, axis=None)
    last = np.append(np.diff(maps.ravel()[order]) != 0, True)
    fpr = np.append(0, np.cumsum(~masks.ravel()[order])[last]) / np.count_nonzero(~masks)
    pro = np.append(0, np.cumsum(weight.ravel()[order])[last]) / number
    inside = fpr <= LIMIT
    rates, overlap = np.append(fpr[inside], LIMIT), np.append(pro[inside], np.interp(LIMIT, fpr, pro))
    return float(np.trapezoid(overlap, rates) / LIMIT)


def timed(work: Callable[[], float], runs: int = RUNS) -> tuple[float, float]:
    """Median seconds, and the result."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return statistics.median(times), result


def main() -> None:
    """Measure and print."""
    maps, masks, tune = scene()
    even = np.linspace(maps.min(), maps.max(), THRESHOLDS, dtype=np.float32)
    truth = every_value(maps, masks)
    rows = {
        "histograms": timed(lambda: pixel_values(count(maps, masks, tune))["aupro_at_30_fpr"]),
        f"loop over {THRESHOLDS} thresholds": timed(lambda: loop(maps, masks, even, anew=True), 1),
        "loop, labelled once": timed(lambda: loop(maps, masks, even, anew=False), 1),
    }
    print(f"AUPRO of {IMAGES} maps of {SIDE} × {SIDE} from raw maps and masks; of every value {truth:.6f}\n")
    print(f"{'':26}{'seconds':>9}{'AUPRO':>11}{'off by':>11}")
    for name, (seconds, value) in rows.items():
        print(f"{name:26}{seconds:9.3f}{value:11.6f}{abs(value - truth):11.1e}")
    counts = count(maps, masks, tune)
    print(f"\nstated bound of the histograms' error: {binning_error(counts)['aupro_at_30_fpr']:.1e}")
    seconds, _ = timed(lambda: pixel_metrics(counts)["aupro_at_30_fpr"].low, 1)
    print(f"all pixel metrics with intervals from 2,000 resamples: {seconds:.1f} s")


if __name__ == "__main__":
    main()
