"""What ``bench compare`` prints and draws."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from bench.errors import UsageError
from bench.files import write_atomically
from bench.metrics.across import Across, across_tasks
from bench.report.comparison import Comparison, verdict
from bench.report.rows import Row
from bench.report.standing import Standings, rank_text
from bench.report.table import plain_table, print_wide
from bench.results.record import TaskPart


def print_comparisons(found: Sequence[Comparison]) -> None:
    """Print one table a task: all images first, then each disease."""
    console = Console(soft_wrap=False)
    for task in {one.task.manifest_sha256: one.task for one in found}.values():
        own = [one for one in found if one.task.manifest_sha256 == task.manifest_sha256]
        whole = own[0]
        patients = f", {whole.patients} patients" if whole.patients else ", patients not known"
        console.print(
            Text(f"{task.name} v{task.version} ({task.edition}) · {whole.images} test images{patients}", "bold")
        )
        table = plain_table("pair", "images", "seeds", "difference [95 % interval]", "p", "Holm", "")
        for one in own:
            table.add_row(*map(Text, _cells(one)))
        print_wide(table, console)
        console.print(Text(f"Difference of AUROC; {_methods(own)}.", "dim"))
        console.print()


def _cells(one: Comparison) -> tuple[str, ...]:
    found = one.difference
    numbers = ("–", "–", "–")
    if found is not None and one.adjusted is not None:
        numbers = (f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]", _p(found.p), _p(one.adjusted))
    return (f"{one.first} − {one.second}", one.category or "all", str(one.seeds), *numbers, verdict(one))


def _methods(found: Sequence[Comparison]) -> str:
    return "; ".join(dict.fromkeys(one.difference.method for one in found if one.difference))


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def print_ranks(ranked: Sequence[tuple[TaskPart, Standings | None]]) -> None:
    """Print the rank of each row as a range, and how likely it is the best."""
    console = Console(soft_wrap=False)
    for task, own in ranked:
        if own is None:
            continue
        table = plain_table(f"{task.name} ({task.edition})", "rank", "P(highest AUROC)")
        for name, rank in own.ranks.items():
            table.add_row(Text(name), Text(rank_text(rank)), Text(f"{own.top[name]:.3f}"))
        print_wide(table, console)
        if own.resolves is not None:
            console.print(Text(f"Smallest difference that most pairs can resolve: {own.resolves:.3f} AUROC.", "dim"))
        console.print()


@dataclass(frozen=True)
class Overall:
    """Mean ranks of the rows that ran on all tasks, or why there are none.

    Attributes:
        names: of the rows.
        tasks: of the tasks that count: real images, official protocol, one edition each.
        found: the ranks; None if ``reason`` says why not.
        reason: empty, or why nothing can be said.

    """

    names: tuple[str, ...]
    tasks: tuple[str, ...]
    found: Across | None
    reason: str

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        ranks = dict(zip(self.names, self.found.ranks.tolist(), strict=True)) if self.found else {}
        return {
            "tasks": list(self.tasks),
            "mean_ranks": ranks,
            "friedman_p": self.found and self.found.p,
            "critical_difference": self.found and self.found.critical,
            "reason": self.reason,
        }


def across(editions: Sequence[tuple[TaskPart, Sequence[Row]]]) -> Overall:
    """Rank rows across tasks. A protocol variant has the images of its base, and would count them twice."""
    counted: dict[str, Sequence[Row]] = {}
    for task, rows in editions:
        if not task.synthetic and not task.protocol and len(rows) > len(counted.get(task.name, ())):
            counted[task.name] = rows
    tasks = tuple(counted)
    shared = set.intersection(*({row.name for row in rows} for rows in counted.values())) if counted else set()
    if len(tasks) < 2 or len(shared) < 3:
        reason = (
            f"{len(tasks)} task(s) of real images with their official protocol, {len(shared)} detectors on all of "
            "them; ranks across tasks need 2 tasks and 3 detectors"
        )
        return Overall((), tasks, None, reason)
    areas = {name: [next(r for r in rows if r.name == name) for rows in counted.values()] for name in shared}
    means = {name: [row.auroc.value for row in rows if row.auroc] for name, rows in areas.items()}
    names = sorted(shared, key=lambda name: (-float(np.mean(means[name])), name))
    found = across_tasks(np.array([means[name] for name in names]).T)
    order = np.argsort(found.ranks, kind="stable")
    ranked = found._replace(ranks=found.ranks[order])
    return Overall(tuple(names[place] for place in order), tasks, ranked, "")


def print_across(overall: Overall) -> None:
    """Print mean ranks, Friedman's p and what may be concluded."""
    console = Console(soft_wrap=False)
    if overall.found is None:
        console.print(Text(f"Across tasks: {overall.reason}."))
        return
    found = overall.found
    table = plain_table(f"mean rank over {', '.join(overall.tasks)}", "")
    for name, rank in zip(overall.names, found.ranks, strict=True):
        table.add_row(Text(name), Text(f"{rank:.2f}"))
    print_wide(table, console)
    console.print(Text(conclusion(overall), "dim"))


def conclusion(overall: Overall) -> str:
    """Say what the ranks allow to say."""
    found = overall.found
    assert found is not None
    text = f"Friedman p = {_p(found.p)}; mean ranks must differ by more than {found.critical:.2f} (Nemenyi, 5 %)"
    if found.critical >= len(overall.names) - 1:
        text += f": more than {found.tasks} tasks can ever show for {len(overall.names)} detectors"
    return text + "."


def draw_across(overall: Overall, path: Path) -> None:
    """Draw the critical-difference diagram of Demšar 2006; those that a bar joins are not told apart.

    Raises:
        UsageError: there is nothing to draw.
        StorageError: it cannot be written.

    """
    if overall.found is None:
        raise UsageError(f"there is no diagram to draw: {overall.reason}")
    import matplotlib as mpl
    import pandas as pd
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from scikit_posthocs import critical_difference_diagram

    names, found = list(overall.names), overall.found
    gaps = np.abs(found.ranks[:, None] - found.ranks[None])
    # The diagram joins what is not significant; it asks for p values, and only on which side of 5 % they lie counts.
    apart = pd.DataFrame(np.where(gaps > found.critical, 0.0, 1.0), names, names)
    with mpl.rc_context({"svg.hashsalt": "bench", "font.size": 9}):
        figure = Figure(figsize=(7.6, 0.9 + 0.28 * len(names)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        critical_difference_diagram(dict(zip(names, found.ranks, strict=True)), apart, ax=axes)
        text = "\n".join(wrap(f"mean rank over {', '.join(overall.tasks)}. {conclusion(overall)}", 100))
        axes.set_title(text, loc="left", fontsize=9)
        buffer = io.BytesIO()
        metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[path.suffix]
        figure.savefig(buffer, format=path.suffix[1:], dpi=150, metadata=metadata, bbox_inches="tight")
    write_atomically(path, buffer.getvalue())
