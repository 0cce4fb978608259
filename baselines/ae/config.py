"""Configuration of the autoencoder; the preset ``paper`` has sizes of Baur et al. 2021."""

from typing import Self

from pydantic import Field, model_validator

from bench import DetectorConfig


class AeConfig(DetectorConfig):
    """DCGAN blocks with a dense bottleneck. No single paper is *the* autoencoder: any table means another one."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two (Baur et al.: 128)")
    width: int = Field(16, ge=4, le=256, description="channels of the first convolution (Baur et al.: 32)")
    latent: int = Field(100, ge=1, le=1024, description="length of the bottleneck (Baur et al.: 128)")
    epochs: int = Field(60, ge=1, description="passes over the normal images (Baur et al.: until convergence)")
    batch_size: int = Field(32, ge=2, description="images a step (code of Baur et al.: 128)")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam (code of Baur et al.: 1e-4)")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size {self.image_size} is no power of two")
        return self
