"""The built-in tasks, offered through the same hook as a stranger's."""

from collections.abc import Sequence

import bench


@bench.hookimpl
def bench_tasks() -> Sequence[bench.TaskSpec]:
    """Offer the tasks that come with bench."""
    from bench.data.phantoms import CXR_PHANTOM, OCT_PHANTOM
    from bench.data.sets.kermany import CHEST_XRAY, OCT2017
    from bench.data.variants import variants_of

    return [
        OCT_PHANTOM,
        *variants_of(OCT_PHANTOM, ("DRUSEN", "FLUID", "NEOVASCULAR"), pool=False),
        CXR_PHANTOM,
        *variants_of(CXR_PHANTOM, ("CONSOLIDATION", "EFFUSION", "INTERSTITIAL", "NODULE"), pool=False),
        CHEST_XRAY,
        *variants_of(CHEST_XRAY),
        OCT2017,
        *variants_of(OCT2017, ("CNV", "DME", "DRUSEN")),
    ]
