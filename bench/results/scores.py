"""scores.parquet and manifests as files: the only truth that every metric is derived from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.data.manifest import Entry, Manifest
from bench.errors import RecordError

COLUMNS = ("image_id", "patient", "role", "category", "label", "score")


@dataclass(frozen=True)
class Scores:
    """The scores of one cell, split by role; test images in order of id.

    Attributes:
        ids: ids of the test images.
        labels: int8 (n,), 0 normal, 1 anomalous.
        scores: float64 (n,), of the test images.
        tune: float64 (m,), of the held-out normals.

    """

    ids: tuple[str, ...]
    labels: NDArray[np.int8]
    scores: NDArray[np.float64]
    tune: NDArray[np.float64]


def scores_table(entries: Sequence[Entry], scores: NDArray[np.float64]) -> pd.DataFrame:
    """Join scores to the tune and test entries that they belong to, in the same order."""
    return pd.DataFrame(
        {
            "image_id": pd.array([entry.id for entry in entries], dtype="string"),
            "patient": pd.array([entry.patient for entry in entries], dtype="string"),
            "role": pd.array([entry.role for entry in entries], dtype="string"),
            "category": pd.array([entry.category for entry in entries], dtype="string"),
            "label": np.array([entry.label for entry in entries], np.int8),
            "score": scores.astype(np.float64),
        }
    )


def split_scores(table: pd.DataFrame) -> Scores:
    """Split a scores table by role.

    Raises:
        RecordError: a column is missing, an id occurs twice, or a score is not finite.

    """
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise RecordError(f"the scores have no column {', '.join(missing)}")
    if table["image_id"].duplicated().any():
        raise RecordError("the scores name an image twice")
    if not np.isfinite(table["score"]).all():
        raise RecordError("the scores are not all finite")
    test = table[table["role"] == "test"].sort_values("image_id")
    tune = table[table["role"] == "tune"]
    return Scores(
        tuple(test["image_id"].astype(str)),
        test["label"].to_numpy(np.int8),
        test["score"].to_numpy(np.float64),
        tune["score"].to_numpy(np.float64),
    )


def read_scores(path: Path, expected_sha256: str) -> Scores:
    """Read scores.parquet.

    Raises:
        RecordError: missing, damaged, or not the file that the record was made with.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    if sha256(content).hexdigest() != expected_sha256:
        raise RecordError(f"{path} is not the file that its record was made with (its sha256 differs)")
    return split_scores(read_table(content, str(path)))


def read_table(content: bytes, what: str) -> pd.DataFrame:
    """Read a parquet file.

    Raises:
        RecordError: it is damaged; ``what`` names it.

    """
    try:
        return pd.read_parquet(io.BytesIO(content), use_threads=False, pre_buffer=False)  # threads may outlive main
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise RecordError(f"{what} is damaged: {str(error).splitlines()[0]}") from error


def manifest_table(manifest: Manifest) -> pd.DataFrame:
    """Return the manifest as it may be published: without paths."""
    entries = manifest.entries
    columns = ("id", "patient", "role", "category", "mask")
    table = {name: pd.array([getattr(entry, name) for entry in entries], dtype="string") for name in columns}
    return pd.DataFrame({**table, "label": np.array([entry.label for entry in entries], np.int8)})


def to_parquet(table: pd.DataFrame) -> bytes:
    """Serialise a table; the same table gives the same bytes with the same pyarrow."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
