"""Configuration of SALAD: every term is a weight, and a weight of 0 removes the term and its cost."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench import DetectorConfig

Pretext = Literal["none", "transform", "restore", "locate"]
ScoreTerm = Literal["consistency", "center", "ssim", "pretext"]


class SaladConfig(DetectorConfig):
    """Trained from scratch. Chosen on normals and synthetic anomalies made from normals; RESEARCH.md has the runs."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two")
    width: int = Field(16, ge=4, le=256, description="channels of the first convolution; doubled at every scale")
    latent: int = Field(64, ge=2, le=1024, description="length of the latent vector")
    steps: int = Field(4000, ge=1, description="batches that are trained on, however many images there are")
    batch_size: int = Field(16, ge=4, description="images a step")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, for all networks; rises at first, then falls to 0")
    weight_decay: float = Field(1e-4, ge=0, description="decoupled from the gradient (AdamW)")
    augment: bool = Field(True, description="mirror images, and shift them by whole pixels, while training")
    held_out: float = Field(
        0.1, gt=0, lt=1, description="share of the normals kept from training to standardise scores"
    )

    pixel_weight: float = Field(1.0, ge=0, description="absolute difference of x and x̂")
    ssim_weight: float = Field(0.3, ge=0, description="structure similarity loss: 1 − SSIM(x, x̂)")
    consistency_weight: float = Field(0.1, ge=0, description="‖E(x) − E(x̂)‖²: features survive the translation")
    center_weight: float = Field(0.01, ge=0, description="center constraint: ‖E(x) − c‖²")
    cycle_weight: float = Field(0.0, ge=0, description="‖E(G(z)) − z‖² for z from the prior")
    image_adversarial_weight: float = Field(0.02, ge=0, description="image discriminator: x̂ looks like a normal image")
    latent_adversarial_weight: float = Field(0.01, ge=0, description="latent discriminator: E(x) follows N(0, I)")
    pretext: Pretext = Field(
        "locate",
        description="self-supervised task: none, transform (which symmetry?), restore (what was corrupted?), "
        "locate (which part was altered?)",
    )
    pretext_weight: float = Field(1.0, ge=0, description="of the pretext task's loss")
    center_warmup: float = Field(0.1, ge=0, lt=1, description="share of the training before c is measured")

    score_terms: tuple[ScoreTerm, ...] = Field(
        ("consistency", "center", "ssim", "pretext"),
        min_length=1,
        description="terms of the score: each standardised on held-out normals, their tail probabilities multiplied",
    )

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
    def task(self) -> Pretext:
        """The pretext task that is trained: none where its weight is 0."""
        return self.pretext if self.pretext_weight else "none"

    @property
    def learns(self) -> bool:
        """Whether anything is learned before the center is measured; the center constraint only starts there."""
        weights = (self.pixel_weight, self.ssim_weight, self.consistency_weight, self.cycle_weight)
        adversarial = (self.image_adversarial_weight, self.latent_adversarial_weight)
        return any(weights) or any(adversarial) or self.task != "none"

    @property
    def terms(self) -> tuple[ScoreTerm, ...]:
        """The score terms that exist: without a pretext task there is no pretext error."""
        return tuple(term for term in self.score_terms if term != "pretext" or self.task != "none")


class SaladTimmConfig(SaladConfig):
    """On a frozen, pretrained encoder: latent vector, decoder and pretext head are what is learned."""

    channels: Literal[3] = Field(3, description="the pretrained network was trained on colour images")
    image_size: int = Field(128, ge=32, le=256, description="side in pixels; a power of two")
    steps: int = Field(600, ge=1, description="batches that are trained on, however many images there are")
    consistency_weight: float = Field(
        0.0, ge=0, description="‖E(x) − E(x̂)‖²; off, as its gradients through the frozen network cost most of the time"
    )
    backbone: str = Field(
        "tf_efficientnet_lite0", description="this one (weights installed with bench), or a timm name with its tag"
    )
