"""Configuration of Deep SVDD; the preset ``paper`` has the published sizes for CIFAR-10."""

from typing import Self

from pydantic import Field, model_validator

from bench import DetectorConfig


class DeepSvddConfig(DetectorConfig):
    """The one-class objective as published; DCGAN blocks in place of LeNet's, and fewer epochs by default."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two (published: 32)")
    width: int = Field(16, ge=4, le=256, description="channels of the first convolution (published: 32)")
    latent: int = Field(32, ge=1, le=1024, description="length of the embedding (published: 128; MNIST: 32)")
    batch_size: int = Field(64, ge=2, description="images a step (published: 200)")
    pretrain_epochs: int = Field(30, ge=1, description="passes as an autoencoder (published: 250)")
    pretrain_fine_epochs: int = Field(10, ge=0, description="further ones at a tenth of the rate (published: 100)")
    epochs: int = Field(20, ge=1, description="passes with the one-class objective (published: 150)")
    fine_epochs: int = Field(10, ge=0, description="further ones at a tenth of the rate (published: 100)")
    pretrain_learning_rate: float = Field(1e-3, gt=0, description="of Adam, as an autoencoder (published: 1e-4)")
    learning_rate: float = Field(1e-4, gt=0, description="of Adam, with the one-class objective (published: 1e-4)")
    weight_decay: float = Field(1e-6, ge=0, description="λ of equation 4 (published: 1e-6)")
    centre_margin: float = Field(
        0.1, ge=0, description="coordinates of the centre are moved to at least this far from 0 (as released: 0.1)"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size {self.image_size} is no power of two")
        return self
