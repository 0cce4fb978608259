"""What each part of SALAD's training is worth: losses left out, other pretext tasks. (salad_terms.py: score terms.)

    python benchmarks/salad_ablation.py run --tasks cxr-phantom --preset smoke --seeds 1 --only no-ssim,no-pretext
    python benchmarks/salad_ablation.py run --tasks chest-xray,oct2017 --data DIR             # hours
    python benchmarks/salad_ablation.py table --tasks chest-xray,oct2017

``run`` calls ``bench run`` for the default and for one variant after another; cells that are finished are used again.
``table`` reads their records. Differences are paired, seed by seed and image by image, as ``bench compare`` does; p is
adjusted after Holm over all comparisons that the tables show.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.metrics.paired import Difference, holm
from bench.report.published import published_rows
from bench.report.rows import Row, by_edition
from bench.report.standing import join, shared_seeds
from bench.results.record import TaskPart
from salad_plugin import SALAD
from salad_plugin.config import SaladConfig

LOSSES: dict[str, dict[str, Any]] = {
    "no-ssim": {"ssim_weight": 0.0},
    "no-center": {"center_weight": 0.0},
    "no-consistency": {"consistency_weight": 0.0},
    "no-adversarial": {"image_adversarial_weight": 0.0, "latent_adversarial_weight": 0.0},
    "no-pretext": {"pretext": "none"},
    "transform": {"pretext": "transform"},
    "restore": {"pretext": "restore"},
}


@dataclass(frozen=True)
class Line:
    """One variant on one task; ``difference`` and ``adjusted`` are None for the default itself."""

    task: TaskPart
    label: str
    row: Row
    difference: Difference | None = None
    adjusted: float | None = None


def main() -> None:
    """Run the variants, or print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--tasks", required=True, help="separated by commas")
    parser.add_argument("--data", type=Path, default=os.environ.get("BENCH_DATA"))
    parser.add_argument("--results", type=Path, default=Path("bench-runs"))
    parser.add_argument("--preset", choices=["default", *SALAD.presets], default="default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", help="these variants, separated by commas; all if not given")
    given = parser.parse_args()
    chosen = variants(given.preset)
    if given.only:
        names = given.only.split(",")
        if unknown := set(names) - set(chosen):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(chosen)}")
        chosen = {name: chosen[name] for name in names}
    if given.what == "run":
        sys.exit(run(given, chosen))
    lines = compare(given.results, given.tasks.split(","), given.preset, chosen)
    if not lines:
        sys.exit(f"{given.results}: no finished record of {row_name(given.preset, None)} on {given.tasks}")
    show(lines, chosen)


def variants(preset: str = "default") -> dict[str, dict[str, Any]]:
    """What each variant changes, by label; those that a preset is already are left out."""
    base = SaladConfig.model_validate(SALAD.presets.get(preset, {}))
    changed = {label: SaladConfig.model_validate({**base.model_dump(), **fields}) for label, fields in LOSSES.items()}
    return {label: fields for label, fields in LOSSES.items() if changed[label] != base}


def row_name(preset: str, label: str | None) -> str:
    """How ``bench compare`` calls a row."""
    parts = [part for part in (preset if preset != "default" else None, label) if part]
    return "@".join(["salad", "+".join(parts)]) if parts else "salad"


# ---------------------------------------------------------------- run


def run(given: argparse.Namespace, chosen: Mapping[str, dict[str, Any]]) -> int:
    """Run the default and every variant; a failure does not stop those after it. Returns how many failed."""
    failed = []
    cells: list[tuple[str | None, dict[str, Any]]] = [(None, {}), *chosen.items()]
    for label, fields in cells:
        print(f"== {row_name(given.preset, label)}", file=sys.stderr, flush=True)
        if subprocess.run(command(given, label, fields), check=False).returncode:
            failed.append(row_name(given.preset, label))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def command(given: argparse.Namespace, label: str | None, fields: Mapping[str, Any]) -> list[str]:
    """The call of ``bench run`` for one variant."""
    words = [sys.executable, "-m", "bench", "run", "--detectors", "salad", "--tasks", given.tasks]
    words += ["--preset", given.preset, "--seeds", str(given.seeds), "--results", str(given.results)]
    words += ["--device", given.device, "--jobs", str(given.jobs)]
    words += ["--data", str(given.data)] if given.data else []
    for name, value in fields.items():
        words += ["--set", f"salad.{name}={as_toml(value)}"]
    return words + (["--label", label] if label else [])


