"""Score files of strangers: what they hold is bounded before it is unpacked, and only values are taken over.

A table of a few kilobytes can stand for gigabytes (one long text, referred to from every row), and a file has room for
more than its table. So sizes and types are read from the file's footer first, and the file is then written anew.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import RecordError
from bench.results.archive import sizes_problem
from bench.results.pixels import PARTS, PIXELS, open_pixels, to_npz
from bench.results.scores import COLUMNS, GROUPS, PREFIX, Scores, check_table, to_parquet
from bench.results.store import SCORES

UNPACKED = 32 << 20
"""Bytes of scores.parquet without compression, as its footer states them."""
LONGEST = 200
"""Characters of a text in scores.parquet."""
PIXELS_UNPACKED = 64 << 10
"""Bytes of pixels.npz an image, without compression: four times as many as one without lesions takes."""
ROW_GROUPS = 64
KINDS = {
    **dict.fromkeys((*COLUMNS, *(PREFIX + name for name in GROUPS)), ("BYTE_ARRAY", "STRING")),
    "label": ("INT32", "INT"),
    "score": ("DOUBLE", "NONE"),
}
"""How parquet stores each column."""


def scores_anew(content: bytes, images: int) -> bytes:
    """Read a scores.parquet and write it anew: the same values, and nothing else that the file may hold.

    Columns ``group_…`` are left out, since no manifest says whether they are true.

    Args:
        content: the file.
        images: how many rows it must have.

    Raises:
        RecordError: it is damaged, of other columns or types, too large, or breaks the schema of scores.

    """
    try:
        table = _read(content, images)
    # pyarrow raises these for files that it cannot read, and MemoryError where a page states an impossible size.
    except (pa.ArrowException, ValueError, KeyError, OSError, MemoryError, OverflowError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise RecordError(f"{SCORES} is damaged: {first}") from error
    check_table(table)
    return to_parquet(table[list(COLUMNS)])


def _read(content: bytes, images: int) -> pd.DataFrame:
    looked_at = pq.ParquetFile(io.BytesIO(content), pre_buffer=False)
    _check_footer(looked_at, images)
    texts = [name for name in looked_at.schema.names if name not in ("label", "score")]
    # Texts stay references into a list of the different ones until that list has been looked at.
    file = pq.ParquetFile(io.BytesIO(content), read_dictionary=texts, pre_buffer=False)
    read = file.read(use_threads=False, use_pandas_metadata=False)
    columns: dict[str, object] = {}
    for name in read.column_names:
        column = read.column(name)
        if name not in texts:
            columns[name] = np.asarray(column.to_numpy())
            continue
        for chunk in column.chunks:
            lengths = pc.utf8_length(chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk)
            if (pc.max(lengths).as_py() or 0) > LONGEST:
                raise RecordError(f"{SCORES} has a '{name}' of more than {LONGEST} characters")
        columns[name] = pd.array(column.to_pylist(), dtype="string")
    return pd.DataFrame(columns)


def _check_footer(file: pq.ParquetFile, images: int) -> None:
    footer, schema = file.metadata, file.schema
    if footer.num_rows != images:
        raise RecordError(f"{SCORES} has {footer.num_rows} rows; the manifest has {images} images to score")
    groups = [footer.row_group(number) for number in range(min(footer.num_row_groups, ROW_GROUPS + 1))]
    if len(groups) > ROW_GROUPS or sum(group.total_byte_size for group in groups) > UNPACKED:
        raise RecordError(f"{SCORES} is too large: more than {UNPACKED} bytes unpacked, or {ROW_GROUPS} groups of rows")
    if len(set(schema.names)) != len(schema):
        raise RecordError(f"{SCORES} has two columns of one name")
    for number in range(len(schema)):
        column = schema.column(number)
        kind = (column.physical_type, column.logical_type.type)
        if column.max_repetition_level or kind != KINDS.get(column.path):
            raise RecordError(f"{SCORES} has a column of a kind that no schema knows: {column.path!r} ({kind[0]})")


def pixels_anew(content: bytes, scores: Scores) -> bytes:
    """Read a pixels.npz and write it anew, as :func:`scores_anew` does.

    Raises:
        RecordError: it is damaged, too large, or of other images.

    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            most = 5 + len(PARTS) * len(scores.ids)  # a block has at least one image
            problem = sizes_problem(archive.infolist(), most, PIXELS_UNPACKED * (len(scores.ids) + 256))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RecordError(f"{PIXELS} is damaged: {error}") from error
    if problem:
        raise RecordError(f"{PIXELS}: {problem}")
    try:
        return to_npz(open_pixels(content, scores.ids, scores.labels, len(scores.tune)))
    except ValueError as error:
        raise RecordError(f"{PIXELS} is damaged: {error}") from error
