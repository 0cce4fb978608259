"""Rankings to test with, many of them full of ties."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2, t

from bench.metrics import Sample

# A busy machine is no defect: no deadlines.
many = settings(deadline=None)
few = settings(max_examples=30, deadline=None)

coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0])
fine = st.floats(-1e6, 1e6, allow_subnormal=False)


@st.composite
def rankings(draw, seeds=1, smallest=1, largest=25):
    """Labels int8 (n,) with at least ``smallest`` images of each class, scores float64 (seeds, n)."""
    anomalous = draw(st.integers(smallest, largest))
    normal = draw(st.integers(smallest, largest))
    labels = np.array(draw(st.permutations([1] * anomalous + [0] * normal)), dtype=np.int8)
    scores = draw(arrays(np.float64, (seeds, len(labels)), elements=draw(st.sampled_from([coarse, fine]))))
    return labels, scores


def gaussian(anomalous, normal, shift, seeds=1, seed=0):
    """Labels, and scores (seeds, n) that share an image's part and add a seed's own."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [anomalous, normal])
    scores = random.normal(size=len(labels)) + shift * labels
    return labels, scores + 0.5 * random.normal(size=(seeds, len(labels)))


def sample(labels, scores, tune=None, clusters=None, tune_clusters=None):
    """A Sample of one score (n,) or of several seeds' (seeds, n); without held-out normals unless given."""
    scores = np.atleast_2d(np.asarray(scores, float))
    tune = np.empty((len(scores), 0)) if tune is None else np.atleast_2d(np.asarray(tune, float))
    return Sample(np.asarray(labels, np.int8), scores, tune, clusters, tune_clusters)


def students_t(level, images, seeds, count):
    """Two-sided quantile for a variance over images plus one over seeds, from the definition of its degrees."""
    typical = seeds * (count - 1) / chi2.median(count - 1)
    return t.ppf((1 + level) / 2, (count - 1) * (images + typical) ** 2 / typical**2)


def every_threshold(labels, scores):
    """False-positive and true-positive rate of each threshold, from the definition."""
    points = []
    for threshold in [np.inf, *sorted(set(scores), reverse=True)]:
        called = scores >= threshold
        points.append((float(np.mean(called[labels == 0])), float(np.mean(called[labels == 1]))))
    return points