def as_toml(value: Any) -> str:
    """Write a number, a string or a list of strings as TOML."""
    if isinstance(value, list):
        return f"[{', '.join(as_toml(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


# ---------------------------------------------------------------- table


def compare(results: Path, tasks: Sequence[str], preset: str, chosen: Mapping[str, Any]) -> list[Line]:
    """Compare every variant with the default on each edition of each task; p values are adjusted over all of them."""
    labels = {row_name(preset, label): label for label in chosen}
    base_name = row_name(preset, None)
    rows = [row for row in published_rows(results, [base_name, *labels], private=True) if row.task.name in tasks]
    lines: list[Line] = []
    for task, own in by_edition(rows):
        found = {row.name: row for row in finished(own)}
        if base_name in found:
            lines += of_edition(
                task, found.pop(base_name), {labels[name]: found[name] for name in labels if name in found}
            )
    return adjusted(lines)


def adjusted(lines: Sequence[Line]) -> list[Line]:
    """Adjust p after Holm over all comparisons."""
    values = iter(holm([line.difference.p for line in lines if line.difference]))
    return [replace(line, adjusted=next(values)) if line.difference else line for line in lines]


def finished(rows: Sequence[Row]) -> Iterator[Row]:
    """Rows that have scores; those that failed are told of, and never left out in silence."""
    seen: set[str] = set()
    for row in rows:
        if not row.cells:
            print(f"{row.name} on {row.task.name}, seeds {row.seeds}: {row.status}: {row.reason}", file=sys.stderr)
            continue
        if row.name in seen:
            sys.exit(f"{row.name} on {row.task.name} has records of two configurations: remove those of the older one")
        seen.add(row.name)
        yield row


def of_edition(task: TaskPart, base: Row, others: Mapping[str, Row]) -> list[Line]:
    """Compare variants with the default, all of which scored the same images."""
    lines, joint = [Line(task, "default", base)], join([base, *others.values()])
    for place, (label, row) in enumerate(others.items(), start=1):
        pairs = shared_seeds(row, base)
        if row.version != base.version or not pairs:
            print(f"{row.name} on {task.name}: of another version, or of other seeds than the default", file=sys.stderr)
            continue
        lines.append(Line(task, label, row, joint.compare(place, 0, pairs)))
    return lines


def show(lines: Sequence[Line], chosen: Mapping[str, dict[str, Any]]) -> None:
    """Print a Markdown table for each edition."""
    shown: str | None = None
    for line in lines:
        if line.task.manifest_sha256 != shown:
            shown = line.task.manifest_sha256
            print(f"\n{line.task.name} ({line.task.edition})\n")
            print(
                "| variant | changed | AUROC [95 % interval] | less the default's [95 % interval] | p, Holm | seeds |"
            )
            print("|---|---|---|---|---|---|")
        print(in_cells(line, chosen.get(line.label, {})))


def in_cells(line: Line, fields: Mapping[str, Any]) -> str:
    """Format one line."""
    area, difference = line.row.auroc, "–"
    assert area is not None
    if line.difference is not None:
        difference = f"{line.difference.value:+.3f} [{line.difference.low:+.3f}, {line.difference.high:+.3f}]"
    changed = ", ".join(f"{name}={as_toml(value)}" for name, value in fields.items())
    p = "–" if line.adjusted is None else f"{line.adjusted:.3f}" if line.adjusted >= 0.001 else "< 0.001"
    seeds = ",".join(map(str, line.row.seeds))
    auroc = f"{area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
    return f"| {' | '.join([line.label, changed, auroc, difference, p, seeds])} |"


if __name__ == "__main__":
    main()
