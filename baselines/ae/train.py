"""Training of the autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.ae import losses
from baselines.ae.config import AeConfig
from baselines.ae.networks import Autoencoder, build
from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, autocast

REPORT_EVERY = 10


@dataclass(frozen=True)
class Losses:
    """Loss of a step. A scalar."""

    total: Tensor


def train(config: AeConfig, normal: Images, run: RunContext, shuffle: torch.Generator) -> Autoencoder:
    """Train a network and return it as it is after the last epoch: no weights are chosen by any score.

    Raises:
        DetectorError: the loss is not finite.

    """
    network = build(config, run.device)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=True)
    stream = BatchStream(normal, config.batch_size, shuffle, run.device)
    total = config.epochs * stream.batches_per_epoch
    for step in range(1, total + 1):
        step_losses = reconstruction_step(network, stream.next(), run)
        optimizer.zero_grad(set_to_none=True)
        step_losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % REPORT_EVERY == 0 or step == total:
            _report(step, total, step_losses, run)
    return network


def reconstruction_step(network: Autoencoder, x: Tensor, run: RunContext) -> Losses:
    """Loss on a batch (n, c, s, s)."""
    with autocast(run):
        again = network(x)
    return Losses(losses.reconstruction(x, again))


def _report(step: int, total: int, step_losses: Losses, run: RunContext) -> None:
    loss = step_losses.total.item()
    if not math.isfinite(loss):
        raise DetectorError(f"training diverged: the loss is {loss} at step {step} of {total}; lower learning_rate")
    run.progress("train", step, total, loss=loss)
