"""Adding the cells of a submission that was found to be in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from bench.results.attestations import add_attestations, attest
from bench.results.store import Store
from bench.results.submission import Candidate


def add_cells(root: Path, cells: Sequence[Candidate], by: str, on: date) -> None:
    """Write the cells of a submission into a folder of results, and attest that their metrics were computed again.

    Tables and checksums are not brought up to date. A kill in between leaves a part: give it a copy of the folder
    (:func:`bench.whole.changing_whole`).

    Args:
        root: the folder.
        cells: what :func:`bench.results.submission.check_submission` found no reason against.
        by: who computed the metrics again.
        on: when.

    Raises:
        RecordError: a name that cannot be shown, or a damaged list of attestations.
        StorageError: the folder cannot be written.

    """
    attested = attest((cell.record.cell for cell in cells if cell.scores is not None), "recomputed", by, on)
    store = Store(root)
    for cell in cells:
        store.write(cell.record, cell.files)
    add_attestations(root, attested)
