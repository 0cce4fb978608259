"""From a folder of results to all that the site shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from bench.errors import RecordError
from bench.report import rows as report
from bench.results.attestations import Attestation, Badge
from bench.results.record import TaskPart
from bench.site.catalogue import Catalogue
from bench.site.facts import Cell, DetectorFacts, Edition, Estimate, Images, Problem, Row, Sheet, Site, Standing
from bench.site.keeping import Kept
from bench.site.measuring import images_of, measure_row, measure_standing
from bench.site.naming import slug
from bench.site.reading import (
    Found,
    Unread,
    cell_folders,
    problem,
    read_audit,
    read_badges,
    read_cells,
    read_test_images,
)


@dataclass(frozen=True)
class Group:
    """The cells of one row, in order of seed; their scores are read when they are first needed."""

    cells: tuple[Found, ...]

    @property
    def task(self) -> TaskPart:
        """Of all of them."""
        return self.cells[0].record.task

    @property
    def version(self) -> str:
        """Of the detector."""
        return self.cells[0].record.detector.version

    @property
    def variant(self) -> str:
        """Of the detector."""
        return self.cells[0].record.detector.variant

    @property
    def name(self) -> str:
        """As :class:`bench.report.rows.Row` has it."""
        return self.cells[0].record.detector.row

    @property
    def slug(self) -> str:
        """For links and files; two configurations of one name have two."""
        record = self.cells[0].record
        config = json.dumps(record.detector.config, sort_keys=True)
        return slug(f"{self.name}-v{self.version}", record.status, record.reason, config)

    @property
    def digest(self) -> str:
        """Hash of its records, which hold those of their scores."""
        return sha256("\n".join((self.slug, *(cell.digest for cell in self.cells))).encode()).hexdigest()

    @cached_property
    def row(self) -> report.Row:
        """With its scores.

        Raises:
            RecordError: they are missing, damaged or of different images.

        """
        (row,) = report.make_rows((cell.folder, cell.record) for cell in self.cells)
        return row


def badge_of(cell: str, said: Mapping[str, Attestation]) -> Badge:
    """What stands behind a cell: a maintainer's word, or else scores as submitted, with every number computed here."""
    return said[cell].badge if cell in said else "recomputed"


def build_model(results: Path, catalogue: Catalogue, kept: Kept) -> Site:
    """Read a folder of published results; private tasks and smoke tests are left out.

    Whatever cannot be shown becomes a problem, and the rest is built.
    """
    return model_of(cell_folders(results), results, catalogue, kept)


def model_of(folders: Sequence[Path], root: Path, catalogue: Catalogue, kept: Kept, own: bool = False) -> Site:
    """Make the model of some cells.

    Args:
        folders: of the cells.
        root: folder of results that they lie in.
        catalogue: what plugins say of the names.
        kept: where facts are kept.
        own: with private tasks and smoke tests, and every variant ranked, for the eyes of who ran them.

    """
    cells, unread, problems = read_cells(folders, root, own)
    said, wrong = read_badges(root)
    problems += wrong
    groups: dict[tuple[str, ...], list[Found]] = {}
    for cell in cells:
        task = cell.record.task
        groups.setdefault((task.name, task.version, task.manifest_sha256), []).append(cell)
    reader = _Reader(root, catalogue, kept, said, unread, problems, own)
    editions = _superseded(sorted((reader.edition(own) for own in groups.values()), key=_order))
    return Site(
        editions=tuple(editions),
        detectors=tuple(_detectors(editions, catalogue)),
        problems=tuple(sorted(problems, key=lambda one: one.where)),
        records=len(cells),
    )


