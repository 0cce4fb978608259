"""Paired comparisons, ranks as ranges, and ranks across tasks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import few, gaussian, many, rankings, sample, students_t
from scipy import stats

from bench.metrics import delong
from bench.metrics.across import across_tasks
from bench.metrics.paired import Joint, compare, holm, ranks


@few
@given(rankings(seeds=2, smallest=2))
def test_one_seed_is_the_paired_test_of_delong(ranking):
    labels, (one, other) = ranking
    areas, covariance = delong(labels, [one, other])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    found = compare(sample(labels, one), sample(labels, other))
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-12)
    if variance > 1e-12:
        error = np.sqrt(variance)
        assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.value) / error), abs=1e-9)
        assert found.low == pytest.approx(max(found.value - 1.959963985 * error, -1), abs=1e-8)
        assert found.high == pytest.approx(min(found.value + 1.959963985 * error, 1), abs=1e-8)
        assert found.smallest == pytest.approx((1.959963985 + 0.841621234) * error, abs=1e-8)
        assert found.method == "paired DeLong"


@few
@given(rankings(seeds=6, smallest=3), st.booleans())
def test_swapping_the_two_mirrors_everything(ranking, patients):
    labels, scores = ranking
    clusters = np.where(labels == 1, 1, -1) * (np.arange(len(labels)) // 2 + 1) if patients else None
    try:
        first, second = (sample(labels, part, clusters=clusters) for part in (scores[:3], scores[3:]))
        one, other = compare(first, second), compare(second, first)
    except ValueError as error:
        assert "two patients of each class" in str(error)
        return
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low), abs=1e-9)
    assert (other.p, other.smallest) == pytest.approx((one.p, one.smallest), abs=1e-9)
    assert one.low <= one.value <= one.high and 0 <= one.p <= 1


def test_seeds_add_their_variance_with_students_t():
    labels, scores = gaussian(80, 90, 1.0, seeds=6)
    first, second = sample(labels, scores[:3]), sample(labels, scores[3:])
    areas, covariance = delong(labels, scores)
    weights = np.array([1, 1, 1, -1, -1, -1]) / 3
    images, seeds = weights @ covariance @ weights, np.var(areas[:3] - areas[3:], ddof=1) / 3
    found = compare(first, second)
    half = students_t(0.95, images, seeds, 3) * np.sqrt(images + seeds)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=1e-9)
    # p is the level whose interval just reaches zero.
    edge = students_t(1 - found.p, images, seeds, 3) * np.sqrt(images + seeds)
    assert edge == pytest.approx(abs(found.value), abs=1e-9)
    assert found.method == "paired DeLong and seed variance"


def test_a_score_against_itself_differs_by_nothing():
    labels, scores = gaussian(20, 20, 1.0)
    found = compare(sample(labels, scores), sample(labels, scores * 2 + 1))
    assert found == (0.0, 0.0, 0.0, 1.0, 0.0, "the same ranking")


def test_two_rankings_without_variance_are_no_certainty():
    labels = np.repeat([0, 1], 10)
    perfect, constant = sample(labels, np.arange(20.0)), sample(labels, np.zeros(20))
    found = compare(perfect, constant)
    assert found.value == 0.5 and found.low < 0.5 <= found.high and 0 < found.p < 1
    assert found.method == "square-and-add of both intervals"
    alike = compare(perfect, sample(labels, np.concatenate([np.arange(10.0)[::-1], np.arange(10.0, 20)])))
    assert alike.value == 0 and alike.low < 0 < alike.high and alike.p == 1


def test_patients_make_the_difference_less_sure():
    labels, scores = gaussian(60, 60, 1.0, seeds=2)
    wide = [sample(np.repeat(labels, 3), np.repeat(s, 3), clusters=np.repeat(np.arange(120), 3)) for s in scores]
    alone = [sample(one.labels, one.scores) for one in wide]
    single = compare(*(sample(labels, s) for s in scores))
    assert compare(*wide).smallest == pytest.approx(single.smallest, rel=1e-9)
    assert compare(*alone).smallest == pytest.approx(single.smallest / np.sqrt(3), rel=0.02)


def test_obuchowskis_covariance_by_its_own_sums():
    rng = np.random.default_rng(4)
    labels = np.array([1, 1, 0, 1, 0, 0, 1, 0, 1, 0])
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4, 5])
    scores = rng.normal(size=(2, 10)).round(1)
    areas, found = delong(labels, scores, clusters)
    psi = [[[0.5 + 0.5 * np.sign(a - b) for b in s[labels == 0]] for a in s[labels == 1]] for s in scores]
    v10, v01 = np.mean(psi, axis=2), np.mean(psi, axis=1)
    m, n = 5, 5
    sums10, sums01 = (
        np.array([[(v[k] - areas[k])[codes == c].sum() for c in range(6)] for k in range(2)])
        for v, codes in ((v10, clusters[labels == 1]), (v01, clusters[labels == 0]))
    )
    i10, i01, i = 4, 5, 6
    s10 = i10 / ((i10 - 1) * m) * sums10 @ sums10.T
    s01 = i01 / ((i01 - 1) * n) * sums01 @ sums01.T
    s11 = i / (i - 1) * sums10 @ sums01.T
    np.testing.assert_allclose(found, s10 / m + s01 / n + (s11 + s11.T) / (m * n), atol=1e-14)


@few
@given(rankings(seeds=3, smallest=2))
def test_patients_of_one_image_each_change_nothing(ranking):
    labels, scores = ranking
    plain, by_patient = delong(labels, scores), delong(labels, scores, np.arange(len(labels))[::-1])
    np.testing.assert_allclose(by_patient[1], plain[1], atol=1e-14)


def test_other_images_or_seeds_are_refused():
    first = sample([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="same images"):
        compare(first, sample([1, 0, 0, 1], [0.0, 1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="belong together"):
        compare(first, sample([0, 1, 0, 1], np.zeros((2, 4))))
    with pytest.raises(ValueError, match="no seed in common"):
        Joint([first, first]).compare(0, 1, [])


@many
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_by_its_definition(values):
    order = np.argsort(values)
    expected, highest = np.empty(len(values)), 0.0
    for place, which in enumerate(order):
        highest = max(highest, min((len(values) - place) * values[which], 1.0))
        expected[which] = highest
    assert holm(values) == pytest.approx(expected.tolist())


def test_holm_is_that_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    values = np.random.default_rng(0).random(21) ** 4
    assert holm(values.tolist()) == pytest.approx(multipletests(values, method="holm")[1].tolist(), abs=1e-15)
    assert holm([]) == []


def test_a_rank_is_a_range():
    # 0 is better than 2 and 3 for sure; 1 than 3; the rest is open.
    found = ranks(4, [(0, 1, 0.1, 0.2), (0, 2, 0.2, 0.01), (0, 3, 0.4, 0.001), (1, 2, 0.1, 0.6), (3, 1, -0.3, 0.04)])
    assert found == [(1, 2), (1, 3), (2, 4), (3, 4)]


def test_probability_of_the_top():
    labels, scores = gaussian(200, 200, 1.0, seeds=2)
    alike, worse = sample(labels, scores[0]), sample(labels, np.random.default_rng(1).normal(size=400))
    assert Joint([alike, alike, worse]).probability_of_top() == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)
    one, other = sample(labels, scores[0]), sample(labels, scores[1])
    chances = Joint([one, other]).probability_of_top()
    difference = compare(one, other)
    error = (difference.high - difference.low) / 2 / 1.959963985
    assert chances[0] == pytest.approx(stats.norm.cdf(difference.value / error), abs=0.006)
    assert sum(chances) == pytest.approx(1)


def test_ranks_across_tasks_against_scipy():
    areas = np.array([[0.9, 0.8, 0.7], [0.8, 0.85, 0.6], [0.95, 0.9, 0.9], [0.7, 0.6, 0.65]])
    found = across_tasks(areas)
    assert found.ranks.tolist() == pytest.approx([1.25, 2.125, 2.625])
    assert found.p == pytest.approx(stats.friedmanchisquare(*areas.T).pvalue)
    # Demšar 2006, table 5: q(0.05) is 2.343 for 3 classifiers.
    assert found.critical == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * 4)), abs=1e-3)
    assert across_tasks(np.full((2, 3), 0.5)).p == 1.0
    with pytest.raises(ValueError, match="2 tasks and 3 detectors"):
        across_tasks(areas[:, :2])
