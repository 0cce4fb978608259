"""What is refused, and what a switch leaves of the score."""

import pytest

from bench import DetectorSpec
from salad_plugin import SALAD, SALAD_TIMM
from salad_plugin.config import SaladConfig, SaladTimmConfig
from tests.unit.salad_plugin.tiny import LOSSES, tiny


def test_without_a_pretext_task_there_is_no_pretext_term() -> None:
    assert "pretext" in tiny().terms
    for changes in ({"pretext": "none"}, {"pretext_weight": 0}):
        config = tiny(**changes)
        assert config.terms == ("consistency", "center", "ssim")
        assert config.task == "none"


def test_a_score_without_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="no pretext task"):
        tiny(pretext="none", score_terms=("pretext",))
    with pytest.raises(ValueError, match="score_terms"):
        tiny(score_terms=())


def test_a_size_that_cannot_be_halved_and_a_term_named_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        tiny(image_size=48)
    with pytest.raises(ValueError, match="twice"):
        tiny(score_terms=("ssim", "ssim"))


def test_a_configuration_that_learns_nothing_is_refused() -> None:
    nothing = {f"{name}_weight": 0 for name in LOSSES}
    with pytest.raises(ValueError, match="every weight"):
        tiny(**nothing)
    with pytest.raises(ValueError, match="every weight"):
        tiny(**nothing | {"center_weight": 1})  # it starts later
    for name in set(LOSSES) - {"center"}:
        assert tiny(**nothing | {f"{name}_weight": 1}).learns


@pytest.mark.parametrize("spec", [SALAD, SALAD_TIMM])
def test_presets_are_valid_and_maps_are_offered(spec: DetectorSpec) -> None:
    assert "smoke" in spec.presets
    for values in spec.presets.values():
        spec.config().model_validate(values)
    assert spec.maps


def test_the_pretrained_encoder_is_declared_and_takes_colour_alone() -> None:
    (weights,) = SALAD_TIMM.pretrained(SaladTimmConfig())
    assert weights.name.startswith(SaladTimmConfig().backbone)
    assert not list(SALAD.pretrained(SaladConfig()))
    with pytest.raises(ValueError, match="channels"):
        SaladTimmConfig(channels=1)
