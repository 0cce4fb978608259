"""``bench check``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bench.cli.options import BlockOption, JsonOption, open_registry
from bench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.conformance import Result

STYLES = {"pass": "green", "fail": "bold red", "known": "yellow", "skipped": "dim"}


def check(
    names: Annotated[Optional[list[str]], typer.Argument(metavar="NAME…", help="Names of detectors.")] = None,  # noqa: UP045
    explain: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="CHECK", help="Say what a check looks for and how to pass it, and end; 'all' for all."),
    ] = None,
    as_json: JsonOption = False,
    no_plugin: BlockOption = None,
) -> None:
    """Check that a detector keeps the contract, on an easy phantom with its preset 'smoke'. Exit 1 if it does not."""
    from rich.console import Console

    from bench.conformance import check_detector

    if explain is not None:
        typer.echo(_explanation(explain))
        return
    if not names:
        raise UsageError("name a detector: bench list detectors shows them")
    registry = open_registry(no_plugin)
    offers = [registry.detector(name) for name in dict.fromkeys(names)]
    console, found = Console(), []
    for offer in offers:
        spec, plugin = offer.spec, offer.plugin
        if not as_json:
            source = f"{plugin.distribution} {plugin.version}"
            console.print(f"[bold]{spec.name}[/] version {spec.version} of {source}, preset smoke", highlight=False)
        results = []
        for result in check_detector(offer):
            results.append(result)
            if not as_json:
                _print(result, console)
        if not as_json:
            _print_sum(results, console)
        found.append(_entry(spec.name, spec.version, plugin.distribution, results))
    if as_json:
        typer.echo(json.dumps({"detectors": found}, indent=1))
    if not all(entry["passed"] for entry in found):
        raise typer.Exit(1)


def _entry(name: str, version: str, distribution: str, results: list[Result]) -> dict[str, Any]:
    """One detector, as ``--json`` prints it."""
    return {
        "name": name,
        "version": version,
        "distribution": distribution,
        "preset": "smoke",
        "passed": all(result.status != "fail" for result in results),
        "checks": [
            {**asdict(result), "seconds": round(result.seconds, 3), "more": _more(result)} for result in results
        ],
    }


def _more(result: Result) -> str:
    return f"bench check --explain {result.check}"


def _print(result: Result, console: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text.assemble((f"  {result.status:8}", STYLES[result.status]), result.check))
    if result.why:
        console.print(Padding(Text(result.why, "" if result.status == "fail" else "dim"), (0, 0, 0, 10), expand=False))
    if result.status == "fail":
        console.print(Padding(Text(f"More: {_more(result)}", "dim"), (0, 0, 0, 10), expand=False))


def _print_sum(results: list[Result], console: Console) -> None:
    counts = {status: sum(result.status == status for result in results) for status in STYLES}
    words = {"pass": "passed", "fail": "failed", "known": "known to fail", "skipped": "skipped"}
    text = ", ".join(f"{number} {words[status]}" for status, number in counts.items() if number)
    seconds = sum(result.seconds for result in results)
    console.print(f"{text} in {seconds:.0f} s\n", style="red" if counts["fail"] else "green", highlight=False)


def _explanation(name: str) -> str:
    from bench.conformance import CHECKS

    known = {check.name: check for check in CHECKS}
    if name != "all" and name not in known:
        raise UnknownNameError("check", name, known)
    chosen = known if name == "all" else {name: known[name]}
    return "\n\n".join(f"{title}\n\n{check.explanation()}" for title, check in chosen.items())
