"""The detector: it learns from normal images and gives each image one score, higher where more anomalous."""

import numpy as np
from pydantic import Field

import bench


class MyDetectorConfig(bench.DetectorConfig):
    """What a user may change; image_size and channels are there already."""

    least_deviation: float = Field(4.0, gt=0, description="grey levels; pixels that vary less count as varying so much")


class MyDetector(bench.Detector[MyDetectorConfig]):
    """Mean squared deviation of an image's pixels, in standard deviations of the normal images."""

    _learned = None

    def fit(self, normal, run):
        self.check_images(normal)
        self._learned = normal.mean(axis=0), np.maximum(normal.std(axis=0), self.config.least_deviation)
        return self

    def anomaly_scores(self, images, run):
        state = self.state()
        self.check_images(images)
        return np.array([np.mean(((image - state["mean"]) / state["deviation"]) ** 2) for image in images])

    def state(self):
        if self._learned is None:
            raise bench.NotFittedError("MyDetector has learned nothing yet: call fit or load_state first")
        return dict(zip(("mean", "deviation"), self._learned, strict=True))

    def load_state(self, state):
        self._learned = state["mean"], state["deviation"]
        return self