@dataclass(frozen=True)
class _Reader:
    """What every edition needs; ``problems`` grows."""

    root: Path
    catalogue: Catalogue
    kept: Kept
    said: Mapping[str, Attestation]
    unread: Sequence[Unread]
    problems: list[Problem]
    own: bool

    def edition(self, cells: Sequence[Found]) -> Edition:
        task, folder = cells[0].record.task, cells[0].folder.parents[1].name
        groups = _group(cells)
        shown = self._shown(groups, folder)
        rows = sorted(shown.values(), key=lambda row: (-(row.auroc.value if row.auroc else -1.0), row.name))
        by_slug = {group.slug: group for group in groups if group.slug in shown}
        chosen = list(by_slug.values())
        newest = {group.slug for group in (chosen if self.own else report.newest(chosen))}
        ranked = [row for row in rows if row.slug in newest and row.auroc]
        audit, wrong = read_audit(self.root, folder, task)
        self.problems.extend(wrong)
        standing, images = self._standing([by_slug[row.slug] for row in ranked])
        incomplete = {one.detector for one in self.unread if one.task == folder}
        return Edition(
            slug=slug(task.name, task.version, task.manifest_sha256),
            task=task,
            entry=self.catalogue.tasks.get(task.name),
            superseded=False,
            rows=tuple(ranked),
            failed=tuple(row for row in rows if row.slug in newest and not row.auroc),
            others=tuple(row for row in rows if row.slug not in newest),
            cells={name: tuple(map(self._cell, group.cells)) for name, group in by_slug.items()},
            incomplete=frozenset(row.slug for row in rows if row.detector.name in incomplete),
            standing=standing,
            images=images,
            sheet=self._sheet(task, images),
            audit=audit,
        )

    def _shown(self, groups: Sequence[Group], folder: str) -> dict[str, Row]:
        """Facts of the rows that can be shown: their scores are whole, and of the images of the manifest."""
        try:
            listed = read_test_images(self.root, folder, groups[0].task)
        except RecordError as error:
            self.problems.append(
                problem(groups[0].cells[0].folder, f"nothing of this edition is shown: {error}", self.root)
            )
            return {}
        shown = {}
        for group in groups:
            try:
                inputs = [group.digest, group.task.manifest_sha256]
                shown[group.slug] = self.kept.get(Row, inputs, partial(_row, group, listed))
            except (RecordError, ValueError) as error:
                self.problems.append(problem(group.cells[0].folder, error, self.root))
        return shown

    def _standing(self, groups: Sequence[Group]) -> tuple[Standing, Images]:
        if not groups:
            return Standing(), Images()
        inputs = [group.digest for group in groups]
        standing = self.kept.get(Standing, inputs, lambda: measure_standing({one.slug: one.row for one in groups}))
        return standing, self.kept.get(Images, inputs[:1], lambda: images_of(groups[0].row))

    def _sheet(self, task: TaskPart, images: Images) -> Sheet:
        draw = self.catalogue.sheets.get(task.name)
        if draw is None or not images.ids:
            return Sheet()
        inputs = [task.manifest_sha256, version("pillow"), *images.ids]
        return self.kept.get(Sheet, inputs, lambda: Sheet(jpeg=draw(task, images.ids)))

    def _cell(self, found: Found) -> Cell:
        record, said = found.record, self.said.get(found.record.cell)
        auroc = record.metrics.get("auroc")
        return Cell(
            cell=record.cell,
            seed=record.seed,
            auroc=Estimate(**auroc.model_dump()) if auroc else None,
            badge=badge_of(record.cell, self.said),
            by=said.by if said else "",
            on=said.on.isoformat() if said else "",
            fit_seconds=record.cost.fit_seconds,
            images_per_second=record.cost.images_per_second,
            peak_rss_bytes=record.cost.peak_rss_bytes,
            device=record.cost.device,
            precision=record.cost.precision,
            environment=record.environment,
        )


def _group(cells: Iterable[Found]) -> list[Group]:
    """Cells of one row."""
    groups: dict[tuple[str, ...], list[Found]] = {}
    for cell in cells:
        groups.setdefault(report.row_key(cell.record), []).append(cell)
    return [Group(tuple(sorted(own, key=lambda cell: cell.record.seed))) for own in groups.values()]


def _row(group: Group, listed: Mapping[str, int]) -> Row:
    row = group.row
    for cell in row.cells:
        if dict(zip(cell.ids, cell.labels.tolist(), strict=True)) != listed:
            raise RecordError("its test images or labels are not those of the manifest: run bench verify")
    return measure_row(group.slug, group.cells[0].record.detector, row)


def _order(edition: Edition) -> tuple[object, ...]:
    """Real images with the official protocol, then protocol variants, then drawn images."""
    task = edition.task
    return (task.synthetic, bool(task.protocol), task.name, _number(task.version), task.edition, edition.slug)


def _number(version: str) -> tuple[int, ...]:
    return tuple(-int(part) for part in version.split(".") if part.isdecimal())


def _superseded(editions: Sequence[Edition]) -> list[Edition]:
    """Mark the editions of which a newer version of the task has records."""
    newer = report.superseded(one.task for one in editions)
    return [one.model_copy(update={"superseded": (one.task.name, one.task.version) in newer}) for one in editions]


def _detectors(editions: Sequence[Edition], catalogue: Catalogue) -> list[DetectorFacts]:
    found: dict[str, list[tuple[str, Row]]] = {}
    for edition in editions:
        for row in edition.all_rows:
            found.setdefault(row.detector.name, []).append((edition.slug, row))
    return [
        DetectorFacts(slug=slug(name), name=name, entry=catalogue.detectors.get(name), results=tuple(results))
        for name, results in sorted(found.items())
    ]
