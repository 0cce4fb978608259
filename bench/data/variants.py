"""Protocol variants: tasks that change one declared thing of another, and nothing else.

``chest-xray-clean`` has the test images of ``chest-xray``, so that both are compared image by image. Each variant is a
task with a name, a manifest and a hash of its own: no option changes a number silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.contracts import ProtocolVariant, TaskSpec

CORRUPTIONS = ("noise", "blur", "contrast", "motion", "jpeg", "crop")
CONTAMINATIONS = (1, 5, 10)
SHOTS = (16, 64, 256)
SEVERITIES = (1, 3, 5)


def with_variants(spec: TaskSpec, categories: Sequence[str] = (), pool: bool = True) -> list[TaskSpec]:
    """Return a task and its protocol variants; see :func:`variants_of`."""
    return [spec, *variants_of(spec, categories, pool)]


def variants_of(spec: TaskSpec, categories: Sequence[str] = (), pool: bool = True) -> list[TaskSpec]:
    """Declare the protocol variants of a task.

    Args:
        spec: the task.
        categories: classes of its anomalies that make a test set of their own.
        pool: whether it has labelled anomalies outside test, with which fit can be contaminated.

    """
    protocols = {"clean": ProtocolVariant(clean=True)}
    if pool:
        protocols |= {f"contaminated-{share}": ProtocolVariant(contamination=share / 100) for share in CONTAMINATIONS}
    protocols |= {f"few-{normals}": ProtocolVariant(normals=normals) for normals in SHOTS}
    protocols |= {category.lower(): ProtocolVariant(categories=(category,)) for category in categories}
    protocols |= {
        f"{name}-{severity}": ProtocolVariant(corruption=name, severity=severity)
        for name in CORRUPTIONS
        for severity in SEVERITIES
    }
    return [
        replace(spec, name=f"{spec.name}-{name}", base=spec, protocol=protocol, editions={})
        for name, protocol in protocols.items()
    ]


def describe(protocol: ProtocolVariant) -> str:
    """Say in words what a protocol changes."""
    parts = [
        "fit and tune without patients and near-duplicates of test" if protocol.clean else "",
        f"{protocol.normals} normals to learn from" if protocol.normals is not None else "",
        f"{protocol.contamination:.0%} of fit are anomalies" if protocol.contamination else "",
        f"test has {', '.join(protocol.categories)} only" if protocol.categories else "",
        f"test images with {protocol.corruption}, severity {protocol.severity}" if protocol.corruption else "",
    ]
    return "; ".join(filter(None, parts))
