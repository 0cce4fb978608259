"""Training of Deep SVDD: first as an autoencoder, then towards the centre of the first embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.deepsvdd import losses
from baselines.deepsvdd.config import DeepSvddConfig
from baselines.deepsvdd.networks import build_decoder, build_encoder
from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, DcganDecoder, DcganEncoder, autocast, score_in_batches

REPORT_EVERY = 10
COLLAPSED_BELOW = 1e-5
"""Relative spread of the embeddings that float32 cannot tell from none."""


@dataclass(frozen=True)
class Losses:
    """Loss of a step, of either phase. A scalar."""

    total: Tensor


@dataclass(frozen=True)
class Learned:
    """The encoder, in evaluation mode, and the centre, float32 (latent,)."""

    encoder: DcganEncoder
    centre: Tensor


def train(config: DeepSvddConfig, normal: Images, run: RunContext, shuffle: torch.Generator) -> Learned:
    """Run both phases; no weights are chosen by any score.

    Raises:
        DetectorError: a loss is not finite, or all embeddings have become one point.

    """
    encoder, decoder = build_encoder(config, run.device), build_decoder(config, run.device)
    stream = BatchStream(normal, config.batch_size, shuffle, run.device)
    _descend(
        "pretrain",
        lambda x: pretrain_step(encoder, decoder, x, run),
        nn.ModuleList([encoder, decoder]),
        (config.pretrain_epochs, config.pretrain_fine_epochs),
        config.pretrain_learning_rate,
        config.weight_decay,
        stream,
        run,
    )
    centre = losses.choose_centre(embed(config, encoder.eval(), normal, run), config.centre_margin).to(run.device)
    encoder.train()
    _descend(
        "train",
        lambda x: one_class_step(encoder, centre, x),
        encoder,
        (config.epochs, config.fine_epochs),
        config.learning_rate,
        config.weight_decay,
        stream,
        run,
    )
    require_spread(embed(config, encoder.eval(), normal, run), centre.cpu())
    return Learned(encoder, centre)


def pretrain_step(encoder: DcganEncoder, decoder: DcganDecoder, x: Tensor, run: RunContext) -> Losses:
    """Loss of the autoencoder on a batch (n, c, s, s)."""
    with autocast(run):
        again = decoder(encoder(x))
    return Losses(losses.reconstruction(x, again))


def one_class_step(encoder: DcganEncoder, centre: Tensor, x: Tensor) -> Losses:
    """Loss of the one-class objective on a batch (n, c, s, s).

    In float32 whatever the run's precision: distances to the centre become small beside it, and bfloat16 rounds them
    away.
    """
    return Losses(losses.one_class(encoder(x), centre))


def embed(config: DeepSvddConfig, encoder: DcganEncoder, normal: Images, run: RunContext) -> Tensor:
    """Embeddings of all images, float32 (n, latent), in main memory."""
    return torch.from_numpy(score_in_batches(normal, run, encoder, config.batch_size, "embed")).float()


def require_spread(embeddings: Tensor, centre: Tensor) -> None:
    """Refuse embeddings (n, latent) of normal images that are one point: every score would be rounding.

    Raises:
        DetectorError: they are.

    """
    spread = losses.relative_spread(embeddings, centre)
    if not spread > COLLAPSED_BELOW:
        raise DetectorError(
            f"Deep SVDD collapsed: embeddings of normal images spread by {spread:.1e} of the centre's length; "
            "lower learning_rate or epochs, or give it images that differ"
        )


def _descend(
    phase: str,
    step_of: Callable[[Tensor], Losses],
    module: nn.Module,
    epochs: tuple[int, int],
    rate: float,
    weight_decay: float,
    stream: BatchStream,
    run: RunContext,
) -> None:
    """Adam for the first number of epochs, then at a tenth of the rate for the second."""
    optimizer = torch.optim.Adam(module.parameters(), rate, weight_decay=weight_decay, fused=True)
    drop, total = epochs[0] * stream.batches_per_epoch, sum(epochs) * stream.batches_per_epoch
    for step in range(1, total + 1):
        if step == drop + 1:
            optimizer.param_groups[0]["lr"] = rate / 10
        step_losses = step_of(stream.next())
        optimizer.zero_grad(set_to_none=True)
        step_losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % REPORT_EVERY == 0 or step == total:
            _report(phase, step, total, step_losses, run)


def _report(phase: str, step: int, total: int, step_losses: Losses, run: RunContext) -> None:
    loss = step_losses.total.item()
    if not math.isfinite(loss):
        field = "pretrain_learning_rate" if phase == "pretrain" else "learning_rate"
        raise DetectorError(f"training diverged: the loss is {loss} at {phase} step {step} of {total}; lower {field}")
    run.progress(phase, step, total, loss=loss)
