"""Running checks, here or in a process that may crash, and what came of each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Literal

from bench.conformance.check import Check, CheckFailed, NotApplicable
from bench.conformance.checks import CHECKS
from bench.conformance.process import python_command
from bench.conformance.subject import Subject
from bench.contracts import DetectorSpec
from bench.registry import Offer, load_registry


@dataclass(frozen=True)
class Result:
    """What came of one check: ``known`` is a declared failure that failed, as it must."""

    check: str
    status: Literal["pass", "fail", "known", "skipped"]
    why: str
    seconds: float


def run_check(check: type[Check], subject: Subject) -> Result:
    """Run one check in this process. A known failure that passes is a failure: the declaration is out of date."""
    known = subject.spec.known_failures.get(check.name)
    started = time.perf_counter()
    status: Literal["pass", "fail", "known", "skipped"]
    try:
        check().run(subject)
        status, why = "pass", ""
    except NotApplicable as reason:
        status, why = "skipped", str(reason)
    except CheckFailed as seen:
        status, why = "fail", f"{check.message()} Seen: {seen}."
    except (Exception, SystemExit) as error:
        status, why = "fail", f"The detector raised {type(error).__name__}: {error}"
    if known is not None:
        if status == "fail":
            status, why = "known", known
        elif status == "pass":
            status, why = "fail", "It is declared as a known failure, but passes: remove the declaration."
    return Result(check.name, status, why, time.perf_counter() - started)


def check_detector(offer: Offer[DetectorSpec], checks: Sequence[type[Check]] = CHECKS) -> Iterator[Result]:
    """Run checks on a detector in another process, and yield each result as it comes.

    A detector that crashes, exits or kills its process fails the check that was running; the rest go on in a new one.
    """
    names = [check.name for check in checks]
    while names:
        before = len(names)
        for result in _run_until_it_ends(offer, names):
            names.remove(result.check)
            yield result
        if len(names) == before:  # not even the first check was begun
            yield Result(names.pop(0), "fail", "The process of the check did not start.", 0.0)


def _run_until_it_ends(offer: Offer[DetectorSpec], names: Sequence[str]) -> Iterator[Result]:
    plugin = offer.plugin
    job = {"plugin": plugin.name, "module": plugin.module, "detector": offer.spec.name, "checks": list(names)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            python_command("bench.conformance.results", json.dumps(job)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        begun: tuple[str, float] | None = None
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                if "begun" in said:
                    begun = said["begun"], time.perf_counter()
                else:
                    begun = None
                    yield Result(**said)
            code = process.wait()
        finally:
            _kill(process)
        if begun is not None:
            yield Result(begun[0], "fail", _epitaph(code, log), time.perf_counter() - begun[1])


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _epitaph(code: int, log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read()[-4096:].decode(errors="replace").strip().splitlines()
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"The process of the detector {how}" + (f": {lines[-1]}" if lines else ".")


def main() -> None:
    """Run the checks that the last argument names; one line of JSON when each begins and when it ends."""
    job = json.loads(sys.argv[-1])
    channel = os.dup(1)
    os.dup2(2, 1)  # whatever a detector prints goes to the log

    def say(**words: Any) -> None:
        os.write(channel, (json.dumps(words) + "\n").encode())

    subject = Subject(_offer_of(job))
    wanted = set(job["checks"])
    for check in CHECKS:
        if check.name in wanted:
            say(begun=check.name)
            say(**asdict(run_check(check, subject)))
    sys.stdout.flush()
    os._exit(0)  # exit handlers of a detector's libraries have nothing left to do here


def _offer_of(job: dict[str, Any]) -> Offer[DetectorSpec]:
    """Load the one plugin that offers the detector."""
    from importlib.metadata import EntryPoint

    import pluggy

    from bench.hookspecs import GROUP, HookSpecs
    from bench.registry import load_plugin

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    plugin, specs = load_plugin(EntryPoint(job["plugin"], job["module"], GROUP), manager)
    spec = next(spec for spec in specs if isinstance(spec, DetectorSpec) and spec.name == job["detector"])
    return Offer(spec, plugin)


def parametrize_with_checks(names: Sequence[str]) -> Any:
    """Parametrize a test of the author's own pytest with every check of these detectors.

    ::

        @parametrize_with_checks(["my-detector"])
        def test_contract(check):
            check()

    Known failures are strict xfails, with their reasons; checks that do not concern a detector are skipped.

    Args:
        names: installed detectors.

    Raises:
        UnknownNameError: nothing installed offers one of them.

    """
    import pytest

    registry = load_registry()
    parameters = []
    for name in names:
        subject = Subject(registry.detector(name))
        for check in CHECKS:
            known = subject.spec.known_failures.get(check.name)
            marks = [pytest.mark.xfail(strict=True, reason=known)] if known else []
            bound = BoundCheck(check, subject)
            parameters.append(pytest.param(bound, id=f"{name}-{check.name}", marks=marks))
    return pytest.mark.parametrize("check", parameters)


@dataclass(frozen=True)
class BoundCheck:
    """A check and the detector that it looks at: call it."""

    check: type[Check]
    subject: Subject

    def __call__(self) -> None:
        """Run the check.

        Raises:
            AssertionError: the detector fails it.

        """
        import pytest

        try:
            self.check().run(self.subject)
        except NotApplicable as reason:
            pytest.skip(str(reason))
        except CheckFailed as seen:
            raise AssertionError(f"{self.check.explanation()}\n\nSeen: {seen}.") from seen
