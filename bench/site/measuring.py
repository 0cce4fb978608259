"""From rows with their scores to facts: the costly part, whose results are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.metrics import Sample
from bench.metrics.paired import Joint, holm
from bench.report import rows as report
from bench.report.standing import compare_rows, standings
from bench.report.subgroups import judge, parts
from bench.results.record import DetectorPart
from bench.site.curves import bars_of, curve_of, places_of, points_of, spark_of
from bench.site.facts import Estimate, Images, Pair, Part, Row, Standing


def measure_row(slug: str, detector: DetectorPart, row: report.Row) -> Row:
    """All that is shown of one row.

    Raises:
        RecordError: its seeds scored different images.

    """
    own = {"slug": slug, "detector": detector, "status": row.status, "reason": row.reason, "seeds": row.seeds}
    if not row.cells:
        return Row(**own)
    chosen = parts(row.cells[0], "category", row.task.name)
    return Row(
        **own,
        auroc=Estimate.of(row.auroc),
        values=row.values,
        pixels={name: _known(Estimate.of(interval)) for name, interval in row.pixels.items()},
        parts=tuple(_part(name, row.sample.only(which)) for name, which in chosen.items()),
        curve=curve_of(row),
        points=points_of(row),
        bars=bars_of(row),
        spark=spark_of(row),
        places=places_of(row),
        fit_seconds=row.fit_seconds,
        images_per_second=row.images_per_second,
    )


def _known(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


def _part(name: str, sample: Sample) -> Part:
    found = judge(name, sample)
    return Part(
        name=name,
        auroc=Estimate.of(found.auroc),
        normal=found.normal,
        anomalous=found.anomalous,
        note=found.note,
    )


def measure_standing(rows: Mapping[str, report.Row]) -> Standing:
    """Compare the finished rows of one edition, on all images and on each category.

    Args:
        rows: by slug; of one edition, with the same test images.

    Raises:
        RecordError: they scored different images.

    """
    slugs = {row.name: slug for slug, row in reversed(list(rows.items()))}  # as standings does: the first of a name
    found = standings(list(rows.values()))
    if found is None:
        return Standing()
    compared = [rows[slug] for slug in reversed(list(slugs.values()))]
    return Standing(
        ranks={slugs[name]: rank for name, rank in found.ranks.items()},
        top={slugs[name]: chance for name, chance in found.top.items()},
        pairs=tuple(
            Pair(
                first=slugs[one.first],
                second=slugs[one.second],
                value=one.difference.value,
                low=one.difference.low,
                high=one.difference.high,
                p=one.difference.p,
                adjusted=one.adjusted,
                smallest=one.difference.smallest,
            )
            for one in found.pairs
        ),
        parts=_parts(compared, slugs),
        resolves=found.resolves,
        units=found.units,
    )


def _parts(rows: Sequence[report.Row], slugs: Mapping[str, str]) -> dict[str, tuple[Pair, ...]]:
    """Every pair on every category that is large enough; p is adjusted over all of them."""
    chosen = parts(rows[0].cells[0], "category", rows[0].task.name)
    if len(chosen) < 2:
        return {}  # a single disease is the whole again
    found = []
    for name, which in chosen.items():
        samples = [row.sample.only(which) for row in rows]
        if min(samples[0].sizes()) >= 2:
            found += [(name, *pair) for pair in compare_rows(rows, Joint(samples))]
    adjusted = holm([difference.p for *_, difference in found])
    told: dict[str, list[Pair]] = {}
    for (name, first, second, one), p in zip(found, adjusted, strict=True):
        pair = Pair(
            first=slugs[first.name],
            second=slugs[second.name],
            value=one.value,
            low=one.low,
            high=one.high,
            p=one.p,
            adjusted=p,
            smallest=one.smallest,
        )
        told.setdefault(name, []).append(pair)
    return {name: tuple(pairs) for name, pairs in told.items()}


def images_of(row: report.Row) -> Images:
    """The test images that a row scored."""
    cell = row.cells[0]
    patients = None if cell.patients is None else len(np.unique(cell.patients))
    return Images(
        ids=cell.ids,
        labels=tuple(cell.labels.tolist()),
        categories=tuple(cell.categories.tolist()),
        patients=patients,
    )
