"""What a person sees on stderr while cells run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.contracts import RESUME
from bench.run.plan import Cell
from bench.run.runner import (
    CellFinished,
    CellProgress,
    CellStarted,
    CheckpointFailed,
    Decoding,
    Event,
    HookFailed,
    MetricFailed,
)

PLAIN_INTERVAL = 15.0


def make_display() -> Display:
    """Choose the display that suits stderr."""
    console = Console(stderr=True)
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def cell_name(cell: Cell) -> str:
    """``oct-phantom · salad@no-ssim · seed 0``."""
    variant = cell.variant.name
    name = cell.variant.spec.name if variant == "default" else f"{cell.variant.spec.name}@{variant}"
    return f"{cell.task.spec.name} · {name} · seed {cell.seed}"


def scalars_text(event: CellProgress) -> str:
    """``loss 0.31, ssim 0.8``."""
    return ", ".join(f"{name} {value:.4g}" for name, value in event.scalars.items())


class Display:
    """Collects finished cells; subclasses show what happens."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.finished: list[CellFinished] = []
        self.cells = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to put away."""

    def plan(self, cells: int) -> None:
        """Be told how many cells there will be."""
        self.cells = cells

    def preparing(self, task: str) -> Callable[[str, int, int], None]:
        """Return what is to be told how far the listing of a task's images is: (step, done, total)."""
        return lambda step, done, total: self.step(f"{task}: {step}", done, total)

    def step(self, text: str, done: int, total: int) -> None:
        """Be told how far a step is."""

    def line(self, text: str, style: str = "") -> None:
        """Print one line that stays."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def watch(self, event: Event) -> None:
        """Be told what happens."""
        if isinstance(event, CellFinished):
            self.finished.append(event)
            self.line(self._ending(event), "" if event.record.status == "ok" else "red")
        elif isinstance(event, CellStarted) and event.note:
            self.line(f"{cell_name(event.cell)}: computed again, since {event.note}")
        elif isinstance(event, HookFailed):
            self.line(f"warning: {event.hook} failed: {event.reason}", "yellow")
        elif isinstance(event, MetricFailed):
            self.line(f"warning: {cell_name(event.cell)}: {event.reason}", "yellow")
        elif isinstance(event, CheckpointFailed):
            text = "its training goes on, but would start anew if it were interrupted"
            self.line(f"warning: {cell_name(event.cell)}: {text}: {event.reason}", "yellow")
        elif isinstance(event, CellProgress) and event.phase == RESUME:
            self.line(f"{cell_name(event.cell)}: training goes on after step {event.done}")

    def _ending(self, event: CellFinished) -> str:
        record, count = event.record, f"[{len(self.finished)}/{self.cells}] {cell_name(event.cell)}"
        if record.status != "ok":
            return f"{count}: {record.status}: {record.reason}"
        how = "reused" if event.reused else f"fit {record.cost.fit_seconds or 0:.1f} s"
        return f"{count}: AUROC {record.metrics['auroc'].value:.3f}, {how}"


class PlainDisplay(Display):
    """Lines for logs: starts, endings, and a sign of life every quarter of a minute."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last = time.monotonic()
        self._begun: set[str] = set()

    def step(self, text: str, done: int, total: int) -> None:
        """Say so when it takes long."""
        self._now_and_then(f"{text} {done}/{total}")

    def watch(self, event: Event) -> None:
        """Print a line where something happened."""
        super().watch(event)
        if isinstance(event, CellStarted):
            self.line(f"{cell_name(event.cell)}: started")
            self._last = time.monotonic()
        elif isinstance(event, CellProgress) and event.cell.id not in self._begun:
            self._begun.add(event.cell.id)
            self.line(f"{cell_name(event.cell)}: {event.phase} begins")
        elif isinstance(event, CellProgress):
            self._now_and_then(
                f"{cell_name(event.cell)}: {event.phase} {event.done}/{event.total} {scalars_text(event)}".rstrip()
            )
        elif isinstance(event, Decoding):
            if event.done == event.total:
                self.line(f"{event.task}: decoded {event.total} images at {event.size} px")
            else:
                self._now_and_then(f"{event.task}: decoding {event.done}/{event.total}")

    def _now_and_then(self, text: str) -> None:
        if time.monotonic() - self._last >= PLAIN_INTERVAL:
            self._last = time.monotonic()
            self.line(text)


class LiveDisplay(Display):
    """Bars: all cells, and the phase of each cell in progress with its numbers and the time that remains."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            transient=True,
        )
        self._shown: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the bars away."""
        self._bars.stop()

    def plan(self, cells: int) -> None:
        """Show a bar for all cells."""
        super().plan(cells)
        self._show("cells", "cells", 0, cells)

    def step(self, text: str, done: int, total: int) -> None:
        """Show how far it is."""
        self._show(text, text, done, total, gone=done == total)

    def watch(self, event: Event) -> None:
        """Move the bars."""
        super().watch(event)
        if isinstance(event, Decoding):
            text = f"{event.task}: decoding at {event.size} px"
            self._show(text, text, event.done, event.total, gone=event.done == event.total)
        elif isinstance(event, CellProgress):
            text = f"{cell_name(event.cell)} · {event.phase}"
            self._show(event.cell.id + event.phase, text, event.done, event.total, scalars_text(event))
            for key in [key for key in self._shown if key.startswith(event.cell.id) and not key.endswith(event.phase)]:
                self._bars.remove_task(self._shown.pop(key))
        elif isinstance(event, CellFinished):
            for key in [key for key in self._shown if key.startswith(event.cell.id)]:
                self._bars.remove_task(self._shown.pop(key))
            self._show("cells", "cells", len(self.finished), self.cells)

    def _show(self, key: str, text: str, done: int, total: int, numbers: str = "", gone: bool = False) -> None:
        if key not in self._shown:
            self._shown[key] = self._bars.add_task(text, total=total or None, numbers=numbers)
        self._bars.update(self._shown[key], completed=done, total=total or None, numbers=numbers)
        if gone:
            self._bars.remove_task(self._shown.pop(key))
