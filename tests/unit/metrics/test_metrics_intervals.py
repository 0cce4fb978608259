from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import few, gaussian, many, rankings, sample, students_t
from scipy.special import expit, logit
from scipy.stats import binomtest, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.metrics import (
    IMAGE_METRICS,
    Interval,
    auroc,
    auroc_interval,
    auroc_over_seeds,
    delong,
    measure,
    measure_other,
    over_seeds,
    values,
)
from bench.metrics.bootstrap import resampled_auroc, resampled_metric
from bench.metrics.intervals import bootstrap_interval

RESAMPLES = 300
PUBLISHED = (0.5459364632634675, 0.38861194072095157, 0.7204698588374138)


def interval(name, labels, scores, **options):
    """One built-in metric of one or several seeds, with its interval."""
    given = sample(labels, scores)
    return measure(given, {name: IMAGE_METRICS[name]}, **{"resamples": RESAMPLES, **options})[name]


area = partial(interval, "auroc")
precision = partial(interval, "average_precision")
sensitivity = partial(interval, "sensitivity_at_95_specificity")
RANKING = {name: metric for name, metric in IMAGE_METRICS.items() if metric.statistic}


@many
@given(rankings(smallest=2), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_auroc_interval_is_delongs_on_the_logit_scale(ranking, level):
    labels, scores = ranking
    area = roc_auc_score(labels, scores[0])
    found = auroc_interval(labels, scores[0], level)
    assert found.value == pytest.approx(area, abs=1e-12)
    variance = delong(labels, scores)[1].item()
    if variance > 1e-9:
        half = norm.ppf((1 + level) / 2) * np.sqrt(variance) / (area * (1 - area))
        assert found.low == pytest.approx(expit(logit(area) - half), abs=1e-9)
        assert found.high == pytest.approx(expit(logit(area) + half), abs=1e-9)
        assert found.method == "DeLong, logit"
    else:
        assert found.method != "DeLong, logit"


def test_logit_interval_worked_by_hand():
    # AUROC 3/4 and variance 1/8 (see the DeLong tests): logit ln 3, standard error sqrt(1/8) / (3/16) = 1.885618.
    found = auroc_interval([1, 0, 1, 0], [3.0, 2.0, 1.0, 0.0])
    assert found.low == pytest.approx(1 / (1 + np.exp(1.959964 * 1.885618) / 3), abs=1e-6)
    assert found.high == pytest.approx(1 / (1 + np.exp(-1.959964 * 1.885618) / 3), abs=1e-6)


@many
@given(rankings(smallest=2))
def test_auroc_interval_mirrors_with_the_scores(ranking):
    labels, (scores,) = ranking
    found, mirrored = auroc_interval(labels, scores), auroc_interval(labels, -scores)
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
        (1 - found.value, 1 - found.high, 1 - found.low), abs=1e-9
    )
    assert mirrored.method == found.method


def test_auroc_interval_covers_the_truth_about_as_often_as_it_says():
    # d' of sqrt(2) * 1.163 and unit-normal classes: AUROC = Phi(1.163), high enough for a plain Wald interval to fail.
    random, labels, truth = np.random.default_rng(0), np.repeat([1, 0], [30, 50]), norm.cdf(1.163)
    runs = [random.normal(size=80) + np.sqrt(2) * 1.163 * labels for _ in range(1000)]
    covered = [low <= truth <= high for _, low, high, _ in (auroc_interval(labels, scores) for scores in runs)]
    assert 0.93 < np.mean(covered) < 0.975


