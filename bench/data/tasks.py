"""The built-in tasks, offered through the same hook as a stranger's."""

from collections.abc import Sequence

import bench


@bench.hookimpl
def bench_tasks() -> Sequence[bench.TaskSpec]:
    """Offer the tasks that come with bench."""
    from bench.data.phantoms import CXR_PHANTOM, OCT_PHANTOM
    from bench.data.sets.bmad import TASKS as BMAD
    from bench.data.sets.chexpert import CHEXPERT
    from bench.data.sets.kermany import CHEST_XRAY, OCT2017
    from bench.data.sets.medmnist import TASKS as MEDMNIST
    from bench.data.sets.nih import NIH
    from bench.data.sets.octdl import OCTDL
    from bench.data.sets.rsna import RSNA
    from bench.data.sets.vindr import VINDR
    from bench.data.variants import with_variants

    return [
        *with_variants(OCT_PHANTOM, ("DRUSEN", "FLUID", "NEOVASCULAR"), pool=False),
        *with_variants(CXR_PHANTOM, ("CONSOLIDATION", "EFFUSION", "INTERSTITIAL", "NODULE"), pool=False),
        *with_variants(CHEST_XRAY),
        *with_variants(OCT2017, ("CNV", "DME", "DRUSEN")),
        *with_variants(NIH),
        *with_variants(RSNA),
        *with_variants(VINDR),
        *with_variants(CHEXPERT),
        *with_variants(OCTDL, ("AMD", "DME", "ERM", "RAO", "RVO", "VID")),
        *(variant for spec in BMAD for variant in with_variants(spec, pool=False)),
        *MEDMNIST,
    ]
