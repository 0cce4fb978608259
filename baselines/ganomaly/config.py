"""Configuration of GANomaly; the preset ``paper`` has the published sizes."""

from typing import Self

from pydantic import Field, model_validator

from bench import DetectorConfig


class GanomalyConfig(DetectorConfig):
    """Weights, latent size, batch size and optimizer as published; narrower networks and more epochs by default."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two")
    width: int = Field(16, ge=4, le=256, description="channels of the first convolution (published: 64)")
    latent: int = Field(100, ge=2, le=1024, description="length of the latent vectors")
    epochs: int = Field(20, ge=1, description="passes over the normal images (published: 15, over larger sets)")
    batch_size: int = Field(64, ge=2, description="images a step")
    learning_rate: float = Field(2e-4, gt=0, description="of Adam, for both optimizers")
    beta1: float = Field(0.5, ge=0, lt=1, description="first moment of Adam; the second is 0.999")
    adversarial_weight: float = Field(1.0, ge=0, description="squared difference of discriminator features")
    contextual_weight: float = Field(50.0, ge=0, description="absolute difference of x and x̂")
    encoder_weight: float = Field(1.0, ge=0, description="squared difference of z and ẑ")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size {self.image_size} is no power of two")
        return self
