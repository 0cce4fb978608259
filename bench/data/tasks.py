"""The built-in tasks, offered through the same hook as a stranger's."""

from collections.abc import Sequence

import bench


@bench.hookimpl
def bench_tasks() -> Sequence[bench.TaskSpec]:
    """Offer the tasks that come with bench."""
    from bench.data.kermany import CHEST_XRAY, OCT2017
    from bench.data.phantoms import CXR_PHANTOM, OCT_PHANTOM

    return [OCT_PHANTOM, CXR_PHANTOM, CHEST_XRAY, OCT2017]
