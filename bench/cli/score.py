"""``bench score``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bench.cli.options import BlockOption, JsonOption, OneTaskOption, RowsOption, open_registry, split_names
from bench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from bench.contracts import MetricSpec
    from bench.metrics import Interval
    from bench.report.rows import Row

SHOWN = (
    "auroc,average_precision,partial_auroc_at_10_fpr,"
    "tune_sensitivity_at_95_specificity,tune_specificity_at_95_specificity"
)


def score(
    results: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("results"),
    task: OneTaskOption = None,
    detectors: RowsOption = None,
    metrics: Annotated[str, typer.Option(help="Names of metrics, separated by commas, or 'all'.")] = SHOWN,
    specificity: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.5, max=0.9999, help="Show operating points at this specificity of held-out normals."),
    ] = None,
    by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="AUROC of subgroups: category, patient, sex, age, view or device."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the metrics into the records, and the tables beside them anew.")
    ] = False,
    no_plugin: BlockOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute all metrics again from the per-image scores; nothing is trained."""
    from bench.metrics import IMAGE_METRICS, operating_metrics
    from bench.report.published import published_rows

    offered = {offer.spec.name: offer.spec for offer in open_registry(no_plugin).metrics.values()}
    if write:
        _write(results, list(offered.values()))
    wanted = split_names(detectors) if detectors else None
    rows = [row for row in published_rows(results, wanted, task, private=True) if row.cells]
    if not rows:
        raise UsageError(f"no finished record in {results} fits")
    if by is not None:
        _show_subgroups(rows, by, as_json)
        return
    own = dict(operating_metrics(specificity)) if specificity is not None else dict(IMAGE_METRICS)
    pixels = list(dict.fromkeys(name for row in rows for name in row.pixels))
    known = [*own, *pixels, *offered]
    names = known if metrics == "all" or specificity is not None else split_names(metrics)
    names += [name for name in pixels if metrics == SHOWN and name not in names]
    for name in names:
        if name not in known:
            raise UnknownNameError("metric", name, known)
    from bench.metrics import measure

    found = [
        {
            **measure(row.sample, {name: own[name] for name in names if name in own}),
            **{name: row.pixels[name] for name in names if name in row.pixels},
            **_offered(row, names, offered),
        }
        for row in rows
    ]
    _show(rows, found, names, as_json)


def _offered(row: Row, names: Sequence[str], offered: Mapping[str, MetricSpec]) -> dict[str, Interval]:
    """Metrics of plugins; one that raises is named on stderr and left out."""
    from bench.metrics import measure_other

    found = {}
    for name in names:
        if name in offered:
            try:
                found[name] = measure_other(offered[name].compute, row.sample, resamples=offered[name].resamples)
            except (Exception, SystemExit) as error:
                text = f"{type(error).__name__}: {error}"
                typer.echo(f"warning: metric '{name}' failed on {row.name}, {row.task.name}: {text}", err=True)
    return found


def _write(results: Path, offered: Sequence[MetricSpec]) -> None:
    """Bring the metrics of all records up to date; files that were edited by hand are refused first."""
    from bench.report.published import write_leaderboard
    from bench.results.checksums import NAME, refuse_edited
    from bench.results.rescore import rescore
    from bench.results.store import Store

    refuse_edited(results)
    changed, count = rescore(Store(results), offered)
    typer.echo(f"{changed} of {count} finished record(s) have new metrics", err=True)
    if (results / NAME).exists():
        write_leaderboard(results)


def _show(rows: Sequence[Row], found: Sequence[Mapping[str, Interval]], names: Sequence[str], as_json: bool) -> None:
    from bench.report.scores import print_metrics

    if as_json:
        plain = [
            {
                "task": row.task.name,
                "edition": row.task.edition,
                "detector": row.name,
                "seeds": list(row.seeds),
                "metrics": {name: interval._asdict() for name, interval in metrics.items()},
            }
            for row, metrics in zip(rows, found, strict=True)
        ]
        typer.echo(json.dumps(plain, indent=1))
    else:
        print_metrics(rows, found, names)


def _show_subgroups(rows: Sequence[Row], by: str, as_json: bool) -> None:
    from bench.report.scores import print_subgroups
    from bench.report.subgroups import BY, subgroups

    if by not in BY:
        raise UnknownNameError("subgroup", by, BY)
    found = [(row, subgroups(row, by)) for row in rows]
    if not as_json:
        print_subgroups(found, by)
        return
    plain: list[dict[str, Any]] = [
        {
            "task": row.task.name,
            "detector": row.name,
            by: one.name,
            **{end: getattr(one.auroc, end, None) for end in ("value", "low", "high", "method")},
            "normal": one.normal,
            "anomalous": one.anomalous,
            "units": one.units,
            "note": one.note,
        }
        for row, parts in found
        for one in parts
    ]
    typer.echo(json.dumps(plain, indent=1))
