"""Records for tests of the site, made without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.results.record import Record
from bench.results.store import RECORD, Store
from bench.site.build import Built, build_site
from bench.site.catalogue import Catalogue
from bench.site.facts import DetectorEntry, TaskEntry
from bench.site.keeping import Kept
from tests.unit.record_factory import add_record

HOSTILE = "<script>alert(1)</script>\"'&\u202e\u200fevil"
LONG = "x" * 10_000
CATALOGUE = Catalogue(
    {"chest-xray": TaskEntry(modality="chest X-ray", citation="Somebody <2018>", licence="CC BY 4.0", url="https://x")},
    {
        "toy": DetectorEntry(
            version="1",
            summary="distance to the mean image",
            citation="Nobody & Co",
            resources="none",
            maps=False,
            fields={"power": "of the distance"},
            known_failures={"check": "because"},
            card={"fails at": "small <b>lesions</b>"},
        )
    },
)


def change(store: Store, record: Record, **changes: Any) -> Path:
    """Rewrite a record.json in its place; ``task__name=`` changes ``record["task"]["name"]``."""
    path = store.folder_of(record) / RECORD
    told = json.loads(path.read_bytes())
    for name, value in changes.items():
        *parents, last = name.split("__")
        part = told
        for parent in parents:
            part = part[parent]
        part[last] = value
    path.write_text(json.dumps(told))
    return path


def small_store(root: Path) -> Store:
    """Three detectors on one task, one of them in two seeds, one with a second version."""
    store = Store(root)
    for seed in (0, 1):
        add_record(store, detector="toy", seed=seed, gap=3.0)
    add_record(store, detector="other", gap=0.1, pretrained=[{"name": "weights", "source": "s", "licence": "l"}])
    add_record(store, detector="third", gap=1.0)
    add_record(store, detector="third", version="2", gap=2.0)
    add_record(store, detector="broken", status="failed", reason="RuntimeError: <b>no</b>")
    return store


def build(store: Store, out: Path, kept: Kept | None = None) -> Built:
    """Build the site of a store."""
    return build_site(store.root, out, CATALOGUE, kept or Kept(None))


def texts(out: Path) -> dict[str, str]:
    """Every file of a site, by path; Vega's own code aside."""
    return {
        path.relative_to(out).as_posix(): path.read_text()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "vega.js"
    }
