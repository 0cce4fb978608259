"""Every detector that comes with bench keeps the contract, checked as a plugin's own tests would check it."""

from __future__ import annotations

import os

import pytest

from bench.conformance import parametrize_with_checks
from bench.conformance.results import BoundCheck

# Scores as salad does, on the features that knn computes.
SLOW = {"salad-timm-memory"}

DETECTORS = [
    "salad",
    "salad-timm",
    "ganomaly",
    "fanogan",
    "memae",
    "vae",
    "ae",
    "deepsvdd",
    "knn",
    "pca",
    "mean-intensity",
    "random",
]


@parametrize_with_checks(DETECTORS)
def test_contract(check: BoundCheck, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.id in SLOW and not os.environ.get("BENCH_SLOW_TESTS"):
        pytest.skip("takes long; BENCH_SLOW_TESTS=1 runs it, and so does bench check")
    check()
