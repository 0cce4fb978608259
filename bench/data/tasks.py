"""The built-in tasks, offered through the same hook as a stranger's."""

from collections.abc import Sequence

import bench


@bench.hookimpl
def bench_tasks() -> Sequence[bench.TaskSpec]:
    """Offer the tasks that come with bench."""
    from bench.data.phantoms import CXR_PHANTOM, OCT_PHANTOM
    from bench.data.sets.kermany import CHEST_XRAY, OCT2017

    return [OCT_PHANTOM, CXR_PHANTOM, CHEST_XRAY, OCT2017]
