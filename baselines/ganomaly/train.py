"""Training of GANomaly: generator first, then discriminator, as in the released code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.ganomaly import losses
from baselines.ganomaly.config import GanomalyConfig
from baselines.ganomaly.networks import Discriminator, Generator, build
from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, autocast, dcgan_initialise

REPORT_EVERY = 10
RESTART_BELOW = 1e-5


@dataclass(frozen=True)
class GeneratorLosses:
    """Losses of the generator. Scalars."""

    total: Tensor
    adversarial: Tensor
    contextual: Tensor
    encoder: Tensor


@dataclass(frozen=True)
class DiscriminatorLosses:
    """Loss of the discriminator. A scalar."""

    total: Tensor


def train(config: GanomalyConfig, normal: Images, run: RunContext, shuffle: torch.Generator) -> Generator:
    """Train both networks and return the generator of the last epoch: no weights are chosen by any score.

    Raises:
        DetectorError: the loss is not finite.

    """
    generator, discriminator = build(config, run.device)
    descend_generator, descend_discriminator = _adam(generator, config), _adam(discriminator, config)
    stream = BatchStream(normal, config.batch_size, shuffle, run.device)
    total = config.epochs * stream.batches_per_epoch
    for step in range(1, total + 1):
        x = stream.next()
        discriminator.requires_grad_(False)
        mine, fake = generator_step(config, generator, discriminator, x, run)
        _descend(descend_generator, mine.total)
        discriminator.requires_grad_(True)
        theirs = discriminator_step(discriminator, x, fake, run)
        _descend(descend_discriminator, theirs.total)
        if theirs.total.item() < RESTART_BELOW:
            # As released: a discriminator that no longer errs teaches nothing. Adam's moments are kept there too.
            discriminator.apply(dcgan_initialise)
        if step % REPORT_EVERY == 0 or step == total:
            _report(step, total, mine, theirs, run)
    return generator


def generator_step(
    config: GanomalyConfig, generator: Generator, discriminator: Discriminator, x: Tensor, run: RunContext
) -> tuple[GeneratorLosses, Tensor]:
    """Losses of the generator on a batch, and its reconstructions, detached."""
    with autocast(run):
        fake, z, again = generator(x)
        _, fake_features = discriminator(fake)
        with torch.no_grad():
            _, real_features = discriminator(x)
    adversarial = losses.adversarial(real_features, fake_features)
    contextual = losses.contextual(x, fake)
    encoder = losses.encoder(z, again)
    total = (
        config.adversarial_weight * adversarial
        + config.contextual_weight * contextual
        + config.encoder_weight * encoder
    )
    return GeneratorLosses(total, adversarial, contextual, encoder), fake.detach()


def discriminator_step(discriminator: Discriminator, x: Tensor, fake: Tensor, run: RunContext) -> DiscriminatorLosses:
    """Loss of the discriminator on a batch and its reconstructions."""
    with autocast(run):
        real_logits, _ = discriminator(x)
        fake_logits, _ = discriminator(fake)
    return DiscriminatorLosses(losses.discriminator(real_logits, fake_logits))


def _adam(module: nn.Module, config: GanomalyConfig) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), config.learning_rate, (config.beta1, 0.999), fused=True)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _report(step: int, total: int, mine: GeneratorLosses, theirs: DiscriminatorLosses, run: RunContext) -> None:
    loss = mine.total.item()
    if not math.isfinite(loss):
        raise DetectorError(f"training diverged: the loss is {loss} at step {step} of {total}; lower learning_rate")
    run.progress("train", step, total, loss=loss, l1=mine.contextual.item(), discriminator=theirs.total.item())
