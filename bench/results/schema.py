"""JSON Schemas of what a cell leaves behind, for programs that read results without bench."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.results.record import Record

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}(-[0-9]+)?$")]
Count = Annotated[int, Field(ge=0, le=2**32 - 1)]


class ScoreRow(BaseModel):
    """One row of scores.parquet: an image that was scored. Columns ``group_…`` are there where a task knows them."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, title="scores.parquet, a row")

    image_id: Id = Field(description="first 16 hex digits of the sha256 of the file; -2, -3 … for identical files")
    patient: str | None = Field(description="patients of this data set by a key of its own, or null")
    role: Literal["tune", "test"] = Field(description="held-out normal, or test image")
    category: str = Field(description="the class in the data set's own words")
    label: Literal[0, 1] = Field(description="0 normal, 1 anomalous; int8")
    score: float = Field(description="higher is more anomalous; float64, finite")
    group_sex: str | None = None
    group_age: str | None = Field(None, description="a band of years: 0–19, 20–39, 40–59, 60–79, 80+")
    group_view: str | None = None
    group_device: str | None = None


class PixelCountsFile(BaseModel):
    """pixels.npz: arrays by name. Test images lie in order of id, in blocks of at most 256 numbered from 00000.

    Values of anomaly maps are counted in 4,096 bins whose edges the maps of held-out normals fix beforehand. A block
    has ``outside_NNNNN`` uint32 (images, 4096), pixels outside lesions; ``lesions_NNNNN`` uint32 (images,), how many
    lesions each image has; ``lengths_NNNNN`` uint32 (lesions,), how many bins each lesion occupies; and, lesion after
    lesion, ``bins_NNNNN`` uint16 and ``pixels_NNNNN`` uint32, those bins in rising order with their pixels.
    """

    model_config = ConfigDict(extra="allow", title="pixels.npz, its arrays as lists")

    image_ids: list[Id] = Field(description="str (n,), of the test images")
    labels: list[Literal[0, 1]] = Field(description="int8 (n,), of the test images")
    side: Annotated[int, Field(ge=1)] = Field(description="int64 (), pixels along a side of a map")
    edges: list[float] = Field(description="float64 (4097,), rising from -inf to inf")
    tune_tops: list[Count] = Field(description="uint16 (m,), the bin of the highest pixel of each held-out normal")


def schemas() -> dict[str, dict[str, Any]]:
    """By file name, each as JSON Schema (2020-12)."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        "record.schema.json": {**draft, **Record.model_json_schema(by_alias=True)},
        "scores.schema.json": {**draft, **ScoreRow.model_json_schema()},
        "pixels.schema.json": {**draft, **PixelCountsFile.model_json_schema()},
    }
