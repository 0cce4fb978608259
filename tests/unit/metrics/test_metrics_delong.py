from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import gaussian, many, rankings

from bench.metrics import auroc, delong


def by_definition(labels, scores):
    """Areas and covariance from every pair of images, in plain Python."""

    def placements(one):
        anomalous = [s for s, label in zip(one, labels, strict=True) if label == 1]
        normal = [s for s, label in zip(one, labels, strict=True) if label == 0]

        def psi(a, b):
            return 1.0 if a > b else 0.5 if a == b else 0.0

        return [fmean(psi(a, b) for b in normal) for a in anomalous], [
            fmean(psi(a, b) for a in anomalous) for b in normal
        ]

    def covariance(x, y):
        mean_x, mean_y = fmean(x), fmean(y)
        return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / (len(x) - 1)

    both = [placements(one.tolist()) for one in scores]
    areas = [fmean(v10) for v10, _ in both]
    table = [
        [covariance(a10, b10) / len(a10) + covariance(a01, b01) / len(a01) for b10, b01 in both] for a10, a01 in both
    ]
    return areas, table


@many
@given(st.data(), st.integers(1, 4))
def test_equals_the_definition(data, seeds):
    labels, scores = data.draw(rankings(seeds=seeds, smallest=2, largest=12))
    areas, covariance = delong(labels, scores)
    expected_areas, expected = by_definition(labels.tolist(), scores)
    assert areas.shape == (seeds,) and covariance.shape == (seeds, seeds)
    np.testing.assert_allclose(areas, expected_areas, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-12)


def test_an_example_worked_by_hand():
    # Anomalous 3, 1; normal 2, 0. V10 = (1, 1/2), V01 = (1/2, 1): both have variance 1/8, and 1/8/2 + 1/8/2 = 1/8.
    # The second score, anomalous 3, 1; normal 1, 0: V10 = (1, 3/4), V01 = (3/4, 1): variance 1/32, covariance 1/16.
    areas, covariance = delong([1, 0, 1, 0], [[3.0, 2.0, 1.0, 0.0], [3.0, 1.0, 1.0, 0.0]])
    np.testing.assert_allclose(areas, [0.75, 0.875])
    np.testing.assert_allclose(covariance, [[1 / 8, 1 / 16], [1 / 16, 1 / 32]])


@many
@given(rankings(seeds=2, smallest=2))
def test_areas_are_aurocs_and_the_covariance_is_one(ranking):
    labels, scores = ranking
    areas, covariance = delong(labels, scores)
    assert areas.tolist() == [auroc(labels, one) for one in scores]
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-15)
    assert np.linalg.eigvalsh(covariance).min() > -1e-12


@many
@given(rankings(smallest=2))
def test_a_score_and_its_negative_are_perfectly_anticorrelated(ranking):
    labels, (scores,) = ranking
    _, covariance = delong(labels, np.stack([scores, -scores]))
    variance = covariance[0, 0]
    np.testing.assert_allclose(covariance, [[variance, -variance], [-variance, variance]], atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_perfect_separation_and_constant_scores_have_no_variance(reverse):
    labels = np.array([0, 0, 0, 1, 1])
    ordered = np.arange(5.0)[:: -1 if reverse else 1]
    areas, covariance = delong(labels, np.stack([ordered, np.zeros(5)]))
    assert areas.tolist() == [0.0 if reverse else 1.0, 0.5]
    assert not covariance.any()


def test_predicts_the_spread_of_the_auroc_over_new_samples():
    runs = [delong(*gaussian(40, 60, 1.0, seed=seed)) for seed in range(600)]
    observed = np.std([areas[0] for areas, _ in runs])
    predicted = np.sqrt(np.mean([covariance[0, 0] for _, covariance in runs]))
    assert predicted == pytest.approx(observed, rel=0.08)


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 0, 1]])
def test_a_class_of_one_image_has_no_variance_to_estimate(labels):
    with pytest.raises(ValueError, match="two images of each class"):
        delong(labels, [[0.0, 2.0, 1.0]])
