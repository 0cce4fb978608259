import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_strategies import every_threshold, many, rankings
from sklearn import metrics as reference

from bench.metrics import auroc, average_precision, roc_curve, sensitivity_at_specificity
from bench.metrics.ranking import checked, oracle_f1, partial_auroc, specificity_at_sensitivity

EXACT = 1e-12


@many
@given(rankings())
def test_auroc_is_that_of_scikit_learn(ranking):
    labels, (scores,) = ranking
    assert auroc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores), abs=EXACT)


@many
@given(rankings())
def test_auroc_counts_pairs_with_ties_half(ranking):
    labels, (scores,) = ranking
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels == 1] for b in scores[labels == 0]]
    assert auroc(labels, scores) == pytest.approx(sum(pairs) / len(pairs), abs=EXACT)


@many
@given(rankings())
def test_average_precision_is_that_of_scikit_learn(ranking):
    labels, (scores,) = ranking
    assert average_precision(labels, scores) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=EXACT
    )


def test_equal_to_scikit_learn_at_the_size_of_a_real_test_set():
    random = np.random.default_rng(0)
    labels = (random.random(17_194) < 0.3).astype(np.int8)
    scores = np.round(random.normal(size=len(labels)) + labels, 2)
    assert auroc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores), abs=EXACT)
    expected = reference.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(expected, abs=EXACT)


@many
@given(rankings())
def test_roc_curve_is_that_of_scikit_learn(ranking):
    labels, (scores,) = ranking
    fpr, tpr = roc_curve(labels, scores)
    expected_fpr, expected_tpr, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected_fpr, atol=EXACT)
    np.testing.assert_allclose(tpr, expected_tpr, atol=EXACT)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert len(fpr) == len(set(scores.tolist())) + 1


@many
@given(rankings())
def test_auroc_is_the_area_below_the_curve(ranking):
    labels, (scores,) = ranking
    fpr, tpr = roc_curve(labels, scores)
    assert auroc(labels, scores) == pytest.approx(np.trapezoid(tpr, fpr), abs=EXACT)


@many
@given(rankings(), st.sampled_from(["0", "0.5", "0.8", "0.9", "0.95", "0.99", "1"]))
def test_sensitivity_is_the_best_over_all_thresholds_in_exact_arithmetic(ranking, specificity):
    labels, (scores,) = ranking
    anomalous, normal = scores[labels == 1], scores[labels == 0]
    reached = [Fraction(0)]
    for threshold in scores:
        kept = Fraction(int(np.sum(normal < threshold)), len(normal))
        if kept >= Fraction(specificity):
            reached.append(Fraction(int(np.sum(anomalous >= threshold)), len(anomalous)))
    found = sensitivity_at_specificity(labels, scores, float(specificity))
    assert found == pytest.approx(float(max(reached)), abs=EXACT)


def test_one_false_positive_in_ten_is_allowed_at_a_specificity_of_90_percent():
    labels = np.array([1, 1] + [0] * 10)
    scores = np.array([3.0, 1.0, 2.0] + [0.0] * 9)
    assert sensitivity_at_specificity(labels, scores, 0.9) == 1.0
    assert sensitivity_at_specificity(labels, scores, 0.91) == 0.5


def test_sensitivity_is_not_interpolated():
    # All tied: the curve's only points are (0, 0) and (1, 1); interpolating would give 0.05.
    assert sensitivity_at_specificity(np.array([0, 1]), np.zeros(2), 0.95) == 0.0


@many
@given(rankings())
def test_only_the_order_of_the_scores_matters(ranking):
    labels, (scores,) = ranking
    order = np.unique(scores, return_inverse=True)[1]
    warped = np.exp(order / 10) - 7
    assert auroc(labels, warped) == auroc(labels, scores)
    assert average_precision(labels, warped) == average_precision(labels, scores)
    assert sensitivity_at_specificity(labels, warped, 0.9) == sensitivity_at_specificity(labels, scores, 0.9)


