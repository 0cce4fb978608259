"""The manifest: a task's list of images, with identities that depend on file contents alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from bench.contracts import Grouping, ImageFile, Role, TaskSpec
from bench.errors import BadTaskError

TUNE_FRACTION = 0.1


class Entry(NamedTuple):
    """One image of a task.

    Attributes:
        id: first 16 hex digits of the sha256 of the file; further identical files get ``-2``, ``-3`` in path order.
        path: where the file lies on this machine; never published.
        patient: key of the patient, or None.
        role: ``fit``, ``tune``, ``test``, ``pool``, or ``skipped``: unreadable, and left out by request.
        label: 0 normal, 1 anomalous.
        category: the class in the data set's own words.
        mask: id of the lesion mask, or None.
        mask_path: where the mask lies on this machine; never published.
        member: array and row where ``path`` is an .npz file of many images.
        attributes: what else is known; no part of the manifest's hash, never published.

    """

    id: str
    path: Path
    patient: str | None
    role: Role
    label: Literal[0, 1]
    category: str
    mask: str | None
    mask_path: Path | None
    member: tuple[str, int] | None = None
    attributes: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Manifest:
    """A task's images in order of id, and the hash that tells one edition from another.

    ``base`` is the manifest that a protocol variant starts from.
    """

    task: str
    version: str
    grouping: Grouping
    edition: str
    sha256: str
    entries: tuple[Entry, ...]
    base: Manifest | None = None

    def images(self) -> tuple[Entry, ...]:
        """Return all entries but the skipped ones, in order of id."""
        return tuple(entry for entry in self.entries if entry.role != "skipped")

    def of_role(self, *roles: Role) -> tuple[Entry, ...]:
        """Return the entries with one of these roles, in order of id."""
        return tuple(entry for entry in self.entries if entry.role in roles)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by role and label."""
        return count_roles((entry.role, entry.label) for entry in self.entries)


def count_roles(images: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Count images by role and label: ``{"test": {"normal": 234, "anomalous": 390}, …}``."""
    tally = Counter(images)
    return {
        role: {"normal": tally[role, 0], "anomalous": tally[role, 1]}
        for role in ("fit", "tune", "test", "pool", "skipped")
        if tally[role, 0] or tally[role, 1]
    }


def goes_to_tune(task: str, key: str) -> bool:
    """Whether a training normal is held out for thresholds: decided by task and patient (or image) alone.

    So it never moves when images are added, and all images of one patient move together.
    """
    return int(sha256(f"{task}/{key}".encode()).hexdigest()[:8], 16) / 2**32 < TUNE_FRACTION


def build_manifest(
    spec: TaskSpec,
    files: Sequence[ImageFile],
    digests: Sequence[str],
    mask_digests: Mapping[Path, str] = MappingProxyType({}),
    skipped: Set[int] = frozenset(),
) -> Manifest:
    """Give every file its identity and its final role.

    Args:
        spec: the task.
        files: what the task found on disk, in any order.
        digests: sha256 of each, as 64 hex digits.
        mask_digests: the same of the masks, by path.
        skipped: places in ``files`` of those that cannot be read and are left out.

    Raises:
        BadTaskError: nothing to learn from, a test class missing, or an anomaly among the fit images.

    """
    seen: Counter[str] = Counter()
    entries = []
    for place in sorted(range(len(files)), key=lambda place: (str(files[place].path), files[place].member or ("", 0))):
        file, short = files[place], digests[place][:16]
        seen[short] += 1
        image_id = short if seen[short] == 1 else f"{short}-{seen[short]}"
        role: Role = "skipped" if place in skipped else file.role
        if role == "fit" and goes_to_tune(spec.name, file.patient or image_id):
            role = "tune"
        mask = mask_digests[file.mask][:16] if file.mask else None
        known = (file.patient, role, file.label, file.category, mask, file.mask, file.member, file.attributes)
        entries.append(Entry(image_id, file.path, *known))
    return seal(spec, entries)


def seal(spec: TaskSpec, entries: Iterable[Entry], base: Manifest | None = None) -> Manifest:
    """Make a task's manifest of its entries, which may come in any order.

    Raises:
        BadTaskError: nothing to learn from, a test class missing, or an anomaly among the fit images.

    """
    ordered = tuple(sorted(entries, key=lambda entry: entry.id))
    rows = ((e.id, e.patient, e.role, e.label, e.category, e.mask) for e in ordered)
    digest = manifest_sha256(spec.name, spec.version, rows)
    edition = spec.editions.get(digest, f"edition-{digest[:8]}")
    manifest = Manifest(spec.name, spec.version, spec.grouping, edition, digest, ordered, base)
    _check(manifest, spec.protocol.contamination > 0)
    return manifest


def manifest_sha256(task: str, version: str, rows: Iterable[tuple[str, str | None, str, int, str, str | None]]) -> str:
    """Hash what a result depends on, and nothing of where the files lie.

    Args:
        task: name of the task.
        version: version of the task.
        rows: id, patient, role, label, category and mask of each image, in order of id.

    """
    digest = sha256(f"{task}\t{version}\n".encode())
    for image_id, patient, role, label, category, mask in rows:
        columns = (image_id, patient or "", role, str(label), category, mask or "")
        digest.update(("\t".join(columns) + "\n").encode())
    return digest.hexdigest()


def _check(manifest: Manifest, contaminated: bool) -> None:
    name, counts = manifest.task, manifest.counts()
    normal_only = ("tune",) if contaminated else ("fit", "tune")
    wrong = [role for role in normal_only if counts.get(role, {}).get("anomalous")]
    if wrong:
        raise BadTaskError(f"task '{name}' has anomalous images among its {wrong[0]} images; give them the role pool")
    if "fit" not in counts:
        raise BadTaskError(f"task '{name}' has no normal training images, so no detector can learn")
    test = counts.get("test", {"normal": 0, "anomalous": 0})
    missing = [label for label, number in test.items() if number == 0]
    if missing:
        raise BadTaskError(
            f"task '{name}' has no {' and no '.join(missing)} test images, so no ROC curve exists "
            f"(test: {test['normal']} normal, {test['anomalous']} anomalous)"
        )
