"""What pictures are made of: numbers from the scores of one row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.metrics.bootstrap import resampled
from bench.metrics.ranking import Counts
from bench.report.roc import GRID, mean_curve
from bench.report.rows import Row
from bench.results.scores import Scores
from bench.site.facts import Bars, Curve, Point

Floats = NDArray[np.float64]
BAND_GRID = np.linspace(0.0, 1.0, 101)
RESAMPLES = 200
BINS = np.linspace(-2.0, 6.0, 41)
PLACES = 10_000


def curve_of(row: Row) -> Curve:
    """The mean ROC curve of a row, and a pointwise 95 % band from a bootstrap by patient (else by image)."""
    mean = mean_curve(row)
    steps = np.flatnonzero(np.diff(mean, prepend=-1.0, append=2.0)[:-1])
    steps = np.unique(np.append(steps, len(GRID) - 1))
    drawn = resampled(row.sample, {"tpr": _rates}, {}, RESAMPLES, seed=0)["tpr"]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return Curve(
        fpr=_short(GRID[steps]), tpr=_short(mean[steps]), low=_short(np.minimum(low, mean[::5])),
        high=_short(np.maximum(high, mean[::5])),
    )  # fmt: skip


def _rates(tp: Counts, fp: Counts) -> Floats:
    """True-positive rates at :data:`BAND_GRID`, (resamples, 101): the highest that each false-positive rate allows."""
    hits, alarms = np.asarray(tp, np.int64), np.asarray(fp, np.int64)
    allowed = np.floor(BAND_GRID * alarms[:, -1:] + 1e-9).astype(np.int64)
    # All resamples are looked up at once: each is lifted above the one before it.
    lift = np.arange(len(alarms))[:, None] * (int(alarms[:, -1].max()) + 1)
    last = np.searchsorted((alarms + lift).ravel(), (allowed + lift).ravel(), side="right").reshape(allowed.shape)
    last -= np.arange(len(alarms))[:, None] * alarms.shape[1]
    padded = np.concatenate([np.zeros((len(hits), 1), np.int64), hits], axis=1)
    rates: Floats = np.take_along_axis(padded, last, axis=1) / hits[:, -1:]
    return rates


def spark_of(row: Row) -> tuple[float, ...]:
    """True-positive rate at each twentieth of the false-positive rate, (21,)."""
    return _short(mean_curve(row)[::25])


def points_of(row: Row) -> tuple[Point, ...]:
    """Where thresholds from held-out normals come to lie."""
    found = []
    for promise in (95, 99):
        fpr = row.values.get(f"false_alarm_rate_at_{promise}_specificity")
        tpr = row.values.get(f"tune_sensitivity_at_{promise}_specificity")
        if fpr is not None and tpr is not None:
            found.append(Point(promise=promise, fpr=fpr, tpr=tpr))
    return tuple(found)


def bars_of(row: Row) -> tuple[Bars, ...]:
    """Spread of scores, on a scale that detectors share: 0 is the median held-out normal, 1 the 95 % threshold.

    Where there are no held-out normals, healthy test images stand for them. What lies outside is in the outermost bins.
    """
    first = row.cells[0]
    sick = sorted(set(first.categories[first.labels == 1].tolist()))
    chosen = {"healthy": first.labels == 0, **{name: (first.labels == 1) & (first.categories == name) for name in sick}}
    found = {name: np.zeros(len(BINS) - 1) for name in ("held-out normal", *chosen)}
    for cell in row.cells:
        test, tune = _scaled(cell)
        found["held-out normal"] += _shares(tune)
        for name, which in chosen.items():
            found[name] += _shares(test[which])
    return tuple(Bars(name=name, shares=_short(of / len(row.cells))) for name, of in found.items() if of.any())


def _scaled(cell: Scores) -> tuple[Floats, Floats]:
    reference = cell.tune if len(cell.tune) else cell.scores[cell.labels == 0]
    centre, threshold = np.quantile(reference, (0.5, 0.95))
    unit = threshold - centre
    if not unit > 0 or not np.isfinite(unit):  # scores that hardly differ
        unit = 1.0
    with np.errstate(over="ignore"):
        return (cell.scores - centre) / unit, (cell.tune - centre) / unit


def _shares(values: Floats) -> Floats:
    counts, _ = np.histogram(np.clip(values, BINS[0], BINS[-1]), BINS)
    return counts / max(len(values), 1)


def places_of(row: Row) -> tuple[int, ...]:
    """Each test image's place by score, 0 to 10,000, mean over the seeds; ties share theirs."""
    mean = np.mean([_ranks(cell.scores) for cell in row.cells], axis=0) / max(len(row.cells[0].scores) - 1, 1)
    return tuple(int(place) for place in np.rint(mean * PLACES))


def _ranks(scores: Floats) -> Floats:
    """Ranks from 0; ties have their mean. (scipy has this too, at the price of half a second for its import.)"""
    _, level, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle: Floats = np.cumsum(counts) - (counts + 1) / 2
    return middle[level]


def _short(values: Floats) -> tuple[float, ...]:
    """Four digits: pictures show no more, and files stay small."""
    return tuple(float(value) for value in values.round(4))
