"""The conformance kit: what a detector must do to be measured fairly, as checks that anybody can run.

``bench check NAME`` runs them; :func:`parametrize_with_checks` brings them into a plugin's own tests.
"""

from bench.conformance.check import Check, CheckFailed
from bench.conformance.checks import CHECKS
from bench.conformance.results import Result, check_detector, parametrize_with_checks, run_check

__all__ = ["CHECKS", "Check", "CheckFailed", "Result", "check_detector", "parametrize_with_checks", "run_check"]
