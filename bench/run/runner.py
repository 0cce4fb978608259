"""One run, in a straight line: reuse what is finished, run the rest, write a record for each, tell the hooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from bench.data.decode import ImageMaps, prepare_images
from bench.errors import BadImagesError
from bench.registry import Registry
from bench.results.record import EDITED, Record
from bench.results.store import Store
from bench.run.jobs import CheckpointLost, Outcome, Request, Started
from bench.run.maps import Truth, read_truth
from bench.run.plan import Cell
from bench.run.pool import run_jobs
from bench.run.reuse import why_recompute
from bench.run.sandbox import Sandbox
from bench.run.unfinished import discard_others, unfinished_folder
from bench.run.worker import describe


@dataclass(frozen=True)
class RunOptions:
    """How to run: where images and records lie, on what, and whether what was learned is kept."""

    cache: Path
    data: tuple[Path, ...]
    device: str = "auto"
    jobs: int = 1
    timeout: float | None = None
    force: bool = False
    sandbox: Sandbox | None = None
    keep_state: bool = False


@dataclass(frozen=True)
class CellStarted:
    """A cell's process starts; ``note`` says why an older record of it was not reused."""

    cell: Cell
    note: str


@dataclass(frozen=True)
class CellProgress:
    """A cell has come further."""

    cell: Cell
    phase: str
    done: int
    total: int
    scalars: Mapping[str, float]


@dataclass(frozen=True)
class CellFinished:
    """A cell has its record."""

    cell: Cell
    record: Record
    folder: Path
    reused: bool


@dataclass(frozen=True)
class Decoding:
    """Images of a task are being decoded."""

    task: str
    size: int
    done: int
    total: int


@dataclass(frozen=True)
class HookFailed:
    """A notify hook of a plugin raised; the record was already written."""

    hook: str
    reason: str


