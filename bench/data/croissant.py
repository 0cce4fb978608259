"""A task's metadata as Croissant (MLCommons' vocabulary for data sets), which describes the manifest as a table."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.contracts import TaskSpec
from bench.data.manifest import Manifest
from bench.data.variants import describe
from bench.errors import EnvironmentProblem
from bench.files import write_atomically

COLUMNS = {
    "id": "First 16 hex digits of the sha256 of the image's file.",
    "patient": "Key of the patient, empty where it is not known.",
    "role": "fit, tune, test, pool or skipped.",
    "label": "0 normal, 1 anomalous.",
    "category": "The class in the data set's own words.",
    "mask": "Id of the lesion mask, empty where there is none.",
}


def write_croissant(spec: TaskSpec, manifest: Manifest, table: Path, path: Path) -> None:
    """Describe a task and its manifest.

    Args:
        spec: the task.
        manifest: its images.
        table: the manifest as a .tsv file, as :func:`bench.data.split.write` leaves it.
        path: the JSON file to write.

    Raises:
        EnvironmentProblem: mlcroissant is not installed.
        StorageError: the file cannot be written.

    """
    try:
        import mlcroissant as mlc
    except ImportError as error:
        raise EnvironmentProblem("Croissant metadata needs: pip install 'salad-bench[croissant]'") from error
    source = mlc.FileObject(
        id="manifest",
        name="manifest",
        description="Which image has which role; the images themselves come from the official download.",
        content_url=table.name,
        encoding_formats=["text/tab-separated-values"],
        sha256=sha256(table.read_bytes()).hexdigest(),
    )
    fields = [_field(mlc, column, text) for column, text in COLUMNS.items()]
    metadata = mlc.Metadata(
        name=spec.name,
        description=_description(spec, manifest),
        cite_as=spec.citation,
        license=[spec.licence],
        url=spec.url,
        version=f"{spec.version}.0.0",
        distribution=[source],
        record_sets=[mlc.RecordSet(id="images", name="images", fields=fields)],
    )
    write_atomically(path, json.dumps(metadata.to_json(), indent=1, default=str).encode())


def _field(mlc: Any, column: str, text: str) -> Any:
    return mlc.Field(
        id=f"images/{column}",
        name=column,
        description=text,
        data_types=[mlc.DataType.INTEGER if column == "label" else mlc.DataType.TEXT],
        source=mlc.Source(file_object="manifest", extract=mlc.Extract(column=column)),
    )


def _description(spec: TaskSpec, manifest: Manifest) -> str:
    counts = ", ".join(f"{role} {sum(of.values())}" for role, of in manifest.counts().items())
    protocol = describe(spec.protocol)
    return (
        f"{spec.modality} for anomaly detection from normal images only. Edition {manifest.edition}, manifest "
        f"{manifest.sha256}: {counts}. Grouping: {spec.grouping}." + (f" Protocol: {protocol}." if protocol else "")
    )
