from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import few, gaussian, rankings
from sklearn.metrics import average_precision_score

from bench.metrics import auroc, average_precision, sensitivity_at_specificity
from bench.metrics.bootstrap import draws, resampled, resampled_counts
from bench.metrics.ranking import average_precision_of_counts, sensitivity_of_counts


def all_draws(positive, resamples, seed, **options):
    hits, misses = zip(*draws(positive, resamples, seed, **options), strict=True)
    return np.concatenate(hits), np.concatenate(misses)


def one_by_one(metric, labels, scores, resamples, seed):
    """Build each resample from the drawn images and compute the metric from scratch."""
    anomalous, normal = scores[labels == 1], scores[labels == 0]
    hits, misses = all_draws(labels == 1, resamples, seed)
    again = np.repeat([1, 0], [len(anomalous), len(normal)])
    return [metric(again, np.concatenate([anomalous[h], normal[m]])) for h, m in zip(hits, misses, strict=True)]


@few
@given(rankings(seeds=2), st.integers(0, 2**32))
def test_fast_average_precision_equals_scikit_learn_on_each_resample(ranking, seed):
    labels, scores = ranking
    found = resampled_counts(average_precision_of_counts, labels == 1, scores, 20, seed)
    assert found.shape == (2, 20)
    for fast, one in zip(found, scores, strict=True):
        expected = one_by_one(average_precision_score, labels, one, 20, seed)
        np.testing.assert_allclose(fast, expected, rtol=0, atol=1e-12)


@few
@given(rankings(), st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]))
def test_fast_sensitivity_equals_the_metric_on_each_resample(ranking, seed, specificity):
    labels, scores = ranking
    statistic = partial(sensitivity_of_counts, normal=int(np.sum(labels == 0)), specificity=specificity)
    (found,) = resampled_counts(statistic, labels == 1, scores, 20, seed)
    metric = partial(sensitivity_at_specificity, specificity=specificity)
    assert found.tolist() == one_by_one(metric, labels, scores[0], 20, seed)


@few
@given(rankings(), st.integers(0, 2**32))
def test_generic_and_fast_path_see_the_same_resamples(ranking, seed):
    labels, scores = ranking
    fast = resampled_counts(average_precision_of_counts, labels == 1, scores, 20, seed)
    generic = resampled(average_precision, labels == 1, scores[0], 20, seed)
    np.testing.assert_allclose(fast[0], generic, rtol=0, atol=1e-12)


def test_fast_path_over_several_chunks():
    labels, scores = gaussian(400, 600, 1.0)
    found = resampled_counts(average_precision_of_counts, labels == 1, scores, 300, 0)
    np.testing.assert_allclose(found[0], one_by_one(average_precision, labels, scores[0], 300, 0), rtol=0, atol=1e-12)


@few
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 50), st.integers(1, 2000))
def test_draws_do_not_depend_on_the_chunks(anomalous, normal, resamples, chunk):
    positive = np.repeat([True, False], [anomalous, normal])
    whole, pieces = all_draws(positive, resamples, 3), all_draws(positive, resamples, 3, chunk=chunk)
    assert whole[0].shape == (resamples, anomalous) and whole[1].shape == (resamples, normal)
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)


def test_draws_are_uniform_within_each_class_and_independent_between_them():
    hits, misses = all_draws(np.repeat([True, False], [8, 8]), 4000, 0)
    for drawn in (hits, misses):
        np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=8) / drawn.size, 1 / 8, atol=0.01)
    assert abs(np.corrcoef(hits.ravel(), misses.ravel())[0, 1]) < 0.03


def test_seed_decides_the_draws():
    positive = np.repeat([True, False], [8, 8])
    assert np.array_equal(all_draws(positive, 5, 0), all_draws(positive, 5, 0))
    assert not np.array_equal(all_draws(positive, 5, 0), all_draws(positive, 5, 1))


def test_a_metric_is_given_int8_labels_in_the_images_own_order():
    labels, scores = np.array([0, 1] * 10, dtype=np.int8), np.arange(20.0)
    seen = []

    def compute(resampled_labels, values):
        seen.append((resampled_labels.dtype, values.dtype))
        assert np.all(np.diff(values) >= 0)
        assert resampled_labels.sum() == 10
        assert np.array_equal(resampled_labels, values % 2)
        return auroc(resampled_labels, values)

    found = resampled(compute, labels == 1, scores, 30, 0)
    assert seen == [(np.int8, np.float64)] * 30
    assert found.mean() == pytest.approx(auroc(labels, scores), abs=0.1)
    assert found.std() > 0
