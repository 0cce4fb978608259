from pathlib import Path

import pytest

from bench.contracts import ImageFile, TaskSpec
from bench.data.phantoms import CXR_PHANTOM, OCT_PHANTOM


@pytest.fixture(scope="session", params=[OCT_PHANTOM, CXR_PHANTOM], ids=lambda spec: spec.name)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskSpec, list[ImageFile]]:
    """A task, and its images drawn once for all tests."""
    spec: TaskSpec = request.param
    folder: Path = tmp_path_factory.mktemp(spec.name)
    return spec, list(spec.build(folder))
