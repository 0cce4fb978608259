"""Configuration of the variational autoencoder; the preset ``paper`` has sizes of Baur et al. 2021."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench import DetectorConfig


class VaeConfig(DetectorConfig):
    """DCGAN blocks in place of Kingma & Welling's perceptrons; a normal likelihood of variance 1, pixels in [-1, 1]."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two (Baur et al.: 128)")
    width: int = Field(16, ge=4, le=256, description="channels of the first convolution (Baur et al.: 32)")
    latent: int = Field(100, ge=1, le=1024, description="length of the latent vector (Baur et al.: 128)")
    epochs: int = Field(60, ge=1, description="passes over the normal images (Baur et al.: until convergence)")
    batch_size: int = Field(32, ge=2, description="images a step (code of Baur et al.: 128; Kingma & Welling: 100)")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam (code of Baur et al.: 1e-4)")
    beta: float = Field(1.0, ge=0, description="weight of the KL divergence (Kingma & Welling: 1)")
    score: Literal["reconstruction", "elbo"] = Field(
        "reconstruction",
        description="reconstruction: mean squared error with z at its mean (as Baur et al. 2021 take the residual); "
        "elbo: negative evidence lower bound at that z (as Zimmerer et al., MICCAI 2019, with beta as in training)",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size {self.image_size} is no power of two")
        return self
