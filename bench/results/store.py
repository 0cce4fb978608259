"""A results folder: ``runs/<task>/<detector>/<cell>/`` and ``manifests/<task>/<hash>.parquet``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bench.data.manifest import Manifest
from bench.errors import NewerRecordError, RecordError
from bench.files import check_writable, copy_atomically, file_sha256, storage_error, write_atomically
from bench.results.record import STATE, FilePart, Record, read_record

RECORD = "record.json"
FAILED_ATTEMPT = "failed-attempt.json"
SCORES = "scores.parquet"


@dataclass(frozen=True)
class Store:
    """Records below one folder. A cell without record.json has no record, whatever else lies there."""

    root: Path

    def check_writable(self) -> None:
        """Raise StorageError, before any training, if records could not be written."""
        check_writable(self.root, needed_bytes=16 << 20)

    def cell_folder(self, task: str, detector: str, cell: str) -> Path:
        """Folder of one cell."""
        return self.root / "runs" / task / detector / cell

    def find(self, task: str, detector: str, cell: str) -> Record | None:
        """Return the record of a cell, or None if there is none that can be read.

        Raises:
            NewerRecordError: there is one that a newer bench wrote, which must not be overwritten.

        """
        try:
            return read_record(self.cell_folder(task, detector, cell) / RECORD)
        except NewerRecordError:
            raise
        except RecordError:
            return None

    def has_files_of(self, record: Record) -> bool:
        """Whether every file that a record lists lies beside it, unchanged."""
        folder = self.folder_of(record)
        for file in record.files:
            try:
                if sha256((folder / file.path).read_bytes()).hexdigest() != file.sha256:
                    return False
            except OSError:
                return False
        return True

    def has_state_of(self, record: Record) -> bool:
        """Whether the learned state that a record tells of lies beside it, unchanged."""
        try:
            return record.state is not None and file_sha256(self.folder_of(record) / STATE) == record.state.sha256
        except OSError:
            return False

    def folder_of(self, record: Record) -> Path:
        """Folder of the cell that a record belongs to."""
        return self.cell_folder(record.task.name, record.detector.name, record.cell)

    def write(self, record: Record, files: Mapping[str, bytes], state: Path | None = None) -> Record:
        """Write a record and the files beside it; the record comes last, so it never stands beside older files.

        A failed attempt never replaces a finished record: it is kept beside it as failed-attempt.json.

        Args:
            record: the record.
            files: what belongs beside it, by name.
            state: file of the learned state that the record tells of, if that is kept too; it is copied.

        Returns:
            the record with the sha256 of each file.

        Raises:
            StorageError: the disk is full or read-only. Whatever was there before is still there.

        """
        folder = self.folder_of(record)
        if record.status != "ok":
            standing = self.find(record.task.name, record.detector.name, record.cell)
            name = FAILED_ATTEMPT if standing and standing.status == "ok" else RECORD
            write_atomically(folder / name, record.to_json())
            return record
        listed = [FilePart(path=name, sha256=sha256(content).hexdigest()) for name, content in files.items()]
        record = record.model_copy(update={"files": listed})
        kept = {} if state is None else {STATE: state}
        staged = {name: folder / f".new-{os.getpid()}-{name}" for name in (*files, *kept, RECORD)}
        try:
            for name, path in staged.items():  # all of it is on disk before anything old is touched
                if name in kept:
                    copy_atomically(kept[name], path)
                else:
                    write_atomically(path, files[name] if name in files else record.to_json())
            (folder / RECORD).unlink(missing_ok=True)
            (folder / STATE).unlink(missing_ok=True)  # of an older record
            for name, path in staged.items():
                path.replace(folder / name)
            (folder / FAILED_ATTEMPT).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(folder, error) from error
        finally:
            for path in staged.values():
                path.unlink(missing_ok=True)
        return record

    def replace(self, record: Record) -> None:
        """Replace a finished record by one with the same files: under another label, or with new metrics."""
        write_atomically(self.folder_of(record) / RECORD, record.to_json())

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest once; it holds no paths."""
        path = self.root / "manifests" / manifest.task / f"{manifest.sha256}.parquet"
        if not path.exists():
            from bench.results.scores import manifest_table, to_parquet

            write_atomically(path, to_parquet(manifest_table(manifest)))

    def records(self) -> Iterator[tuple[Path, Record]]:
        """Yield every readable record with its folder, in order of path."""
        for path in sorted(self.root.glob(f"runs/*/*/*/{RECORD}")):
            yield path.parent, read_record(path)
