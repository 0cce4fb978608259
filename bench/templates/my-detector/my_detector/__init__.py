"""Offers the detector to bench. This module is imported by every bench command: import nothing slow here."""

import bench


def _config():
    from my_detector.detector import MyDetectorConfig

    return MyDetectorConfig


def _load():
    from my_detector.detector import MyDetector

    return MyDetector


@bench.hookimpl
def bench_detectors():
    """Describe the detector."""
    return [
        bench.DetectorSpec(
            name="my-detector",
            version="1",  # bump it whenever scores may change
            summary="how many standard deviations each pixel lies off the normal images",
            citation="unpublished",
            config=_config,
            load=_load,
            presets={"smoke": {"image_size": 32}},
            stochastic=False,  # True once a score depends on run.seed
            torch=False,  # True once it imports torch
        )
    ]
