"""The detector keeps bench's contract; add tests of what is your own below."""

from bench.conformance import parametrize_with_checks


@parametrize_with_checks(["my-detector"])
def test_contract(check):
    """Every check of ``bench check my-detector``."""
    check()
