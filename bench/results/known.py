"""What the side that is asked to add a submission knows by itself: its manifests, tasks and records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RecordError
from bench.results.record import Record, TaskPart
from bench.results.scores import Scores, scores_of
from bench.results.store import Store


@dataclass(frozen=True)
class Known:
    """A folder of results that is believed.

    Attributes:
        root: the folder, whose manifests say which images there are and what their labels are.
        records: its records, with the folder of each.
        tasks: the editions that have a manifest in it, by the hash of that.

    """

    root: Path
    records: tuple[tuple[Path, Record], ...]
    tasks: Mapping[str, TaskPart]

    @classmethod
    def of(cls, root: Path) -> Known:
        """Read all records of a folder of results.

        Raises:
            RecordError: one that cannot be read.

        """
        records = tuple(Store(root).records())
        return cls(root, records, {record.task.manifest_sha256: record.task for _, record in records})

    def manifest(self, task: TaskPart) -> bytes:
        """Read the manifest of a task that is among :attr:`tasks`.

        Raises:
            RecordError: it is not there.

        """
        path = self.root / "manifests" / task.name / f"{task.manifest_sha256}.parquet"
        try:
            return path.read_bytes()
        except OSError as error:
            raise RecordError(f"cannot read {path}: {error.strerror}") from error

    def scored(self, manifests: Iterable[str]) -> list[tuple[Record, Scores]]:
        """Read the scores of finished cells that were made with some manifests.

        Raises:
            RecordError: scores that are missing, or are not those of their record.

        """
        wanted = set(manifests)
        found = []
        for folder, record in self.records:
            if record.status == "ok" and record.task.manifest_sha256 in wanted:
                found.append((record, scores_of(folder, record)))
        return found
