"""What torch detectors share: batches, seeding, precision, networks, hold-outs, state as arrays. Public to plugins.

Import names from here; the modules behind it may move.
"""

from bench.torchkit.backbones import Backbone, load_backbone
from bench.torchkit.batches import BatchStream, maps_in_batches, score_in_batches, to_tensor
from bench.torchkit.checkpoint import Checkpoint, Resumed
from bench.torchkit.convolutions import Doubling, FromVector, Halving, ToVector
from bench.torchkit.dcgan import (
    DcganDecoder,
    DcganEncoder,
    dcgan_channels,
    dcgan_initialise,
    dcgan_mirror,
    dcgan_pyramid,
)
from bench.torchkit.device import autocast, resolve_device, resolve_precision
from bench.torchkit.holdout import Standardiser, split_normal
from bench.torchkit.scoring import ScoringCopy, fold_batch_norm
from bench.torchkit.seeding import isolated_seed
from bench.torchkit.state import load_module_arrays, module_arrays, require_fitted, select_arrays

__all__ = [
    "Backbone",
    "BatchStream",
    "Checkpoint",
    "DcganDecoder",
    "DcganEncoder",
    "Doubling",
    "FromVector",
    "Halving",
    "Resumed",
    "ScoringCopy",
    "Standardiser",
    "ToVector",
    "autocast",
    "dcgan_channels",
    "dcgan_initialise",
    "dcgan_mirror",
    "dcgan_pyramid",
    "fold_batch_norm",
    "isolated_seed",
    "load_backbone",
    "load_module_arrays",
    "maps_in_batches",
    "module_arrays",
    "require_fitted",
    "resolve_device",
    "resolve_precision",
    "score_in_batches",
    "select_arrays",
    "split_normal",
    "to_tensor",
]
