"""Training of GANomaly, as in the released code, but with one pass of the discriminator for the steps of both networks.

The discriminator's step comes after the generator's, and looks at the same images, the same reconstructions and, as its
own weights have not moved in between, through the same network. So it computes what the generator's step has computed.
"""

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
        mine, theirs = steps(config, generator, discriminator, x, run)
        _differentiate(mine.total, generator, retain=True)
        _differentiate(theirs.total, discriminator)
        descend_generator.step()
        descend_discriminator.step()
        if theirs.total.item() < RESTART_BELOW:
            # As released: a discriminator that no longer errs teaches nothing. Adam's moments are kept there too.
            discriminator.apply(dcgan_initialise)
        if step % REPORT_EVERY == 0 or step == total:
            _report(step, total, mine, theirs, run)
    return generator


def steps(
    config: GanomalyConfig, generator: Generator, discriminator: Discriminator, x: Tensor, run: RunContext
) -> tuple[GeneratorLosses, DiscriminatorLosses]:
    """Losses of both networks on a batch.

    They share a graph: differentiate each with respect to the weights of its own network only.
    """
    with autocast(run):
        fake, z, again = generator(x)
        real_logits, real_features = discriminator(x)
        fake_logits, fake_features = discriminator(fake)
    adversarial = losses.adversarial(real_features.detach(), fake_features)
    contextual = losses.contextual(x, fake)
    encoder = losses.encoder(z, again)
    total = (
        config.adversarial_weight * adversarial
        + config.contextual_weight * contextual
        + config.encoder_weight * encoder
    )
    mine = GeneratorLosses(total, adversarial, contextual, encoder)
    return mine, DiscriminatorLosses(losses.discriminator(real_logits, fake_logits))


def _adam(module: nn.Module, config: GanomalyConfig) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), config.learning_rate, (config.beta1, 0.999), fused=True)


def _differentiate(loss: Tensor, network: nn.Module, retain: bool = False) -> None:
    """Set the gradients of one network, and compute none of the other's weights."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=retain)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def _report(step: int, total: int, mine: GeneratorLosses, theirs: DiscriminatorLosses, run: RunContext) -> None:
    loss = mine.total.item()
    if not math.isfinite(loss):
        raise DetectorError(f"training diverged: the loss is {loss} at step {step} of {total}; lower learning_rate")
    run.progress("train", step, total, loss=loss, l1=mine.contextual.item(), discriminator=theirs.total.item())
