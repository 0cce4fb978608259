"""ROC curves as PNG and SVG, one picture a task."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.files import write_atomically
from bench.metrics import roc_curve
from bench.report.rows import Row, by_edition
from bench.report.table import prevalence, with_interval

GRID = np.linspace(0.0, 1.0, 501)
# Okabe and Ito's palette: told apart with any colour vision, and by dash once the colours are used up.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")


def write_roc_curves(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw the rows of each task into ``folder/<task>.png`` and ``.svg``; several seeds as their mean curve.

    Editions of one task are never drawn together: where there are several, their names follow the task's.

    Raises:
        StorageError: the folder cannot be written.

    """
    written = []
    editions = by_edition([row for row in rows if row.cells])
    names = [task.name for task, _ in editions]
    for task, own in editions:
        name = task.name if names.count(task.name) == 1 else f"{task.name}-{task.edition}"
        for suffix, content in _draw(own).items():
            path = folder / f"{name}.{suffix}"
            write_atomically(path, content)
            written.append(path)
    return written


def mean_curve(row: Row) -> NDArray[np.float64]:
    """True-positive rate at :data:`GRID`, averaged over the seeds (vertical averaging); float64 (501,)."""
    curves = []
    for scores in row.sample.scores:
        fpr, tpr = roc_curve(row.sample.labels, scores)
        last = np.searchsorted(fpr, GRID, side="right") - 1  # the highest point reached at each rate: a step curve
        curves.append(tpr[last])
    mean: NDArray[np.float64] = np.mean(curves, axis=0)
    return mean


def _draw(rows: Sequence[Row]) -> dict[str, bytes]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    task = rows[0].task
    with mpl.rc_context({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.6, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.75", linewidth=1)
        for number, row in enumerate(rows):
            assert row.auroc is not None
            axes.step(
                GRID,
                mean_curve(row),
                where="post",
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
                linewidth=1.6,
                label=f"{row.name}{'*' * bool(row.pretrained)}  {with_interval(row.auroc)}",
            )
        seeds = max(len(row.seeds) for row in rows)
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        axes.set_xlabel("false-positive rate (1 − specificity)")
        axes.set_ylabel("true-positive rate (sensitivity)")
        marker = " — SYNTHETIC images" if task.synthetic else ""
        averaged = f", mean of {seeds} seeds where trained" if seeds > 1 else ""
        axes.set_title(f"{task.name} ({task.edition}){marker}\nprevalence {prevalence(task):.1%}{averaged}", loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        note = "AUROC [95 % interval]" + (", * pretrained" if any(row.pretrained for row in rows) else "")
        axes.legend(title=note, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, alignment="left")
        pictures = {}
        for suffix in ("png", "svg"):
            buffer = io.BytesIO()
            metadata = {"Date": None} if suffix == "svg" else {"Software": None}
            figure.savefig(buffer, format=suffix, dpi=150, metadata=metadata, bbox_inches="tight")
            pictures[suffix] = buffer.getvalue()
    return pictures
