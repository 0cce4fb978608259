"""The comparative table for a paper: LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bench.report.rows import Row, by_edition, superseded
from bench.report.standing import standing_note, standings
from bench.report.table import HEADINGS, cells_of, describe_task, pretrained_note

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "–": "--", "·": r"\,$\cdot$\,", "≥": r"$\geq$", "−": r"$-$",
}  # fmt: skip


def as_latex(rows: Sequence[Row], notes: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return one LaTeX table per task, which needs the package booktabs.

    Args:
        rows: as for the other forms.
        notes: lines to stand in the caption, by hash of the manifest.

    """
    parts = ["% needs \\usepackage{booktabs}"]
    newer = superseded(row.task for row in rows)
    for task, own in by_edition(rows):
        found = standings(own)
        weights = pretrained_note(own)
        told = [
            describe_task(task, newer.get((task.name, task.version))) + ".",
            weights and weights + ".",
            standing_note(found),
            notes.get(task.manifest_sha256, ""),
        ]
        lines = [
            r"\begin{table}",
            r"\centering",
            r"\caption{" + " ".join(escape(note) for note in told if note) + "}",
            r"\begin{tabular}{l" + "r" * (len(HEADINGS) - 1) + "}",
            r"\toprule",
            " & ".join(escape(heading) for heading in HEADINGS) + r" \\",
            r"\midrule",
            *(" & ".join(escape(cell) for cell in cells_of(row, found)) + r" \\" for row in own),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Write any text so that LaTeX prints it and does nothing else."""
    return "".join(SPECIAL.get(character, character) for character in text if character >= " ")
