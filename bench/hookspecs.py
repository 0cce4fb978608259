"""The hooks that a plugin package may implement, each marked with ``@bench.hookimpl``.

No hook is firstresult and none can replace another's answer: installing a package never changes a number silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from bench.contracts import DetectorSpec, MetricSpec, TaskSpec

if TYPE_CHECKING:
    from bench.results.record import Record

GROUP = "bench"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class HookSpecs:
    """The hooks, as pluggy wants them."""

    @hookspec
    def bench_detectors(self) -> Sequence[DetectorSpec]:  # type: ignore[empty-body]
        """Offer detectors.

        Example::

            @bench.hookimpl
            def bench_detectors():
                return [bench.DetectorSpec(name="my-detector", version="1", ...)]
        """

    @hookspec
    def bench_tasks(self) -> Sequence[TaskSpec]:  # type: ignore[empty-body]
        """Offer tasks.

        Example::

            @bench.hookimpl
            def bench_tasks():
                return [bench.TaskSpec(name="my-clinic", version="1", ...)]
        """

    @hookspec
    def bench_metrics(self) -> Sequence[MetricSpec]:  # type: ignore[empty-body]
        """Offer metrics, computed for every cell beside the built-in ones.

        Example::

            @bench.hookimpl
            def bench_metrics():
                return [bench.MetricSpec("mean_gap", "1", "…", True, compute_mean_gap)]
        """

    @hookspec
    def bench_cell_finished(self, record: Record, folder: Path) -> None:
        """A cell has ended, well or badly, and its record lies in ``folder``. An exception here is a warning.

        Example::

            @bench.hookimpl
            def bench_cell_finished(record, folder):
                tracker.log(record.cell, record.status)
        """

    @hookspec
    def bench_run_finished(self, records: Sequence[Record]) -> None:
        """All cells of a run have ended; ``records`` are those of this run, reused ones among them.

        Example::

            @bench.hookimpl
            def bench_run_finished(records):
                notify(f"{len(records)} cells done")
        """
