"""Configuration of MemAE; the preset ``paper`` has the published sizes for CIFAR-10."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench import DetectorConfig


class MemaeConfig(DetectorConfig):
    """Addressing, shrinkage and entropy weight as published; DCGAN blocks, whose channels double with every halving."""

    image_size: int = Field(64, ge=32, le=256, description="side in pixels; a power of two (published: 32)")
    width: int = Field(16, ge=4, le=256, description="channels of the first convolution (published: 64)")
    items: int = Field(500, ge=2, le=10_000, description="memory items N (published: 500 for CIFAR-10, 100 for MNIST)")
    similarity: Literal["cosine", "inner"] = Field(
        "cosine", description="of queries and items: cosine as published, or the inner product as in the released code"
    )
    shrinkage: float = Field(
        1.0,
        ge=0,
        le=3,
        description="weights up to shrinkage / N become 0 (published: 1 to 3); 0: dense addressing. Cosines with items "
        "that are still random are small, so from about 1.5 no weight survives the start of training: take inner there",
    )
    entropy_weight: float = Field(2e-4, ge=0, description="of the entropy of the addressing weights (published: 2e-4)")
    epochs: int = Field(60, ge=1, description="passes over the normal images")
    batch_size: int = Field(32, ge=2, description="images a step")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam (published: 1e-4)")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size {self.image_size} is no power of two")
        return self
