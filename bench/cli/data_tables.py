"""Splits and audits as tables for people."""

from __future__ import annotations

from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.data.audit.duplicates import Pair
from bench.data.audit.report import Audit, name
from bench.data.audit.search import SMALLEST
from bench.data.audit.similarity import SIDE
from bench.data.manifest import Manifest
from bench.data.split import as_json

SHOWN = 20
ORDER = ("test", "other", "within")


def print_split(manifest: Manifest) -> None:
    """Print images and patients by role and class."""
    console = Console()
    console.print(_title(manifest), highlight=False)
    table = _table("", ("role", "class", "label"), ("images", "patients"))
    for row in as_json(manifest)["roles"]:
        patients = "unknown" if row["patients"] is None else f"{row['patients']:,}"
        label = "anomalous" if row["label"] else "normal"
        table.add_row(row["role"], Text(row["category"]), label, f"{row['images']:,}", patients)
    console.print(table)


def print_audit(found: Audit) -> None:
    """Print duplicates, shared patients and confounds; pairs that leak into test come first."""
    console = Console()
    console.print(_title(found.manifest), highlight=False)
    kinds = Counter((pair.kind, _where(pair)) for pair in found.duplicates)
    table = _table("Duplicate pairs", ("",), ("test and another role", "fit, tune, pool", "within a role"))
    for kind in ("exact", "near"):
        counts = [str(kinds[kind, where]) for where in ORDER]
        table.add_row(kind, *(counts if found.near or kind == "exact" else ["not searched"] * 3))
    console.print(table)
    if not found.near:
        console.print(f"No search for near-duplicates: below {SMALLEST} px copies and neighbours look the same.")
    if found.duplicates:
        _print_pairs(found, console)
    shared = len(found.shared_patients)
    console.print(f"Patients of test who are in another role too: {shared}" + (f" ({_roles(found)})" if shared else ""))
    confounds = _table("Confounds: AUROC on test of what does not look at disease", ("predictor",), ("AUROC", "images"))
    for confound in found.confounds:
        auroc = f"{confound.auroc.value:.3f} [{confound.auroc.low:.3f}, {confound.auroc.high:.3f}]"
        confounds.add_row(Text(confound.name), Text(auroc), f"{confound.images:,}")
    console.print(confounds)


def _print_pairs(found: Audit, console: Console) -> None:
    pairs = sorted(found.duplicates, key=lambda pair: (ORDER.index(_where(pair)), -pair.similarity))
    table = _table(f"Pairs, leaks first (compared at {SIDE} px)", ("kind", "alike", "images and their roles"), ())
    for pair in pairs[:SHOWN]:
        both = "\n".join(f"{entry.role}: {name(found, entry)}" for entry in (pair.a, pair.b))
        table.add_row(pair.kind, f"{pair.similarity:.3f}", Text(both))
    console.print(table)
    if len(pairs) > SHOWN:
        console.print(f"… and {len(pairs) - SHOWN} more: --json has all of them.")


def _title(manifest: Manifest) -> str:
    return (
        f"[bold]{manifest.task}[/] v{manifest.version} · edition {manifest.edition} · "
        f"{len(manifest.images()):,} images · grouping: {manifest.grouping}"
    )


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in left:
        table.add_column(column, overflow="fold")
    for column in right:
        table.add_column(column, justify="right")
    return table


def _where(pair: Pair) -> str:
    if pair.a.role == pair.b.role:
        return "within"
    return "test" if "test" in (pair.a.role, pair.b.role) else "other"


def _roles(found: Audit) -> str:
    counts = Counter(role for shared in found.shared_patients for role in shared.roles if role != "test")
    return ", ".join(f"{number} in {role}" for role, number in sorted(counts.items()))
