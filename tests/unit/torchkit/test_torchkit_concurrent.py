"""Detectors that score two batches at a time: nothing that two batches share changes their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.detector import FanoganDetector
from bench import Detector
from bench.torchkit import batches
from salad_plugin.config import SaladTimmConfig
from salad_plugin.detector import SaladDetector
from tests.unit.salad_plugin.tiny import tiny
from tests.unit.toy_images import blobs, run_context

DETECTORS: dict[str, Callable[[], Detector[Any]]] = {
    "salad": lambda: SaladDetector(tiny(batch_size=8)),
    "salad-timm": lambda: SaladDetector(SaladTimmConfig(image_size=32, width=4, latent=8, steps=3, batch_size=8)),
    "fanogan": lambda: FanoganDetector(
        FanoganConfig(image_size=32, width=4, gan_steps=2, encoder_steps=3, batch_size=8)
    ),
}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scores_are_those_of_one_batch_at_a_time(
    name: str, precision: str, threads: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, detector = run_context(tmp_path, precision=precision), DETECTORS[name]()
    images = blobs(200, 1, square=True, channels=detector.config.channels)
    detector.fit(blobs(32, 0, channels=detector.config.channels), run)
    threads(4)
    both = detector.anomaly_scores(images, run)
    asked = []

    def serial(work: Callable[[int], np.ndarray], places: range, *, two_at_a_time: bool) -> Iterator[np.ndarray]:
        asked.append(two_at_a_time)
        yield from map(work, places)

    monkeypatch.setattr(batches, "_in_order", serial)
    threads(2)  # as many as each of two batches has had
    np.testing.assert_array_equal(both, detector.anomaly_scores(images, run))
    assert asked == [True]
