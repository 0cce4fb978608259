"""Every detector that comes with bench keeps the contract, checked as a plugin's own tests would check it."""

from __future__ import annotations

from bench.conformance import parametrize_with_checks
from bench.conformance.results import BoundCheck


@parametrize_with_checks(["salad", "ganomaly", "fanogan", "knn", "pca", "mean-intensity", "random"])
def test_contract(check: BoundCheck) -> None:
    check()
