"""Configuration of the PCA detector."""

from pydantic import Field

from bench import DetectorConfig


class PcaConfig(DetectorConfig):
    """Images are small: pixels of a 64 × 64 image already outnumber the images of most tasks."""

    image_size: int = Field(64, ge=8, le=256, description="side in pixels of the square images")
    components: int = Field(
        32, ge=1, le=4096, description="principal components kept, or as many as the normal images span if fewer"
    )
