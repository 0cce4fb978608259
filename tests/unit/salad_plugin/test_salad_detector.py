"""SALAD as a detector: every switch can be fitted and scored, state gives the same scores, scores mean something."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import NotFittedError
from bench.conformance import CHECKS, run_check
from bench.conformance.subject import Subject
from bench.metrics import auroc
from bench.registry import Offer, Plugin
from salad_plugin import SALAD
from salad_plugin.detector import SaladDetector
from tests.unit.salad_plugin.tiny import tiny
from tests.unit.toy_images import blobs, run_context

PRETEXT_CHECKS = {
    "score-shape",
    "companions",
    "order",
    "repeat",
    "same-seed",
    "global-state",
    "inputs-unmodified",
}


@pytest.mark.parametrize("pretext", ["none", "transform", "restore", "locate"])
def test_contract_with_every_pretext(pretext: str) -> None:
    # The default is what tests/conformance runs in full; these are the checks that a pretext task could break.
    offer = Offer(SALAD, Plugin("salad", "salad_plugin", "salad-bench", "0", "ok"))
    subject = Subject(offer, tiny(pretext=pretext))
    chosen = [check for check in CHECKS if check.name in PRETEXT_CHECKS]
    assert len(chosen) == len(PRETEXT_CHECKS)
    results = [run_check(check, subject) for check in chosen]
    assert {result.check: result.why for result in results if result.status == "fail"} == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"pixel_weight": 0},
        {"ssim_weight": 0},
        {"consistency_weight": 0},
        {"center_weight": 0},
        {"cycle_weight": 1},
        {"image_adversarial_weight": 0, "latent_adversarial_weight": 0},
        {"pretext_weight": 0},
        {"augment": False},
        {"channels": 3},
        {"score_terms": ("consistency",)},
        {"score_terms": ("center",)},
        {"score_terms": ("ssim",)},
        {"score_terms": ("pretext",)},
        {"score_terms": ("pretext",), "pretext": "transform"},
        {"score_terms": ("pretext",), "pretext": "restore"},
    ],
    ids=str,
)
def test_every_switch_gives_scores_that_differ(tmp_path: Path, changes: dict[str, Any]) -> None:
    config, run = tiny(steps=3, **changes), run_context(tmp_path)
    channels = config.channels
    scores = SaladDetector(config).fit(blobs(40, 0, channels=channels), run)
    found = scores.anomaly_scores(blobs(20, 1, channels=channels), run)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert len(set(found)) > 15


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> SaladDetector:
    return SaladDetector(tiny()).fit(blobs(80, 0), run_context(tmp_path_factory.mktemp("scratch")))


def test_state_gives_the_same_scores_and_maps_bit_by_bit(fitted: SaladDetector, tmp_path: Path) -> None:
    run, images = run_context(tmp_path), blobs(20, 1)
    state = {name: array.copy() for name, array in fitted.state().items()}
    other = SaladDetector(fitted.config).load_state(state)
    np.testing.assert_array_equal(other.anomaly_scores(images, run), fitted.anomaly_scores(images, run))
    pairs = zip(other.anomaly_maps(images, run), fitted.anomaly_maps(images, run), strict=True)
    for made, expected in pairs:
        np.testing.assert_array_equal(made, expected)
    again = other.state()
    assert set(again) == set(state)
    assert all(np.array_equal(again[name], state[name]) for name in state)


def test_the_discriminators_are_no_part_of_the_state(fitted: SaladDetector) -> None:
    prefixes = {name.partition(".")[0] for name in fitted.state()}
    assert prefixes == {"encoder", "decoder", "locate_head", "normality", "maps"}


def test_a_score_does_not_depend_on_the_images_beside_it(fitted: SaladDetector, tmp_path: Path) -> None:
    run, images = run_context(tmp_path), np.concatenate([blobs(20, 1), blobs(15, 2, square=True)])
    together = fitted.anomaly_scores(images, run)
    assert together.dtype == np.float64
    parts = [fitted.anomaly_scores(images[start:stop], run) for start, stop in ((0, 1), (1, 17), (17, 35))]
    np.testing.assert_array_equal(np.concatenate(parts), together)
    np.testing.assert_array_equal(fitted.anomaly_scores(images[::-1], run)[::-1], together)


def test_another_precision_scores_nearly_the_same(fitted: SaladDetector, tmp_path: Path) -> None:
    images = np.concatenate([blobs(20, 1), blobs(20, 2, square=True)])
    exact, rounded = (
        fitted.anomaly_scores(images, run_context(tmp_path, precision=p)) for p in ("float32", "bfloat16")
    )
    assert np.corrcoef(np.argsort(np.argsort(exact)), np.argsort(np.argsort(rounded)))[0, 1] > 0.9


def test_normal_images_score_about_one_a_term(fitted: SaladDetector, tmp_path: Path) -> None:
    assert 2 < np.median(fitted.anomaly_scores(blobs(80, 3), run_context(tmp_path))) < 8


def test_the_seed_decides(tmp_path: Path) -> None:
    one, same, other = (
        SaladDetector(tiny(steps=2)).fit(blobs(40, 0), run_context(tmp_path, seed)) for seed in (0, 0, 1)
    )
    run, images = run_context(tmp_path), blobs(8, 1)
    np.testing.assert_array_equal(one.anomaly_scores(images, run), same.anomaly_scores(images, run))
    assert not np.array_equal(one.anomaly_scores(images, run), other.anomaly_scores(images, run))


def test_no_images_have_no_scores(fitted: SaladDetector, tmp_path: Path) -> None:
    scores = fitted.anomaly_scores(blobs(1, 1)[:0], run_context(tmp_path))
    assert scores.shape == (0,)
    assert scores.dtype == np.float64


def test_it_refuses_to_score_before_fit(tmp_path: Path) -> None:
    for call in (
        lambda: SaladDetector(tiny()).anomaly_scores(blobs(1, 0), run_context(tmp_path)),
        lambda: SaladDetector(tiny()).anomaly_maps(blobs(1, 0), run_context(tmp_path)),
        lambda: SaladDetector(tiny()).state(),
    ):
        with pytest.raises(NotFittedError, match="SaladDetector"):
            call()


def test_it_tells_squares_from_blobs(tmp_path: Path) -> None:
    run = run_context(tmp_path)
    detector = SaladDetector(tiny(steps=60, learning_rate=2e-2, batch_size=8)).fit(blobs(120, 0), run)
    test = np.concatenate([blobs(24, 1), blobs(24, 2, square=True)])
    assert auroc(np.repeat([0, 1], 24).astype(np.int8), detector.anomaly_scores(test, run)) > 0.9
