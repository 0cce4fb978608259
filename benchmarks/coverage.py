"""How often 95 % intervals hold the truth, and how often paired tests find a difference that is not there.

    python benchmarks/coverage.py auroc [--runs 2000]     # AUROC and paired tests, patients and seeds
    python benchmarks/coverage.py others [--runs 2000]    # the bootstrap intervals of all other metrics

Simulated benchmarks whose truth is known. Of a patient with one to four images all are healthy or all anomalous. A
score is the sum of a part that a patient's images share (half of the variance), a part of the image, which seeds and
detectors share to 60 %, and a part of its own. A seed moves the distance of the classes by a normal amount of standard
deviation tau (0.1 moves AUROC by 0.02 at 0.8), so the truth is the mean over all possible seeds.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import norm

from bench.metrics import IMAGE_METRICS, Sample, auroc_over_seeds, measure, values
from bench.metrics.paired import compare

AREAS = (0.6, 0.7, 0.8, 0.9, 0.95)
PATIENTS = (20, 50, 100, 300)
DESIGNS = ((1, 1, 0.0), (4, 1, 0.0), (4, 3, 0.0), (4, 3, 0.1), (4, 5, 0.1))


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["auroc", "others"])
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    if options.what == "auroc":
        areas(options.runs)
    else:
        others(options.runs)


def areas(runs: int) -> None:
    """Coverage of AUROC's interval / share of paired tests with p < 0.05 although both detectors are equally good."""
    print("| patients a class | images each | seeds | tau | " + " | ".join(f"AUROC {area}" for area in AREAS) + " |")
    print("|---" * (4 + len(AREAS)) + "|")
    for patients in PATIENTS:
        for images, seeds, tau in DESIGNS:
            cells = [cell(patients, images, seeds, tau, area, runs) for area in AREAS]
            size = "1" if images == 1 else f"1–{images}"
            print(f"| {patients} | {size} | {seeds} | {tau} | " + " | ".join(cells) + " |", flush=True)


def cell(patients: int, images: int, seeds: int, tau: float, area: float, runs: int) -> str:
    """Simulate one design."""
    rng = np.random.default_rng([patients, images, seeds, int(100 * tau), int(1000 * area)])
    held = found = 0
    for _ in range(runs):
        one, other = draw(rng, patients, images, seeds, tau, area)
        interval = auroc_over_seeds(one)
        held += interval.low <= area <= interval.high
        found += compare(one, other).p < 0.05
    return f"{held / runs:.1%} / {found / runs:.1%}"


def draw(
    rng: np.random.Generator, patients: int, images: int, seeds: int, tau: float, area: float
) -> tuple[Sample, Sample]:
    """Draw two detectors of the same true AUROC on the same images."""
    size = rng.integers(1, images + 1, 2 * patients)
    clusters = np.repeat(np.arange(2 * patients), size)
    labels = (clusters < patients).astype(np.int8)
    n, shared = len(labels), 0.5 if images > 1 else 0.0
    distance = norm.ppf(area) * np.sqrt(2 + tau**2)
    common_patient, common_image = rng.normal(size=2 * patients)[clusters], rng.normal(size=n)
    samples = []
    for _ in range(2):
        own_patient = rng.normal(size=2 * patients)[clusters]
        base = np.sqrt(shared) * (np.sqrt(0.6) * common_patient + np.sqrt(0.4) * own_patient)
        noise = np.sqrt(1 - shared) * (np.sqrt(0.6) * common_image + np.sqrt(0.4) * rng.normal(size=(seeds, n)))
        moved = distance + tau * rng.normal(size=(seeds, 1))
        samples.append(Sample(labels, base + noise + moved * labels, np.empty((seeds, 0)), clusters))
    return samples[0], samples[1]


def others(runs: int) -> None:
    """Coverage of the bootstrap intervals: one seed, one image a patient, held-out normals as many as healthy ones."""
    names = [name for name in IMAGE_METRICS if name not in ("auroc", "fpr_at_95_tpr")]
    columns = [(area, patients) for area in (0.7, 0.9) for patients in (50, 100, 300)]
    held: dict[str, list[str]] = {name: [] for name in names}
    for area, patients in columns:
        rng = np.random.default_rng([patients, int(1000 * area)])
        distance = norm.ppf(area) * np.sqrt(2)
        labels = np.repeat([1, 0], patients).astype(np.int8)
        truth = true_values(distance)
        hits = dict.fromkeys(names, 0)
        for _ in range(runs):
            scores = rng.normal(size=(1, 2 * patients)) + distance * labels
            found = measure(Sample(labels, scores, rng.normal(size=(1, patients))), resamples=500)
            for name in names:
                hits[name] += found[name].low <= truth[name] <= found[name].high
        for name in names:
            held[name].append(f"{hits[name] / runs:.1%}")
    print("| metric | " + " | ".join(f"AUROC {area}, {patients} a class" for area, patients in columns) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for name, cells in held.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def true_values(distance: float, points: int = 400_000) -> dict[str, float]:
    """The metrics of the two normal distributions themselves, by their quantiles."""
    grid = norm.ppf((np.arange(points) + 0.5) / points)
    labels = np.repeat([1, 0], points).astype(np.int8)
    whole = Sample(labels, np.concatenate([grid + distance, grid])[None], grid[None])
    return {name: float(of[0]) for name, of in values(whole).items()}


if __name__ == "__main__":
    main()