@dataclass(frozen=True)
class MetricFailed:
    """A metric of a plugin could not be computed for a cell that is fine otherwise."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class CheckpointFailed:
    """A cell goes on, but its checkpoints cannot be kept: whoever interrupts it loses its training."""

    cell: Cell
    reason: str


Event = CellStarted | CellProgress | CellFinished | Decoding | HookFailed | MetricFailed | CheckpointFailed
Watch = Callable[[Event], None]


def run_cells(cells: Sequence[Cell], registry: Registry, store: Store, options: RunOptions, watch: Watch) -> None:
    """Run the cells and tell ``watch`` what happens; a failed cell is a record, never an exception.

    Raises:
        BenchError: before any training: images that cannot be read, or a results folder that cannot be written;
            later only a full disk.
        KeyboardInterrupt: after the cells in progress were recorded as interrupted.

    """
    store.check_writable()
    if options.device not in ("auto", "cpu"):
        from bench.torchkit import resolve_device

        resolve_device(options.device)  # refused now rather than by every cell
    run = _Run(registry, store, options, watch, [])
    todo = [cell for cell in cells if not run.reuse(cell)]
    images = _decode(todo, options, watch)
    for manifest in {cell.task.manifest.sha256: cell.task.manifest for cell in todo}.values():
        store.write_manifest(manifest)
    run.execute(todo, images)
    run.notify("bench_run_finished", records=run.records)


def _decode(cells: Sequence[Cell], options: RunOptions, watch: Watch) -> dict[tuple[str, int], ImageMaps]:
    """Decode every task at every size that is asked for, before anything trains."""
    images: dict[tuple[str, int], ImageMaps] = {}
    bad: dict[str, None] = {}
    for cell in cells:
        task, size = cell.task, cell.variant.config.image_size
        if (task.spec.name, size) not in images:

            def tell(done: int, total: int, task: str = task.spec.name, size: int = size) -> None:
                watch(Decoding(task, size, done, total))

            try:
                images[task.spec.name, size] = prepare_images(task.spec, task.manifest, size, options.cache, tell)
            except BadImagesError as error:
                bad.update(dict.fromkeys(error.bad))
    if bad:
        raise BadImagesError(bad)
    return images


@dataclass(frozen=True)
class _Run:
    """What every step of a run needs to know; ``records`` grows as cells end."""

    registry: Registry
    store: Store
    options: RunOptions
    watch: Watch
    records: list[Record]

    def find(self, cell: Cell) -> Record | None:
        if self.options.force:
            return None
        return self.store.find(cell.task.spec.name, cell.variant.spec.name, cell.id)

    def why_recompute(self, found: Record, cell: Cell) -> str:
        if not self.store.has_files_of(found):
            return "its scores are missing or damaged"
        if why := why_recompute(found, cell, self.options.device, self.options.sandbox is not None):
            return why
        if self.options.keep_state and not self.store.has_state_of(found):
            return f"its learned state {'is missing or damaged' if found.state else 'was not kept'}"
        return ""

    def reuse(self, cell: Cell) -> bool:
        """Take a finished record for this cell if it may stand for it."""
        found = self.find(cell)
        if found is None or self.why_recompute(found, cell):
            return False
        record = found
        if found.detector.variant != cell.variant.name:  # run before under another label: the latest one counts
            named = found.detector.model_copy(update={"variant": cell.variant.name})
            record = found.model_copy(update={"detector": named})
            self.store.replace(record)
        discard_others(self.store.root, cell.id)
        self.records.append(record)
        self.watch(CellFinished(cell, record, self.store.folder_of(record), reused=True))
        return True

    def execute(self, cells: Sequence[Cell], images: Mapping[tuple[str, int], ImageMaps]) -> None:
        """Run cells in processes and write a record for each."""
        by_id = {cell.id: cell for cell in cells}
        started: dict[str, Outcome] = {}
        truths: dict[tuple[str, int], Truth | None] = {}
        requests = [self.request(cell, images, truths) for cell in cells]
        hidden = (self.store.root, self.options.cache, *self.options.data)
        events = run_jobs(requests, self.options.jobs, self.options.timeout, hidden, self.options.sandbox)
        try:
            for event in events:
                cell = by_id[event.key]
                if isinstance(event, Outcome):
                    started[cell.id] = event
                    self.finish(cell, event)
                    del started[cell.id]
                elif isinstance(event, Started):
                    started[cell.id] = Outcome(cell.id, "interrupted", "the run was interrupted")
                    found = self.find(cell)
                    self.watch(CellStarted(cell, self.why_recompute(found, cell) if found else ""))
                elif isinstance(event, CheckpointLost):
                    self.watch(CheckpointFailed(cell, event.reason))
                else:
                    self.watch(CellProgress(cell, event.phase, event.done, event.total, event.scalars))
        except KeyboardInterrupt:
            events.close()  # kills what is running
            for key, outcome in started.items():
                self.finish(by_id[key], outcome)
            raise
        finally:
            events.close()

    def request(
        self, cell: Cell, images: Mapping[tuple[str, int], ImageMaps], truths: dict[tuple[str, int], Truth | None]
    ) -> Request:
        """Say what a worker is to do; ``truths`` keeps the masks that were read, for other cells."""
        config, plugin = cell.variant.config, cell.variant.offer.plugin
        key = (cell.task.spec.name, config.image_size)
        maps = images[key]
        if cell.variant.spec.maps and key not in truths:
            truths[key] = read_truth(cell.task.spec, cell.task.manifest, config.image_size)
        scored, coloured = (
            cell.task.manifest.of_role("tune", "test"),
            cell.variant.spec.maps and self.options.keep_state,
        )
        return Request(
            key=cell.id,
            plugin=(plugin.name, plugin.module),
            detector=cell.variant.spec.name,
            config=config.model_dump(mode="json"),
            seed=cell.seed,
            device=self.options.device,
            fit=maps.fit,
            evaluate=maps.evaluate,
            images=len(scored),
            side=config.image_size,
            truth=truths[key] if cell.variant.spec.maps else None,
            keep_state=self.options.keep_state,
            tune=tuple(row for row, entry in enumerate(scored) if coloured and entry.role == "tune"),
            unfinished=partial(self.unfinished, cell),
        )

    def unfinished(self, cell: Cell) -> Path | None:
        """Say where a try of a cell leaves its checkpoint, and remove those that count no more.

        None where the code was edited since it was hashed: nobody could tell which code a checkpoint comes from.
        """
        made = cell.variant.provenance
        if made.edited():
            return None
        # What reuse looks at, but for the precision, which is known in the worker only: torchkit compares it.
        key = json.dumps([made.source_digest, made.pretrained, self.options.device, self.options.sandbox is not None])
        folder = unfinished_folder(self.store.root, cell.id, sha256(key.encode()).hexdigest()[:16])
        discard_others(self.store.root, cell.id, None if self.options.force else folder)
        return folder

    def finish(self, cell: Cell, outcome: Outcome) -> None:
        """Evaluate an outcome, write its record, and tell who wants to know."""
        from bench.run.recording import make_record  # pandas takes 0.4 s, in which the first cell is already loading

        known = {"CACHE": self.options.cache, "RESULTS": self.store.root}
        for number, folder in enumerate(self.options.data, start=1):
            known["DATA" if number == 1 else f"DATA{number}"] = folder
        metrics = [offer.spec for offer in self.registry.metrics.values()]
        provenance = cell.variant.provenance
        digest = EDITED if provenance.edited() else provenance.source_digest
        record, files = make_record(cell, outcome, digest, metrics, known, self.options.sandbox is not None)
        record = self.store.write(record, files, outcome.kept.path if outcome.kept else None)
        folder = self.store.folder_of(record)
        self.records.append(record)
        self.watch(CellFinished(cell, record, folder, reused=False))
        if record.status == "ok" and record.reason:
            self.watch(MetricFailed(cell, record.reason))
        self.notify("bench_cell_finished", record=record, folder=folder)

    def notify(self, hook: str, **arguments: object) -> None:
        """Call a notify hook of every plugin, one by one; one that raises costs nothing but a warning."""
        for implementation in getattr(self.registry.manager.hook, hook).get_hookimpls():
            try:
                implementation.function(**{name: arguments[name] for name in implementation.argnames})
            except (Exception, SystemExit) as error:
                plugin = implementation.plugin_name.partition(" = ")[0]
                self.watch(HookFailed(f"{hook} of plugin '{plugin}'", describe(error)))
