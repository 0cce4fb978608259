from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import few, gaussian, rankings, sample
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.metrics import IMAGE_METRICS, auroc, measure_other, values
from bench.metrics import bootstrap as module
from bench.metrics.bootstrap import draw, resampled, resampled_auroc, resampled_metric, units_of
from bench.metrics.ranking import auroc_of_counts, average_precision_of_counts, sensitivity_of_counts

RANKING = {name: metric.statistic for name, metric in IMAGE_METRICS.items() if metric.statistic}
OPERATING = {name: (metric.specificity, metric.judge) for name, metric in IMAGE_METRICS.items() if metric.judge}


def rebuilt(given, resamples, seed):
    """Each resample as a sample of its own, image by image."""
    units = units_of(given)
    for weights in draw(units, resamples, seed):
        for row in weights:
            test = np.repeat(np.arange(len(given.labels)), row[units.test])
            tune = np.repeat(np.arange(given.tune.shape[1]), row[units.tune])
            yield sample(given.labels[test], given.scores[:, test], given.tune[:, tune])


@few
@given(st.data(), st.integers(0, 2**32), st.booleans())
def test_every_metric_on_every_resample_is_that_of_the_images_drawn(data, seed, patients):
    labels, scores = data.draw(rankings(seeds=2, smallest=3, largest=12))
    clusters = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels))))
    tune = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=10, max_size=10)))
    given = sample(labels, scores, np.stack([tune, tune * 2]), clusters if patients else None)
    kinds = units_of(given).strata
    if kinds[0] + kinds[2] == 0 or kinds[1] + kinds[2] == 0 or kinds[2]:
        given = sample(labels, scores, given.tune)  # patients of both classes may leave a resample without one
    found = resampled(given, RANKING, OPERATING, 6, seed)
    for place, again in enumerate(rebuilt(given, 6, seed)):
        for name, of_seeds in values(again).items():
            got = found[name][place] - IMAGE_METRICS[name].shift
            assert got == pytest.approx(of_seeds.mean(), abs=1e-12), name


@few
@given(rankings(smallest=2), st.integers(0, 2**32))
def test_resamples_against_scikit_learn(ranking, seed):
    labels, scores = ranking
    given = sample(labels, scores)
    statistics = {"area": auroc_of_counts, "precision": average_precision_of_counts}
    found = resampled(given, statistics, {}, 10, seed)
    for place, again in enumerate(rebuilt(given, 10, seed)):
        one = (again.labels, again.scores[0])
        assert found["area"][place] == pytest.approx(roc_auc_score(*one), abs=1e-12)
        assert found["precision"][place] == pytest.approx(average_precision_score(*one), abs=1e-12)


@few
@given(rankings(seeds=2, smallest=2), st.integers(0, 2**32), st.booleans())
def test_the_area_alone_is_the_same(ranking, seed, patients):
    labels, scores = ranking
    # Patients of two images each, of one class.
    clusters = np.where(labels == 1, 1, -1) * (np.arange(len(labels)) // 2 + 1) if patients else None
    given = sample(labels, scores, clusters=clusters)
    both = resampled(given, {"area": auroc_of_counts}, {}, 10, seed)["area"]
    np.testing.assert_allclose(resampled_auroc(given, 10, seed), both, rtol=0, atol=1e-12)


def test_draws_do_not_depend_on_the_chunks(monkeypatch):
    labels, scores = gaussian(40, 61, 1.0)
    statistic = {"s": partial(sensitivity_of_counts, specificity=0.9)}
    whole = resampled(sample(labels, scores), statistic, {}, 301, 5)["s"]
    for chunk in (1, 1000, 7777):
        monkeypatch.setattr(module, "CHUNK", chunk)
        np.testing.assert_array_equal(resampled(sample(labels, scores), statistic, {}, 301, 5)["s"], whole)
    assert not np.array_equal(resampled(sample(labels, scores), statistic, {}, 301, 6)["s"], whole)


def test_units_are_drawn_uniformly_and_kinds_independently():
    given = sample([1] * 8 + [0] * 8, np.zeros(16), np.zeros(8))
    weights = np.concatenate(list(draw(units_of(given), 4000, 0)))
    assert weights.shape == (4000, 24)
    for kind in (weights[:, :8], weights[:, 8:16], weights[:, 16:]):
        assert (kind.sum(axis=1) == 8).all()
        np.testing.assert_allclose(kind.mean(axis=0), 1, atol=0.06)
        # Multinomial: variance 1 − 1/8.
        assert kind.var() == pytest.approx(7 / 8, rel=0.03)
    assert abs(np.corrcoef(weights[:, 0], weights[:, 8])[0, 1]) < 0.05


def test_images_of_a_patient_are_drawn_together():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1], np.int8)
    given = sample(labels, np.arange(8.0), clusters=np.array([5, 5, 6, 7, 7, 8, 9, 9]))
    units = units_of(given)
    assert units.strata == (2, 2, 1, 0)  # 5 and 6; 7 and 8; 9 has both classes
    assert units.test[0] == units.test[1] and units.test[3] == units.test[4] and units.test[6] == units.test[7]


def test_patients_make_the_bootstrap_as_wide_as_their_images_are_alike():
    labels, scores = gaussian(60, 60, 1.0)
    twice = sample(np.repeat(labels, 2), np.repeat(scores, 2, axis=1), clusters=np.repeat(np.arange(120), 2))
    single = resampled_auroc(sample(labels, scores), 2000, 0).std()
    assert resampled_auroc(twice, 2000, 0).std() == pytest.approx(single, rel=0.05)
    alone = sample(twice.labels, twice.scores)
    assert resampled_auroc(alone, 2000, 0).std() == pytest.approx(single / np.sqrt(2), rel=0.07)


def test_a_metric_is_given_int8_labels_in_the_images_own_order():
    labels, scores = np.array([0, 1] * 10, dtype=np.int8), np.arange(20.0)
    seen = []

    def compute(resampled_labels, found, tune):
        seen.append((resampled_labels.dtype, found.dtype, len(tune)))
        assert np.all(np.diff(found) >= 0)
        assert resampled_labels.sum() == 10
        assert np.array_equal(resampled_labels, found % 2)
        return auroc(resampled_labels, found)

    found = resampled_metric(compute, sample(labels, scores, np.arange(7.0)), 30, 0)
    assert seen == [(np.int8, np.float64, 7)] * 30
    assert found.std() > 0


def test_a_plugins_metric_sees_the_draws_of_the_built_in_ones():
    labels, scores = gaussian(40, 60, 1.0)
    given = sample(labels, scores, np.linspace(-1, 2, 30))
    np.testing.assert_array_equal(
        resampled_metric(lambda labels, scores, tune: auroc(labels, scores), given, 50, 3),
        resampled(given, {"area": auroc_of_counts}, {}, 50, 3)["area"],
    )
    assert measure_other(lambda labels, scores, tune: 2.0, given, resamples=20)[:3] == (2.0, 2.0, 2.0)