@pytest.mark.parametrize(("anomalous", "normal"), [(7, 20), (20, 7), (1, 9), (300, 300)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_perfect_separation_is_clopper_pearson_on_the_smaller_class(anomalous, normal, level):
    smaller = min(anomalous, normal)
    exact = binomtest(smaller, smaller).proportion_ci(level, method="exact")
    labels = np.repeat([1, 0], [anomalous, normal])
    scores = np.linspace(1, 0, anomalous + normal)
    for of in (area, precision, sensitivity):
        found = of(labels, scores, level=level)
        assert (found.value, found.high, found.method) == (1.0, 1.0, "Clopper-Pearson on the smaller class")
        assert found.low == pytest.approx(exact.low, abs=1e-12)
    for of in (area, sensitivity):
        found = of(labels, -scores, level=level)
        assert (found.value, found.low, found.method) == (0.0, 0.0, "Clopper-Pearson on the smaller class")
        assert found.high == pytest.approx(1 - exact.low, abs=1e-12)


def test_perfect_separation_of_patients_counts_patients():
    labels, clusters = np.repeat([1, 0], [30, 60]), np.arange(90) // 3
    found = auroc_over_seeds(sample(labels, np.linspace(1, 0, 90), clusters=clusters))
    assert found.low == pytest.approx(0.025 ** (1 / 10))


def test_at_the_edge_the_wider_of_clopper_pearson_and_bootstrap_is_taken():
    # One of 20 normal images outscores half of the 200 anomalous ones; drawn twice, it costs their sensitivity.
    labels = np.repeat([1, 0], [200, 20])
    scores = np.concatenate([np.full(100, 3.0), np.full(100, 1.0), [2.0], np.zeros(19)])
    found = sensitivity(labels, scores)
    assert found.value == 1.0 and found.high == 1.0
    assert 0.4 < found.low < 0.6 < 0.025 ** (1 / 20)


@pytest.mark.parametrize(("of", "value"), [(area, 0.5), (precision, 0.4), (sensitivity, 0)])
def test_constant_scores_rank_nothing_and_say_so(of, value):
    assert of([1, 0, 0, 1, 0], np.full(5, 3.0)) == (value, value, value, "no ranking: constant scores")


def test_a_class_of_one_image_or_patient_leaves_everything_open():
    labels, scores = [1] + [0] * 10, [5.0, *range(6), *range(4, 8)]
    for of in (area, precision):
        assert of(labels, scores)[1:] == (0.0, 1.0, "unknown: a class of one image")
    assert sensitivity(labels, scores) == (0.0, 0.0, 0.975, "Clopper-Pearson on the smaller class")
    one = sample([1, 1, 0, 0, 0], [1.0, 3.0, 2.0, 0.0, 1.5], clusters=np.array([1, 1, 2, 3, 4]))
    assert auroc_over_seeds(one)[1:] == (0.0, 1.0, "unknown: a class of one patient")


@few
@given(rankings(seeds=3), st.integers(1, 3), st.booleans())
def test_every_interval_holds_its_value_and_stays_within_0_and_1(ranking, seeds, patients):
    labels, scores = ranking
    clusters = np.arange(len(labels)) // 2 if patients else None
    given = sample(labels, scores[:seeds], clusters=clusters)
    points = values(given)
    for name, found in measure(given, RANKING, resamples=50).items():
        assert 0 <= found.low <= found.value <= found.high <= 1, name
        assert found.value == pytest.approx(points[name].mean(), abs=1e-12)
    assert points["auroc"].tolist() == [auroc(labels, one) for one in scores[:seeds]]


def test_bootstrap_interval_is_made_of_percentiles():
    labels, (scores,) = gaussian(40, 60, 1.0)
    found = []

    def compute(labels, scores, tune):
        found.append(average_precision_score(labels, scores))
        return found[-1]

    interval_ = measure_other(compute, sample(labels, scores), level=0.9, resamples=300)
    assert len(found) == 301
    assert interval_ == (found[0], *np.percentile(found[1:], [5, 95]), "percentile bootstrap by image, 300 resamples")
    built_in = precision(labels, scores, level=0.9)
    assert built_in[:3] == pytest.approx(interval_[:3])
    assert built_in.method == f"{interval_.method}, may be too narrow"
    labels, scores = gaussian(300, 300, 1.0)
    assert precision(labels, scores).method == interval_.method


def test_bootstrap_interval_is_stretched_to_a_value_that_the_percentiles_miss():
    labels, (scores,) = gaussian(10, 10, 1.0)

    def doubles(labels, scores, tune):
        return float(len(scores) - len(np.unique(scores)))  # none in the sample itself, some in every resample

    found = measure_other(doubles, sample(labels, scores), resamples=100)
    assert found.value == found.low == 0.0 < found.high


@pytest.mark.parametrize("patients", [False, True])
def test_bootstrap_agrees_with_the_closed_form(patients):
    labels, (scores,) = gaussian(300, 300, 1.0)
    given = sample(np.repeat(labels, 2), np.repeat(scores, 2) + np.tile([0, 0.3], 600),
                   clusters=np.repeat(np.arange(600), 2) if patients else None)  # fmt: skip
    closed = auroc_over_seeds(given)
    assert np.percentile(resampled_auroc(given, 2000, 0), [2.5, 97.5]) == pytest.approx(closed[1:3], abs=0.004)
    assert closed.method.startswith("Obuchowski" if patients else "DeLong")


def test_published_intervals_do_not_move():
    image = np.arange(60)
    labels = (image % 3 == 0).astype(np.int8)
    scores = 37.0 * image * image % 101 + 20 * labels
    found = measure(sample(labels, scores))
    assert found["average_precision"][:3] == pytest.approx(PUBLISHED, abs=1e-12)
    assert found["auroc"][:3] == pytest.approx((0.635, 0.4740717451890379, 0.7705220675544577), abs=1e-12)


@many
@given(rankings(seeds=3, smallest=2))
def test_auroc_over_seeds_adds_both_variances(ranking):
    labels, scores = ranking
    areas, covariance = delong(labels, scores)
    images, seeds, mean = max(covariance.mean(), 0), np.var(areas, ddof=1) / 3, areas.mean()
    found = auroc_over_seeds(sample(labels, scores))
    assert found.value == pytest.approx(mean, abs=1e-12)
    if images + seeds > 1e-9 and 0 < mean < 1:
        quantile = students_t(0.95, images, seeds, 3) if seeds else norm.ppf(0.975)
        half = quantile * np.sqrt(images + seeds) / (mean * (1 - mean))
        expected = (expit(logit(mean) - half), expit(logit(mean) + half))
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-7)
        assert found.method == "DeLong and seed variance, logit"


def test_a_seed_repeated_adds_nothing():
    labels, scores = gaussian(40, 60, 1.0)
    for of in (area, precision, sensitivity):
        assert of(labels, np.repeat(scores, 3, axis=0))[:3] == pytest.approx(of(labels, scores)[:3], abs=1e-12)


@many
@given(rankings(smallest=2, largest=6))
def test_seeds_that_cancel_leave_a_mean_without_variance(ranking):
    labels, (scores,) = ranking
    anomalous, normal = scores[labels == 1], scores[labels == 0]
    # Each anomalous score meets each anomalous image equally often, and so for the normal ones.
    seeds = [
        np.concatenate([np.roll(anomalous, i), np.roll(normal, j)])
        for i in range(len(anomalous))
        for j in range(len(normal))
    ]
    found = area(np.repeat([1, 0], [len(anomalous), len(normal)]), np.stack(seeds))
    if 0 < found.value < 1:
        assert found[:3] == pytest.approx((auroc(labels, scores),) * 3, abs=1e-6)
    assert found.low <= found.value <= found.high


def test_widening_for_seeds_stops_at_0_and_1():
    labels = np.repeat([1, 0], [10, 10])
    almost = np.arange(20.0, 0, -1)
    almost[[9, 10]] = almost[[10, 9]]
    assert precision(labels, np.stack([almost, almost, -almost])).high == 1.0
    found = sensitivity(labels, np.stack([almost, -almost, -almost]))
    assert found.low == 0.0
    assert "widened by seed variance" in found.method


def test_average_precision_over_seeds_resamples_the_mean_and_widens_it():
    labels, scores = gaussian(40, 60, 1.0, seeds=3)
    means = resampled_metric(lambda a, b, c: average_precision_score(a, b), sample(labels, scores), 300, 0)
    points = [average_precision_score(labels, one) for one in scores]
    images, seeds = np.var(means, ddof=1), np.var(points, ddof=1) / 3
    stretch = students_t(0.95, images, seeds, 3) / norm.ppf(0.975)
    factor = stretch * np.sqrt((images + seeds) / images)
    value, (low, high) = np.mean(points), np.percentile(means, [2.5, 97.5])
    found = precision(labels, scores)
    assert factor > 1.005
    expected = (value, value - factor * (value - low), value + factor * (high - value))
    assert found[:3] == pytest.approx(expected, abs=1e-9)
    name = "percentile bootstrap by image, 300 resamples, widened by seed variance, may be too narrow"
    assert found.method == name


def test_seeds_that_differ_on_images_that_do_not_are_widened_by_students_t():
    labels = np.repeat([1, 0], [100, 100])
    perfect = np.linspace(1, 0, 200)
    found = precision(labels, np.stack([perfect, np.zeros(200), perfect, perfect]))
    half = students_t(0.95, 0.0, 1.0, 4) * np.std([1, 0.5, 1, 1], ddof=1) / 2
    assert found == (0.875, pytest.approx(0.875 - half), 1.0, "seed variance")


def test_many_seeds_at_the_edge_or_constant_are_treated_as_one():
    labels, perfect = np.repeat([1, 0], [5, 8]), np.linspace(1, 0, 13)
    for of in (area, precision, sensitivity):
        found = of(labels, np.stack([perfect, perfect**2]))
        assert found == (1.0, pytest.approx(0.025 ** (1 / 5)), 1.0, "Clopper-Pearson on the smaller class")
        found = of(labels, np.stack([np.zeros(13), np.ones(13)]))
        assert found.low == found.value == found.high
        assert found.method == "no ranking: constant scores"


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, float("nan")])
def test_a_level_outside_its_range_is_refused(level):
    labels, (scores,) = gaussian(5, 5, 1.0)
    for of in (area, precision, sensitivity):
        with pytest.raises(ValueError, match="confidence level"):
            of(labels, scores, level=level)


