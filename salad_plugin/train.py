"""Training: one step of the translation networks, one of the discriminators, over and over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, autocast, to_tensor
from salad_plugin.config import SaladConfig
from salad_plugin.losses import fools, guarded_center, squared_distance, ssim, tells_apart
from salad_plugin.networks import TRANSFORMS, Networks
from salad_plugin.pretext import corrupt, transform

REPORT_EVERY = 10


@dataclass(frozen=True)
class GeneratorLosses:
    """Losses of encoder, decoder and pretext head; 0 where a term is switched off. Scalars."""

    total: Tensor
    pixel: Tensor
    ssim: Tensor
    consistency: Tensor
    center: Tensor
    adversarial: Tensor
    pretext: Tensor


@dataclass(frozen=True)
class DiscriminatorLosses:
    """Losses of the discriminators; 0 where one does not exist. Scalars."""

    total: Tensor
    image: Tensor
    latent: Tensor


@dataclass(frozen=True)
class Translated:
    """What the generator step made, for the discriminator step to judge; detached."""

    images: Tensor
    latents: Tensor


def train(
    config: SaladConfig, networks: Networks, normal: Images, run: RunContext, generator: torch.Generator
) -> Tensor:
    """Train all networks in place and return the center c, float32 (latent,).

    Raises:
        DetectorError: a loss is not finite.

    """
    stream = BatchStream(normal, config.batch_size, generator, run.device)
    total = config.epochs * stream.batches_per_epoch
    warm = math.ceil(config.center_warmup * total)
    translate = _adam(networks.translation(), config)
    judges = [parameter for module in networks.discriminators() for parameter in module.parameters()]
    judge = _adam(judges, config) if judges else None
    center: Tensor | None = None
    for step in range(total):
        x = stream.next()
        if step == warm:
            center = measure_center(networks, normal, config, run)
        _trainable(networks, False)
        losses, translated = generator_step(config, networks, x, center, run, generator)
        _descend(translate, losses.total)
        if judge is not None:
            _trainable(networks, True)
            _descend(judge, discriminator_step(networks, x, translated, run).total)
        if step % REPORT_EVERY == 0 or step == total - 1:
            _report(step + 1, total, losses, run)
    return measure_center(networks, normal, config, run) if center is None else center


def generator_step(
    config: SaladConfig,
    networks: Networks,
    x: Tensor,
    center: Tensor | None,
    run: RunContext,
    generator: torch.Generator,
) -> tuple[GeneratorLosses, Translated]:
    """Translate a batch x to the latent space and back, and compare.

    Each network sees each image once: x and its transformed copy share one pass of the encoder.
    """
    zero = x.new_zeros(())
    n = len(x)
    labels = torch.randint(TRANSFORMS, (n,), generator=generator).to(x.device)
    given = corrupt(x, generator) if config.pretext == "restore" else x
    with autocast(run):
        head = networks.transform_head
        latents, _ = networks.encoder(torch.cat([given, transform(x, labels)]) if head is not None else given)
        z = latents[:n]
        fake = networks.decoder(z)
        again = networks.encoder(fake)[0] if config.consistency_weight else None
        guess = head(latents[n:]) if head is not None else None
        judged = networks.image_discriminator(fake) if networks.image_discriminator is not None else None
        judged_z = networks.latent_discriminator(z) if networks.latent_discriminator is not None else None
        cycle = _cycle(networks, z, generator) if config.cycle_weight else zero
    pixel = F.l1_loss(fake.float(), x) if config.pixel_weight else zero
    structure = 1 - ssim(x, fake).mean() if config.ssim_weight else zero
    consistency = squared_distance(z, again).mean() if again is not None else zero
    centring = squared_distance(z, center.expand_as(z)).mean() if config.center_weight and center is not None else zero
    image_adversarial = config.image_adversarial_weight * fools(judged) if judged is not None else zero
    latent_adversarial = config.latent_adversarial_weight * fools(judged_z) if judged_z is not None else zero
    pretext = F.cross_entropy(guess.float(), labels) if guess is not None else zero
    total = (
        config.pixel_weight * pixel
        + config.ssim_weight * structure
        + config.consistency_weight * consistency
        + config.center_weight * centring
        + config.cycle_weight * cycle
        + config.pretext_weight * pretext
        + image_adversarial
        + latent_adversarial
    )
    losses = GeneratorLosses(
        total, pixel, structure, consistency, centring, image_adversarial + latent_adversarial, pretext
    )
    return losses, Translated(fake.detach(), z.detach())


def _cycle(networks: Networks, z: Tensor, generator: torch.Generator) -> Tensor:
    """Latent cycle: a draw from the prior survives the way to an image and back."""
    drawn = torch.randn(z.shape, generator=generator).to(z.device)
    return squared_distance(networks.encoder(networks.decoder(drawn))[0], drawn).mean()


def discriminator_step(networks: Networks, x: Tensor, translated: Translated, run: RunContext) -> DiscriminatorLosses:
    """Tell x from x̂, and draws of N(0, I) from latent vectors."""
    image = latent = x.new_zeros(())
    with autocast(run):
        if networks.image_discriminator is not None:
            real, fake = networks.image_discriminator(x), networks.image_discriminator(translated.images)
            image = tells_apart(real, fake)
        if networks.latent_discriminator is not None:
            drawn = torch.randn_like(translated.latents)
            judged = networks.latent_discriminator(torch.cat([drawn, translated.latents]))
            latent = tells_apart(*judged.chunk(2))
    return DiscriminatorLosses(image + latent, image, latent)


def measure_center(networks: Networks, normal: Images, config: SaladConfig, run: RunContext) -> Tensor:
    """Return the guarded mean embedding of the training normals, float32 (latent,)."""
    parts = []
    networks.encoder.eval()
    with torch.no_grad(), autocast(run):
        for start in range(0, len(normal), config.batch_size):
            parts.append(networks.encoder(to_tensor(normal[start : start + config.batch_size], run.device))[0].float())
    networks.encoder.train()
    return guarded_center(torch.cat(parts))


def _adam(parameters: list[nn.Parameter], config: SaladConfig) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, config.learning_rate, (config.beta1, 0.999), fused=True)


def _trainable(networks: Networks, yes: bool) -> None:
    """Switch gradients of the discriminators' weights, which the generator step does not need."""
    for module in networks.discriminators():
        module.requires_grad_(yes)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _report(step: int, total: int, losses: GeneratorLosses, run: RunContext) -> None:
    """Tell how it goes, and stop if it does not."""
    loss = losses.total.item()
    if not math.isfinite(loss):
        raise DetectorError(f"training diverged: the loss is {loss} at step {step} of {total}; lower learning_rate")
    run.progress("train", step, total, loss=loss, ssim=1 - losses.ssim.item(), pretext=losses.pretext.item())
