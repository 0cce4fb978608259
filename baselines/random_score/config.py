"""Configuration of the random detector: nothing but the images' size."""

from bench import DetectorConfig


class RandomConfig(DetectorConfig):
    """There is nothing to choose."""
