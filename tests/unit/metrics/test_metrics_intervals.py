from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import few, gaussian, many, rankings
from scipy.special import expit, logit
from scipy.stats import binomtest, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.metrics import (
    auroc,
    auroc_interval,
    auroc_over_seeds,
    average_precision,
    average_precision_interval,
    average_precision_over_seeds,
    bootstrap_interval,
    delong,
    sensitivity_at_specificity,
    sensitivity_interval,
    sensitivity_over_seeds,
)
from bench.metrics.bootstrap import draws

sensitivity_95 = partial(sensitivity_interval, specificity=0.95)
sensitivities_95 = partial(sensitivity_over_seeds, specificity=0.95)


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
    for interval in (auroc_interval, average_precision_interval, sensitivity_95):
        found = interval(labels, scores, level=level)
        assert (found.value, found.high, found.method) == (1.0, 1.0, "Clopper-Pearson on the smaller class")
        assert found.low == pytest.approx(exact.low, abs=1e-12)
    for interval in (auroc_interval, sensitivity_95):
        found = interval(labels, -scores, level=level)
        assert (found.value, found.low, found.method) == (0.0, 0.0, "Clopper-Pearson on the smaller class")
        assert found.high == pytest.approx(1 - exact.low, abs=1e-12)


def test_at_the_edge_the_wider_of_clopper_pearson_and_bootstrap_is_taken():
    # One of 20 normal images outscores half of the 200 anomalous ones; drawn twice, it costs their sensitivity.
    labels = np.repeat([1, 0], [200, 20])
    scores = np.concatenate([np.full(100, 3.0), np.full(100, 1.0), [2.0], np.zeros(19)])
    found = sensitivity_interval(labels, scores, 0.95)
    assert found.value == 1.0 and found.high == 1.0
    assert 0.4 < found.low < 0.6 < 0.025 ** (1 / 20)


@pytest.mark.parametrize(
    ("interval", "value"), [(auroc_interval, 0.5), (average_precision_interval, 0.4), (sensitivity_95, 0)]
)
def test_constant_scores_rank_nothing_and_say_so(interval, value):
    found = interval([1, 0, 0, 1, 0], np.full(5, 3.0))
    assert found == (value, value, value, "no ranking: constant scores")


@pytest.mark.parametrize("interval", [auroc_interval, average_precision_interval, sensitivity_95])
def test_a_class_of_one_image_leaves_everything_open(interval):
    # The anomalous image ties with the highest of ten normal ones except for the sensitivity, which is 0 or 1 then.
    found = interval([1] + [0] * 10, [5.0, *range(6), *range(4, 8)])
    if interval is sensitivity_95:
        assert found == (0.0, 0.0, 0.975, "Clopper-Pearson on the smaller class")
    else:
        assert 0 < found.value < 1
        assert found[1:] == (0.0, 1.0, "unknown: a class of one image")


@few
@given(rankings())
def test_every_interval_holds_its_value_and_stays_within_0_and_1(ranking):
    labels, (scores,) = ranking
    for interval in (auroc_interval, average_precision_interval, sensitivity_95):
        found = interval(labels, scores)
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert auroc_interval(labels, scores).value == auroc(labels, scores)
    assert average_precision_interval(labels, scores).value == average_precision(labels, scores)
    assert sensitivity_95(labels, scores).value == sensitivity_at_specificity(labels, scores, 0.95)


@few
@given(rankings(seeds=3))
def test_every_interval_over_seeds_holds_its_value_and_stays_within_0_and_1(ranking):
    labels, scores = ranking
    for interval in (auroc_over_seeds, average_precision_over_seeds, sensitivities_95):
        found = interval(labels, scores)
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert auroc_over_seeds(labels, scores).value == pytest.approx(np.mean([auroc(labels, one) for one in scores]))


def test_fast_intervals_are_the_generic_bootstrap():
    labels, (scores,) = gaussian(40, 60, 1.0)
    found = average_precision_interval(labels, scores, resamples=200, seed=5)
    generic = bootstrap_interval(average_precision, labels, scores, resamples=200, seed=5)
    assert found[:3] == pytest.approx(generic[:3], abs=1e-12)
    assert found.method == generic.method == "stratified percentile bootstrap, 200 resamples"

    metric = partial(sensitivity_at_specificity, specificity=0.9)
    found = sensitivity_interval(labels, scores, 0.9, level=0.8, resamples=200)
    assert found == bootstrap_interval(metric, labels, scores, level=0.8, resamples=200)


