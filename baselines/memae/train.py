"""Training of MemAE."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.memae import losses
from baselines.memae.config import MemaeConfig
from baselines.memae.networks import MemoryAutoencoder, build
from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, autocast

REPORT_EVERY = 10


@dataclass(frozen=True)
class Losses:
    """Losses of a step, and how many items a query was put together from on average. Scalars."""

    total: Tensor
    reconstruction: Tensor
    entropy: Tensor
    items_used: Tensor


def train(config: MemaeConfig, normal: Images, run: RunContext, shuffle: torch.Generator) -> MemoryAutoencoder:
    """Train a network and return it as it is after the last epoch: no weights are chosen by any score.

    Raises:
        DetectorError: the loss is not finite, or no query reaches any memory item.

    """
    network = build(config, run.device)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=True)
    stream = BatchStream(normal, config.batch_size, shuffle, run.device)
    total = config.epochs * stream.batches_per_epoch
    for step in range(1, total + 1):
        step_losses = memory_step(config, network, stream.next(), run)
        optimizer.zero_grad(set_to_none=True)
        step_losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % REPORT_EVERY == 0 or step == total:
            _report(step, total, step_losses, run)
    return network


def memory_step(config: MemaeConfig, network: MemoryAutoencoder, x: Tensor, run: RunContext) -> Losses:
    """Equation 10 on a batch (n, c, s, s)."""
    again, weights = reconstruct(network, x, run)
    reconstruction, entropy = losses.reconstruction(x, again), losses.entropy(weights)
    items_used = (weights.detach() > 0).sum(dim=1).float().mean()
    return Losses(reconstruction + config.entropy_weight * entropy, reconstruction, entropy, items_used)


def reconstruct(network: MemoryAutoencoder, x: Tensor, run: RunContext) -> tuple[Tensor, Tensor]:
    """Image (n, c, s, s) to its reconstruction from memory and the addressing weights (n · 16, N)."""
    with autocast(run):
        features = network.encoder(x)
    # In float32: weights and their threshold are about 1 / N, where bfloat16 could not tell them apart.
    remembered, weights = network.memory(features.float())
    with autocast(run):
        again = network.decoder(remembered)
    return again, weights


def _report(step: int, total: int, step_losses: Losses, run: RunContext) -> None:
    loss, used = step_losses.total.item(), step_losses.items_used.item()
    if not math.isfinite(loss):
        raise DetectorError(f"training diverged: the loss is {loss} at step {step} of {total}; lower learning_rate")
    if used == 0:
        raise DetectorError(
            f"no memory item is used at step {step} of {total}: all weights shrink to 0; lower shrinkage "
            "or set similarity to inner"
        )
    run.progress("train", step, total, loss=loss, items=used)
