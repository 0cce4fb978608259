"""Training of the variational autoencoder: the evidence lower bound, with one draw of z an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.vae import losses
from baselines.vae.config import VaeConfig
from baselines.vae.networks import Vae, build, sample
from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, autocast

REPORT_EVERY = 10


@dataclass(frozen=True)
class Losses:
    """Losses of a step, means over the batch. Scalars."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def train(config: VaeConfig, normal: Images, run: RunContext, draws: torch.Generator) -> Vae:
    """Train a network and return it as it is after the last epoch: no weights are chosen by any score.

    Raises:
        DetectorError: the loss is not finite.

    """
    network = build(config, run.device)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=True)
    stream = BatchStream(normal, config.batch_size, draws, run.device)
    total = config.epochs * stream.batches_per_epoch
    for step in range(1, total + 1):
        noise = torch.randn(config.batch_size, config.latent, generator=draws).to(run.device)
        step_losses = elbo_step(config, network, stream.next(), noise, run)
        optimizer.zero_grad(set_to_none=True)
        step_losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % REPORT_EVERY == 0 or step == total:
            _report(step, total, step_losses, run)
    return network


def elbo_step(config: VaeConfig, network: Vae, x: Tensor, noise: Tensor, run: RunContext) -> Losses:
    """Negative evidence lower bound of a batch (n, c, s, s), with noise (n, latent) from N(0, 1)."""
    with autocast(run):
        mean, log_variance = network.encode(x)
        again = network.decode(sample(mean, log_variance, noise))
    reconstruction = losses.negative_log_likelihood(x, again).mean()
    kl = losses.kl_divergence(mean, log_variance).mean()
    return Losses(reconstruction + config.beta * kl, reconstruction, kl)


def _report(step: int, total: int, step_losses: Losses, run: RunContext) -> None:
    loss = step_losses.total.item()
    if not math.isfinite(loss):
        raise DetectorError(f"training diverged: the loss is {loss} at step {step} of {total}; lower learning_rate")
    run.progress("train", step, total, loss=loss, kl=step_losses.kl.item())