def test_bootstrap_interval_is_made_of_percentiles():
    labels, (scores,) = gaussian(40, 60, 1.0)
    values = []

    def compute(labels, scores):
        values.append(average_precision_score(labels, scores))
        return values[-1]

    found = bootstrap_interval(compute, labels, scores, level=0.9, resamples=300)
    assert len(values) == 301
    assert found == (values[0], *np.percentile(values[1:], [5, 95]), "stratified percentile bootstrap, 300 resamples")


def test_bootstrap_interval_is_stretched_to_a_value_that_the_percentiles_miss():
    labels, (scores,) = gaussian(10, 10, 1.0)

    def doubles(labels, scores):
        return float(len(scores) - len(np.unique(scores)))  # none in the sample itself, some in every resample

    found = bootstrap_interval(doubles, labels, scores, resamples=100)
    assert found.value == found.low == 0.0 < found.high


def test_bootstrap_agrees_with_delong_where_both_apply():
    labels, (scores,) = gaussian(300, 300, 1.0)
    analytic = auroc_interval(labels, scores)
    assert bootstrap_interval(auroc, labels, scores, resamples=1000)[1:3] == pytest.approx(analytic[1:3], abs=0.005)


def test_published_intervals_do_not_move():
    image = np.arange(60)
    labels = (image % 3 == 0).astype(np.int8)
    scores = 37.0 * image * image % 101 + 20 * labels
    found = average_precision_interval(labels, scores)
    assert found[:3] == pytest.approx((0.5459364632634675, 0.4021774476579295, 0.7084199397840993), abs=1e-12)
    found = auroc_interval(labels, scores)
    assert found[:3] == pytest.approx((0.635, 0.4740717451890379, 0.7705220675544577), abs=1e-12)


@few
@given(rankings())
def test_one_seed_is_the_plain_interval(ranking):
    labels, scores = ranking
    assert auroc_over_seeds(labels, scores) == auroc_interval(labels, scores[0])
    assert average_precision_over_seeds(labels, scores) == average_precision_interval(labels, scores[0])
    assert sensitivities_95(labels, scores) == sensitivity_95(labels, scores[0])


@many
@given(rankings(seeds=3, smallest=2))
def test_auroc_over_seeds_adds_both_variances(ranking):
    labels, scores = ranking
    areas, covariance = delong(labels, scores)
    variance, area = covariance.mean() + np.std(areas, ddof=1) ** 2 / 3, areas.mean()
    found = auroc_over_seeds(labels, scores)
    assert found.value == pytest.approx(area, abs=1e-12)
    if variance > 1e-9:
        half = norm.ppf(0.975) * np.sqrt(variance) / (area * (1 - area))
        expected = (expit(logit(area) - half), expit(logit(area) + half))
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
        assert found.method == "DeLong and seed variance, logit"


def test_a_seed_repeated_adds_nothing():
    labels, scores = gaussian(40, 60, 1.0)
    thrice = np.repeat(scores, 3, axis=0)
    for several, single in (
        (auroc_over_seeds, auroc_interval),
        (average_precision_over_seeds, average_precision_interval),
        (sensitivities_95, sensitivity_95),
    ):
        assert several(labels, thrice)[:3] == pytest.approx(single(labels, scores[0])[:3], abs=1e-12)


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
    found = auroc_over_seeds(np.repeat([1, 0], [len(anomalous), len(normal)]), np.stack(seeds))
    if 0 < found.value < 1:
        assert found[:3] == pytest.approx((auroc(labels, scores),) * 3, abs=1e-6)
    assert found.low <= found.value <= found.high