@many
@given(rankings(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(ranking, random):
    labels, (scores,) = ranking
    order = random.sample(range(len(labels)), len(labels))
    assert auroc(labels[order], scores[order]) == auroc(labels, scores)
    assert average_precision(labels[order], scores[order]) == average_precision(labels, scores)


@many
@given(rankings())
def test_swapping_the_classes_or_the_sign_mirrors_auroc(ranking):
    labels, (scores,) = ranking
    mirrored = pytest.approx(1 - auroc(labels, scores), abs=EXACT)
    assert auroc(1 - labels, scores) == mirrored
    assert auroc(labels, -scores) == mirrored


@many
@given(st.integers(1, 40), st.integers(1, 40))
def test_perfect_separation_is_exactly_one(anomalous, normal):
    labels = np.repeat([1, 0], [anomalous, normal])
    scores = np.linspace(1, 0, anomalous + normal)
    assert auroc(labels, scores) == average_precision(labels, scores) == 1.0
    assert sensitivity_at_specificity(labels, scores, 1.0) == 1.0
    assert auroc(labels, -scores) == sensitivity_at_specificity(labels, -scores, 0.95) == 0.0


def test_negative_zero_ties_with_zero():
    assert auroc([0, 1], [-0.0, 0.0]) == auroc([0, 1], [0.0, -0.0]) == 0.5


@pytest.mark.parametrize(
    ("labels", "scores", "text"),
    [
        ([0, 1], [0.0, np.nan], "1 of 2 scores are not finite"),
        ([0, 1], [np.inf, -np.inf], "2 of 2 scores are not finite"),
        ([0, 1, 1], [0.0, 1.0], r"not empty, but they are \(3,\) and \(2,\)"),
        ([[0, 1]], [0.0, 1.0], r"labels must be \(n,\)"),
        ([0, 1], [[0.0, 1.0]], r"scores \(n,\)"),
        ([0, 1], 1.0, r"\(2,\) and \(\)"),
        ([], [], r"\(0,\) and \(0,\)"),
        ([0, 2], [0.0, 1.0], "labels must be 0"),
        ([-1, 1], [0.0, 1.0], "labels must be 0"),
        ([0.0, np.nan], [0.0, 1.0], "labels must be 0"),
        ([1, 1], [0.0, 1.0], "all 2 images are labelled 1"),
        ([0, 0, 0], [0.0, 1.0, 2.0], "all 3 images are labelled 0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(labels, scores, text):
    for metric in (auroc, average_precision, roc_curve, lambda *given: sensitivity_at_specificity(*given, 0.95)):
        with pytest.raises(ValueError, match=text):
            metric(labels, scores)


@pytest.mark.parametrize("scores", [np.zeros(2), np.zeros((0, 2)), np.zeros((1, 3)), np.zeros((1, 1, 2))])
def test_several_scores_of_the_same_images_have_two_axes(scores):
    with pytest.raises(ValueError, match=r"scores \(k, n\)"):
        checked([0, 1], scores, ndim=2)


@pytest.mark.parametrize("specificity", [-0.01, 1.01, float("nan")])
def test_a_specificity_outside_its_range_is_refused(specificity):
    with pytest.raises(ValueError, match="specificity lies in"):
        sensitivity_at_specificity([0, 1], [0.0, 1.0], specificity)


def test_importing_the_metrics_loads_nothing_heavy():
    heavy = "{'scipy', 'sklearn', 'pandas', 'pyarrow', 'torch', 'timm'}"
    code = f"import sys, bench.metrics; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@many
@given(rankings(), st.sampled_from([0.05, 0.1, 0.3, 1.0]))
def test_partial_auroc_is_scikit_learns(ranking, limit):
    labels, (scores,) = ranking
    assert partial_auroc(labels, scores, limit) == pytest.approx(
        reference.roc_auc_score(labels, scores, max_fpr=limit), abs=1e-12
    )


@many
@given(rankings(), st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]))
def test_specificity_at_sensitivity_threshold_by_threshold(ranking, sensitivity):
    labels, (scores,) = ranking
    reached = [1 - fpr for fpr, tpr in every_threshold(labels, scores) if tpr >= sensitivity - 1e-9]
    assert specificity_at_sensitivity(labels, scores, sensitivity) == pytest.approx(max(reached), abs=1e-12)


@many
@given(rankings())
def test_oracle_f1_is_the_best_of_all_thresholds(ranking):
    labels, (scores,) = ranking
    best = max(reference.f1_score(labels, (scores >= threshold).astype(int)) for threshold in set(scores))
    assert oracle_f1(labels, scores) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("n", [10, 1000, 100_000])
def test_large_rankings_against_scikit_learn(n):
    rng = np.random.default_rng(n)
    labels = (rng.random(n) < 0.3).astype(np.int8)
    labels[:2] = [0, 1]
    scores = (rng.normal(size=n) + labels).round(2)
    assert auroc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(
        reference.average_precision_score(labels, scores), abs=1e-12
    )
    assert partial_auroc(labels, scores, 0.1) == pytest.approx(
        reference.roc_auc_score(labels, scores, max_fpr=0.1), abs=1e-12
    )


def test_limits_outside_their_range_are_refused():
    for call in (partial_auroc, specificity_at_sensitivity):
        for bad in (-0.1, 1.1):
            with pytest.raises(ValueError, match="lies in"):
                call([0, 1], [0.0, 1.0], bad)
