"""The published schemas are those of the code, and published files keep to them."""

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from bench.results.schema import PixelCountsFile, ScoreRow, schemas
from bench.results.scores import COLUMNS, GROUPS, PREFIX
from bench.results.store import SCORES, Store
from tests.conftest import ROOT


def test_committed_schemas_are_the_codes_own() -> None:
    for name, schema in schemas().items():
        assert json.loads((ROOT / "results" / "schemas" / name).read_text()) == schema


def test_published_scores_keep_to_the_schema() -> None:
    assert set(ScoreRow.model_fields) == {*COLUMNS, *(PREFIX + name for name in GROUPS)}
    folder, _ = next(Store(ROOT / "results").records())
    rows = pd.read_parquet(folder / SCORES).astype(object).replace({np.nan: None}).to_dict("records")
    for row in rows:
        ScoreRow.model_validate({str(name): value for name, value in row.items()})
    for change in ({"label": 2}, {"score": float("nan")}, {"role": "fit"}, {"image_id": "../x"}, {"extra": 1}):
        with pytest.raises(ValidationError):
            ScoreRow.model_validate({**rows[0], **change})


def test_pixel_counts_keep_to_the_schema() -> None:
    arrays = {
        "image_ids": ["0" * 16], "labels": [1], "side": 4, "edges": [float("-inf"), 0.0, float("inf")], "tune_tops": [3]
    }  # fmt: skip
    PixelCountsFile.model_validate(arrays)
    with pytest.raises(ValidationError):
        PixelCountsFile.model_validate({**arrays, "side": 0})
