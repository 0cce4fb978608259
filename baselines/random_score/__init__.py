"""Chance: what a detector that looks at nothing scores. The floor of every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import DetectorSpec

if TYPE_CHECKING:
    from baselines.random_score.config import RandomConfig
    from baselines.random_score.detector import RandomDetector


def _config() -> type[RandomConfig]:
    from baselines.random_score.config import RandomConfig

    return RandomConfig


def _load() -> type[RandomDetector]:
    from baselines.random_score.detector import RandomDetector

    return RandomDetector


SPEC = DetectorSpec(
    name="random",
    version="1",
    summary="a uniform random number per image: chance level",
    citation="none: the floor of every table",
    config=_config,
    load=_load,
    presets={"smoke": {}, "paper": {}},
    torch=False,
    package="baselines.random_score",
    known_failures={"auroc": "it scores at chance on purpose: whatever does no better has learned nothing"},
)
