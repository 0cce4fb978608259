"""Configuration of the nearest-neighbour detector."""

from typing import Literal

from pydantic import Field

from bench import DetectorConfig


class KnnConfig(DetectorConfig):
    """Defaults that need no network and run on a laptop; none was chosen by looking at labels."""

    image_size: int = Field(128, ge=32, le=1024, description="side in pixels of the square images")
    channels: Literal[3] = Field(3, description="the network was trained on colour images")
    k: int = Field(5, ge=1, description="neighbours averaged over, or all normal images if they are fewer")
    backbone: str = Field(
        "tf_efficientnet_lite0", description="this one (weights installed with bench), or a timm name with its tag"
    )
