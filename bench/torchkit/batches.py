"""From uint8 images to tensors: endless shuffled batches for training, constant-size batches for scoring."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import Images, RunContext


def to_tensor(images: Images, device: str) -> Tensor:
    """uint8 (n, h, w, c) to float32 (n, c, h, w) in [-1, 1] on ``device``, channels last in memory."""
    # A copy: the harness hands out read-only memory maps and stride-0 views, which torch cannot wrap.
    pixels = torch.from_numpy(np.array(images)).to(device, non_blocking=True)
    # NHWC storage seen as NCHW *is* channels_last, so no transpose is ever computed.
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


class BatchStream:
    """Endless full batches of shuffled images; each image comes once before any comes again.

    A partial batch is never produced: what is left of one permutation starts the next batch, so batch-norm statistics
    always come from ``batch_size`` images, and none is dropped.

    Attributes:
        queue: int64 (k,), the next images in order; with the generator's state, all that decides what follows.

    """

    def __init__(self, images: Images, batch_size: int, generator: torch.Generator, device: str) -> None:
        if len(images) == 0:
            raise ValueError("no images to draw batches from")
        self._images, self._size, self._generator, self._device = images, batch_size, generator, device
        self.queue = np.empty(0, np.int64)

    @property
    def batches_per_epoch(self) -> int:
        """How many batches show every image once, rounded up."""
        return -(-len(self._images) // self._size)

    def next(self) -> Tensor:
        """Return the next batch: float32 (batch_size, c, h, w) in [-1, 1], channels last."""
        while len(self.queue) < self._size:
            fresh = torch.randperm(len(self._images), generator=self._generator).numpy()
            self.queue = np.concatenate([self.queue, fresh])
        take, self.queue = self.queue[: self._size], self.queue[self._size :]
        return to_tensor(self._images[take], self._device)


def score_in_batches(
    images: Images,
    run: RunContext,
    compute: Callable[[Tensor], Tensor],
    batch_size: int = 64,
    phase: str = "score",
    concurrent: bool = False,
) -> NDArray[np.float64]:
    """Apply ``compute`` to all images in batches of one constant size, without gradients.

    The last batch is filled up with blank images: convolution kernels are chosen by batch size, and an image's score
    must not depend on how many others came with it. Put the networks into ``eval()`` before.

    Args:
        images: uint8 (n, h, w, c).
        run: device and progress.
        compute: float32 (b, c, h, w) in [-1, 1] to (b,) or (b, k).
        batch_size: images a batch.
        phase: what the progress is reported as.
        concurrent: on a CPU, compute two batches at a time, each with half of the threads, which keeps the cores busier
            where a network is small. ``compute`` must then change nothing that two calls share (a hook that collects
            features would mix those of different images) and enter autocast itself, and no other thread of the process
            may do the same meanwhile, since torch's number of threads is changed and put back.

    Returns:
        float64 (n,) or (n, k).

    """
    results = np.empty(0)
    starts = range(0, len(images), batch_size)

    def part(start: int) -> NDArray[np.float64]:
        values = _compute(images[start : start + batch_size], run, compute, batch_size)
        return values.double().cpu().numpy()

    with closing(_in_order(part, starts, two_at_a_time=concurrent and run.device == "cpu")) as parts:
        for start, values in zip(starts, parts, strict=True):
            # One array for all: small results kept between large temporary ones would fragment the heap.
            if start == 0:
                results = np.empty((len(images), *values.shape[1:]))
            results[start : start + len(values)] = values
            run.progress(phase, start + len(values), len(images))
    return results


def _in_order(
    work: Callable[[int], NDArray[np.float64]], places: Sequence[int], *, two_at_a_time: bool
) -> Generator[NDArray[np.float64]]:
    """Yield what ``work`` returns for each place; close the generator to stop early."""
    threads = torch.get_num_threads()
    if not two_at_a_time or threads < 2:
        yield from map(work, places)
        return
    # A single batch takes this way too: with other threads it might be rounded otherwise than among many.
    pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(threads // 2,))
    try:
        yield from pool.map(work, places)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # what a thread sets for itself is in part set for all, MKL's number for one


def maps_in_batches(
    images: Images,
    run: RunContext,
    compute: Callable[[Tensor], Tensor],
    batch_size: int = 64,
    phase: str = "maps",
) -> Iterator[NDArray[np.float32]]:
    """Apply ``compute`` as :func:`score_in_batches` does and yield its results one by one, a batch in memory at a time.

    Args:
        images: uint8 (n, h, w, c).
        run: device and progress.
        compute: float32 (b, c, h, w) in [-1, 1] to maps (b, h, w).
        batch_size: images a batch.
        phase: what the progress is reported as.

    Returns:
        an iterator over float32 (h, w).

    """
    for start in range(0, len(images), batch_size):
        yield from _compute(images[start : start + batch_size], run, compute, batch_size).float().cpu().numpy()
        run.progress(phase, min(start + batch_size, len(images)), len(images))


# Not around a yield: whoever asks for the next map would go on without gradients.
@torch.inference_mode()
def _compute(images: Images, run: RunContext, compute: Callable[[Tensor], Tensor], batch_size: int) -> Tensor:
    """Results of at most ``batch_size`` images, computed on exactly that many."""
    missing = batch_size - len(images)
    chunk = np.array(images)
    if missing:
        chunk = np.concatenate([chunk, np.zeros((missing, *chunk.shape[1:]), np.uint8)])
    return compute(to_tensor(chunk, run.device))[: len(images)]
