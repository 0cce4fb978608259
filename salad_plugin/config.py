"""Configuration of SALAD: every term is a weight, and a weight of 0 removes the term and its cost."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench import DetectorConfig

Pretext = Literal["none", "transform", "restore"]
ScoreTerm = Literal["consistency", "center", "ssim", "pretext"]


class SaladConfig(DetectorConfig):
    """Weights of reconstruction, consistency and adversarial terms start from GANomaly's 50 / 1 / 1."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two")
    width: int = Field(16, ge=4, le=256, description="channels of the first convolution; doubled at every scale")
    latent: int = Field(64, ge=2, le=1024, description="length of the latent vector")
    epochs: int = Field(32, ge=1, description="passes over the images that are not held out")
    batch_size: int = Field(32, ge=4, description="images a step")
    learning_rate: float = Field(2e-4, gt=0, description="of Adam, for all networks")
    beta1: float = Field(0.5, ge=0, lt=1, description="first moment of Adam; the second is 0.999")
    held_out: float = Field(
        0.1, gt=0, lt=1, description="share of the normals kept from training to standardise scores"
    )

    pixel_weight: float = Field(50.0, ge=0, description="absolute difference of x and x̂")
    ssim_weight: float = Field(10.0, ge=0, description="structure similarity loss: 1 − SSIM(x, x̂)")
    consistency_weight: float = Field(1.0, ge=0, description="‖E(x) − E(x̂)‖²: features survive the translation")
    center_weight: float = Field(0.1, ge=0, description="center constraint: ‖E(x) − c‖²")
    cycle_weight: float = Field(0.0, ge=0, description="‖E(G(z)) − z‖² for z from the prior")
    image_adversarial_weight: float = Field(1.0, ge=0, description="image discriminator: x̂ looks like a normal image")
    latent_adversarial_weight: float = Field(0.1, ge=0, description="latent discriminator: E(x) follows N(0, I)")
    pretext: Pretext = Field(
        "transform", description="self-supervised task: none, transform (predict), restore (corrupted)"
    )
    pretext_weight: float = Field(
        1.0, ge=0, description="of the transform prediction; without effect on restore, which changes the input instead"
    )
    center_warmup: float = Field(0.1, ge=0, lt=1, description="share of the training before c is measured")

    score_terms: tuple[ScoreTerm, ...] = Field(
        ("consistency", "center", "ssim", "pretext"),
        min_length=1,
        description="terms of the score, each standardised on held-out normals, then added",
    )
    feature_levels: int = Field(3, ge=0, description="deepest encoder scales compared beside the latent vector")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size {self.image_size} is no power of two")
        if len(set(self.score_terms)) != len(self.score_terms):
            raise ValueError("a score term is named twice")
        if not self.terms:
            raise ValueError("the only score term is the pretext error, and there is no pretext task")
        if not self.learns:
            raise ValueError("every weight that trains the encoder from the first step on is 0")
        return self

    @property
    def predicts(self) -> bool:
        """Whether a head learns to predict transformations."""
        return self.pretext == "transform" and self.pretext_weight > 0

    @property
    def learns(self) -> bool:
        """Whether anything is learned before the center is measured; the center constraint only starts there."""
        weights = (self.pixel_weight, self.ssim_weight, self.consistency_weight, self.cycle_weight)
        adversarial = (self.image_adversarial_weight, self.latent_adversarial_weight)
        return any(weights) or any(adversarial) or self.predicts

    @property
    def terms(self) -> tuple[ScoreTerm, ...]:
        """The score terms that exist: without a pretext task there is no pretext error."""
        solved = self.predicts or self.pretext == "restore"
        return tuple(term for term in self.score_terms if term != "pretext" or solved)
