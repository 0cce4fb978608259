"""Configuration of f-AnoGAN; the preset ``paper`` has the published sizes."""

from typing import Self

from pydantic import Field, model_validator

from bench import DetectorConfig


class FanoganConfig(DetectorConfig):
    """Losses and optimizers as published; narrower networks and fewer steps by default."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two")
    width: int = Field(
        8, ge=4, le=256, description="channels at full resolution; eight times as many at most (published: 64)"
    )
    latent: int = Field(128, ge=2, le=1024, description="length of the latent vector")
    batch_size: int = Field(16, ge=2, description="images a step (published: 64)")
    gan_steps: int = Field(300, ge=1, description="steps of the generator (published: 7 epochs of a much larger set)")
    critic_steps: int = Field(5, ge=1, description="steps of the critic for each of the generator")
    penalty_weight: float = Field(10.0, ge=0, description="of the critic's gradient penalty")
    gan_learning_rate: float = Field(1e-4, gt=0, description="of Adam (β 0, 0.9), for generator and critic")
    encoder_steps: int = Field(1000, ge=1, description="steps of the encoder (published: 50,000)")
    encoder_learning_rate: float = Field(5e-5, gt=0, description="of RMSProp")
    encoder_tanh: bool = Field(False, description="squash the encoder's output; the released code does not by default")
    kappa: float = Field(
        1.0, ge=0, description="weight of the critic's features, in the encoder's loss and in the score"
    )
    flip: bool = Field(True, description="mirror images at random while training, never while scoring")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size {self.image_size} is no power of two")
        return self
