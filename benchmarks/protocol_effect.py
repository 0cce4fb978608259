"""How a protocol variant changes each detector's AUROC, from published records alone: same test images, so paired.

    python benchmarks/protocol_effect.py oct2017 oct2017-clean

Differences are means over the seeds that both have. Their 95 % intervals count the sampling of test images (DeLong's
covariance of all scores of the pair) and the spread of the difference over seeds; images count as independent.
"""

import argparse
from pathlib import Path
from statistics import NormalDist

import numpy as np

from bench.metrics import delong
from bench.results.record import Record
from bench.results.scores import Scores, read_scores
from bench.results.store import SCORES, Store


def main() -> None:
    """Print one line a detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("variant")
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    cells: dict[str, dict[str, dict[int, Scores]]] = {}
    for folder, record in Store(options.results).records():
        if record.status == "ok" and record.task.name in (options.base, options.variant):
            by_task = cells.setdefault(record.detector.name, {})
            by_task.setdefault(record.task.name, {})[record.seed] = scores_of(folder, record)
    print(f"| detector | {options.base} | {options.variant} | difference [95 % interval] | seeds |")
    print("|---|---|---|---|---|")
    for detector, by_task in sorted(cells.items()):
        base, variant = (by_task.get(name, {}) for name in (options.base, options.variant))
        if seeds := sorted(base.keys() & variant.keys()):
            print(compare(detector, [base[seed] for seed in seeds], [variant[seed] for seed in seeds], seeds))


def scores_of(folder: Path, record: Record) -> Scores:
    """Read a cell's scores."""
    (digest,) = (file.sha256 for file in record.files if file.path == SCORES)
    return read_scores(folder / SCORES, digest)


def compare(detector: str, base: list[Scores], variant: list[Scores], seeds: list[int]) -> str:
    """Format one detector's line."""
    assert all(cell.ids == base[0].ids for cell in (*base, *variant)), "other test images"
    areas, covariance = delong(base[0].labels, np.stack([cell.scores for cell in (*base, *variant)]))
    count = len(seeds)
    weights = np.repeat([-1 / count, 1 / count], count)
    before, after = areas[:count], areas[count:]
    spread = float(np.var(after - before, ddof=1)) / count if count > 1 else 0.0
    difference = float(weights @ areas)
    half = NormalDist().inv_cdf(0.975) * (max(float(weights @ covariance @ weights), 0.0) + spread) ** 0.5
    interval = f"{difference:+.4f} [{difference - half:+.4f}, {difference + half:+.4f}]"
    return f"| {detector} | {before.mean():.4f} | {after.mean():.4f} | {interval} | {','.join(map(str, seeds))} |"


if __name__ == "__main__":
    main()
