"""The kit notices what it says it notices: every check catches a detector that is faulty on purpose."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bench.conformance import CHECKS, Result, run_check
from bench.conformance.subject import Subject
from bench.contracts import DetectorSpec
from bench.registry import Offer, Plugin
from tests.conformance import faulty
from tests.conftest import ROOT

SPECS = {spec.name: spec for spec in faulty.bench_detectors()}
TABLE = "<!-- faults -->\n{}\n<!-- end of faults -->"


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)


def results(spec: DetectorSpec) -> dict[str, Result]:
    subject = Subject(Offer(spec, Plugin("faulty", faulty.MODULE, "faulty", "1", "ok")))
    return {check.name: run_check(check, subject) for check in CHECKS}


def failed(found: dict[str, Result]) -> set[str]:
    return {name for name, result in found.items() if result.status == "fail"}


def test_an_honest_detector_passes_everything() -> None:
    found = results(SPECS["honest"])
    assert {name: result.why for name, result in found.items() if result.status != "pass"} == {}


@pytest.mark.parametrize("name", faulty.FAULTS)
def test_a_faulty_detector_fails_these_checks_and_no_others(name: str) -> None:
    found = results(SPECS[name])
    seen = {check: result.why for check, result in found.items() if result.status == "fail"}
    assert set(seen) == faulty.FAULTS[name][2], seen


def test_every_check_has_a_detector_that_it_catches() -> None:
    assert {check.name for check in CHECKS} == set().union(*(checks for _, _, checks in faulty.FAULTS.values()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_says_what_is_wrong_and_how_to_mend_it(check: type) -> None:
    assert check.message().endswith((".", ":"))
    assert check.name.replace("-", "").isalpha()


def test_the_table_in_the_guide_is_this_one() -> None:
    rows = ["| faulty detector | what it does | checks that fail |", "|---|---|---|"]
    for name, (detector, changes, checks) in faulty.FAULTS.items():
        what = (detector.__doc__ or "") if detector is not faulty.Honest else f"Declares `{changes}`."
        rows.append(f"| {name} | {what} | {', '.join(check.name for check in CHECKS if check.name in checks)} |")
    assert TABLE.format("\n".join(rows)) in (ROOT / "plugins" / "README.md").read_text()