def test_widening_for_seeds_stops_at_0_and_1():
    labels = np.repeat([1, 0], [10, 10])
    almost = np.arange(20.0, 0, -1)
    almost[[9, 10]] = almost[[10, 9]]
    found = average_precision_over_seeds(labels, np.stack([almost, almost, -almost]))
    assert found.high == 1.0 and 0 < found.low < found.value
    found = sensitivities_95(labels, np.stack([almost, -almost, -almost]))
    assert found.low == 0.0 and found.value < found.high < 1
    assert found.method.endswith("widened by seed variance")


def test_average_precision_over_seeds_resamples_the_mean_and_widens_it():
    labels, scores = gaussian(40, 60, 1.0, seeds=3)
    anomalous, normal = scores[:, labels == 1], scores[:, labels == 0]
    means = []
    for hits, misses in draws(labels == 1, 300, 0):
        for h, m in zip(hits, misses, strict=True):
            again = np.concatenate([anomalous[:, h], normal[:, m]], axis=1)
            means.append(np.mean([average_precision_score(labels, one) for one in again]))
    points = [average_precision_score(labels, one) for one in scores]
    variance = np.var(means, ddof=1)
    factor = np.sqrt((variance + np.var(points, ddof=1) / 3) / variance)
    value, (low, high) = np.mean(points), np.percentile(means, [2.5, 97.5])
    found = average_precision_over_seeds(labels, scores, resamples=300)
    assert factor > 1.005
    assert found[:3] == pytest.approx(
        (value, value - factor * (value - low), value + factor * (high - value)), abs=1e-9
    )
    assert found.method == "stratified percentile bootstrap, 300 resamples, widened by seed variance"


def test_seeds_that_differ_on_images_that_do_not_are_widened_by_the_normal_quantile():
    labels = np.repeat([1, 0], [100, 100])
    perfect = np.linspace(1, 0, 200)
    found = average_precision_over_seeds(labels, np.stack([perfect, np.zeros(200), perfect, perfect]))
    half = norm.ppf(0.975) * np.std([1, 0.5, 1, 1], ddof=1) / 2
    assert found == (0.875, pytest.approx(0.875 - half), 1.0, "seed variance, normal")


def test_many_seeds_at_the_edge_or_constant_are_treated_as_one():
    labels, perfect = np.repeat([1, 0], [5, 8]), np.linspace(1, 0, 13)
    for several in (auroc_over_seeds, average_precision_over_seeds, sensitivities_95):
        found = several(labels, np.stack([perfect, perfect**2]))
        assert found == (1.0, pytest.approx(0.025 ** (1 / 5)), 1.0, "Clopper-Pearson on the smaller class")
        found = several(labels, np.stack([np.zeros(13), np.ones(13)]))
        assert found.low == found.value == found.high
        assert found.method == "no ranking: constant scores"


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, float("nan")])
def test_a_level_outside_its_range_is_refused(level):
    labels, (scores,) = gaussian(5, 5, 1.0)
    for interval in (auroc_interval, average_precision_interval, sensitivity_95, partial(bootstrap_interval, auroc)):
        with pytest.raises(ValueError, match="confidence level"):
            interval(labels, scores, level=level)


def test_a_bootstrap_of_one_resample_is_refused():
    labels, (scores,) = gaussian(5, 5, 1.0)
    for interval in (average_precision_interval, sensitivity_95, partial(bootstrap_interval, auroc)):
        with pytest.raises(ValueError, match="at least 2 resamples"):
            interval(labels, scores, resamples=1)


def test_a_metric_that_is_not_finite_is_refused():
    labels, (scores,) = gaussian(5, 5, 1.0)
    with pytest.raises(ValueError, match="not finite on these scores"):
        bootstrap_interval(lambda labels, scores: float("nan"), labels, scores, resamples=5)
    with pytest.raises(ValueError, match="on a resample"):
        bootstrap_interval(
            lambda labels, scores: 1.0 if len(np.unique(scores)) == 10 else float("inf"), labels, scores, resamples=5
        )


@pytest.mark.parametrize("interval", [auroc_interval, average_precision_interval, sensitivity_95])
def test_what_cannot_be_ranked_is_refused(interval):
    with pytest.raises(ValueError, match="not finite"):
        interval([0, 1], [0.0, np.nan])
    with pytest.raises(ValueError, match="both classes"):
        interval([1, 1], [0.0, 1.0])
