"""Images per second that anomalib's Ganomaly trains on through its Engine, start-up apart, printed as one number.

For an interpreter that has anomalib; ``training.py --anomalib-python PATH`` calls it.

    python benchmarks/anomalib_ganomaly.py STEPS [THREADS]
"""

import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import Ganomaly
from lightning.pytorch import Callback
from PIL import Image
from torchvision.transforms.v2 import Resize

SIDE, BATCH, WARM_UP = 64, 64, 2


class Clock(Callback):
    """Time from the end of the warm-up to the end of the last step."""

    def __init__(self, last: int) -> None:
        self.last, self.started, self.seconds = last, 0.0, 0.0

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Look at the clock."""
        if batch_idx == WARM_UP - 1:
            self.started = time.perf_counter()
        elif batch_idx == self.last:
            self.seconds = time.perf_counter() - self.started


def main(steps: int) -> float:
    """Train for a few steps on noise and return the images per second."""
    batches = steps + WARM_UP
    clock = Clock(batches - 1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # Twice the images that are needed: the data module keeps some of them for a test set.
        for name, count in (("normal", 2 * batches * BATCH), ("abnormal", 2)):
            (root / name).mkdir()
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), np.uint8)).save(root / name / f"{number}.png")
        data = Folder(
            name="noise",
            root=root,
            normal_dir="normal",
            abnormal_dir="abnormal",
            train_batch_size=BATCH,
            num_workers=0,
        )
        size = Ganomaly.configure_pre_processor((SIDE, SIDE))
        size.transform = Resize((SIDE, SIDE))
        model = Ganomaly(
            batch_size=BATCH, n_features=64, latent_vec_size=100, pre_processor=size, evaluator=False, visualizer=False
        )
        engine = Engine(
            max_epochs=1,
            accelerator="cpu",
            callbacks=[clock],
            limit_train_batches=batches,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            logger=False,
            default_root_dir=root,
        )
        engine.fit(model, datamodule=data)
    return steps * BATCH / clock.seconds


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if len(sys.argv) > 2:
        torch.set_num_threads(int(sys.argv[2]))
    print(main(int(sys.argv[1])))
