"""Configuration of the mean-intensity detector: nothing but the images' size."""

from bench import DetectorConfig


class MeanIntensityConfig(DetectorConfig):
    """There is nothing to choose."""
