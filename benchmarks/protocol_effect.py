"""How a protocol variant changes each detector's AUROC, from published records alone: same test images, so paired.

    python benchmarks/protocol_effect.py oct2017 oct2017-clean

All figures are means over the seeds that both have. The 95 % intervals of differences count the sampling of test images
(patients where they are known) and the spread of the difference over seeds.
"""

import argparse
from pathlib import Path
from statistics import mean

from bench.metrics import auroc
from bench.metrics.paired import Joint
from bench.report.published import published_rows
from bench.report.rows import Row


def main() -> None:
    """Print one line a detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("variant")
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    base, variant = (
        {row.name: row for row in published_rows(options.results, task=task) if row.cells}
        for task in (options.base, options.variant)
    )
    print(f"| detector | {options.base} | {options.variant} | difference [95 % interval] | p | seeds |")
    print("|---|---|---|---|---|---|")
    for name in sorted(base.keys() & variant.keys()):
        print(line(base[name], variant[name]))


def line(base: Row, variant: Row) -> str:
    """Format one detector's line."""
    assert base.cells[0].ids == variant.cells[0].ids, "other test images"
    seeds = [seed for seed in base.seeds if seed in variant.seeds]
    pairs = [(variant.seeds.index(seed), base.seeds.index(seed)) for seed in seeds]
    found = Joint([variant.sample, base.sample]).compare(0, 1, pairs)
    before, after = (
        mean(auroc(cell.labels, cell.scores) for cell, seed in zip(row.cells, row.seeds, strict=True) if seed in seeds)
        for row in (base, variant)
    )
    interval = f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    numbers = f"{before:.4f} | {after:.4f} | {interval} | {found.p:.3f}"
    return f"| {base.name} | {numbers} | {','.join(map(str, seeds))} |"


if __name__ == "__main__":
    main()