def test_a_bootstrap_of_one_resample_is_refused():
    labels, (scores,) = gaussian(5, 5, 1.0)
    with pytest.raises(ValueError, match="at least 2 resamples"):
        precision(labels, scores, resamples=1)


def test_a_metric_that_is_not_finite_is_refused():
    given = sample(*gaussian(5, 5, 1.0))
    with pytest.raises(ValueError, match="not finite"):
        measure_other(lambda labels, scores, tune: float("nan"), given, resamples=5)
    with pytest.raises(ValueError, match="on a resample"):
        bootstrap_interval(np.array([1.0]), np.array([1.0, np.inf]), given, share=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_cannot_be_ranked_is_refused(bad):
    with pytest.raises(ValueError, match="not finite"):
        auroc_interval([0, 1], [0.0, bad])
    with pytest.raises(ValueError, match="both classes"):
        auroc_interval([1, 1], [0.0, 1.0])
    with pytest.raises(ValueError, match=r"must be \(n,\)"):
        auroc_interval([1, 0], [[0.0, 1.0]])


def test_patients_of_both_classes_whose_sums_cancel_are_no_certainty():
    few = sample([0, 1, 0, 1], [2.0, 3.0, 0.0, 1.0], clusters=np.array([0, 0, 1, 1]))
    assert auroc_over_seeds(few) == (0.75, 0.0, 1.0, "unknown: too few patients")


def test_joined_seeds_stay_within_0_and_1():
    given = [Interval(0.99, 0.95, 0.999, "m"), Interval(0.999, 0.96, 1.0, "m"), Interval(0.93, 0.9, 0.96, "m")]
    found = over_seeds(given)
    assert 0 <= found.low < found.value < found.high == 1.0
    assert over_seeds(given[:1]) == given[0]
