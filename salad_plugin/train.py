"""Training: one step of the translation networks, one of the discriminators, over and over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, Checkpoint, autocast, to_tensor
from salad_plugin.config import SaladConfig
from salad_plugin.losses import fools, guarded_center, squared_distance, ssim_scales, tells_apart
from salad_plugin.networks import Networks
from salad_plugin.pretext import Question, ask, locate_loss

REPORT_EVERY = 10
WARMUP_STEPS = 100


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
    """A batch after the translation to the latent space and back.

    Attributes:
        x: the images, (n, c, s, s).
        z: their latent vectors, (n, latent).
        fake: their reconstructions, (n, c, s, s).
        again: latent vectors of the reconstructions, (n, latent), or None where nothing is compared with them.
        pretext: loss of the pretext task, a scalar.

    """

    x: Tensor
    z: Tensor
    fake: Tensor
    again: Tensor | None
    pretext: Tensor


def train(config: SaladConfig, networks: Networks, normal: Images, run: RunContext, generator: torch.Generator) -> None:
    """Train all networks in place; what they are after the last step is kept, chosen by no score.

    Raises:
        DetectorError: a loss is not finite.

    """
    stream = BatchStream(normal, config.batch_size, generator, run.device)
    translate = _adam(networks.translation(), config)
    judges = [parameter for module in networks.discriminators() for parameter in module.parameters()]
    judge = _adam(judges, config) if judges else None
    checkpoint = Checkpoint(
        run,
        config,
        normal,
        {**networks.trained(), "stream": stream, "generator": generator, "translate": translate, "judge": judge},
    )
    resumed = checkpoint.load()
    center = resumed.tensors.get("center")
    for step in range(resumed.step, config.steps):
        x = augment(stream.next(), generator) if config.augment else stream.next()
        if config.center_weight and step == math.ceil(config.center_warmup * config.steps):
            center = measure_center(networks, normal, config, run)
        translated = translation(config, networks, x, run, generator)
        _trainable(networks, False)
        losses = generator_losses(config, networks, translated, center, run, generator)
        _descend(translate, losses.total, _rate(config, step))
        if judge is not None:
            _trainable(networks, True)
            _descend(judge, discriminator_losses(networks, translated, run).total, _rate(config, step))
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == config.steps:
            _report(step + 1, config.steps, losses, run)
        checkpoint.save_if_due(step + 1, center=center)


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images, and shift all by up to a sixteenth of the side, in whole pixels: none is blurred."""
    mirrored = (torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5).to(x.device)
    most = x.shape[-1] // 16
    down, right = torch.randint(2 * most + 1, (2,), generator=generator).tolist()
    padded = F.pad(torch.where(mirrored, x.flip(3), x), (most,) * 4, mode="reflect")
    shifted = padded[:, :, down : down + x.shape[2], right : right + x.shape[3]]
    return shifted.contiguous(memory_format=torch.channels_last)


def translation(
    config: SaladConfig, networks: Networks, x: Tensor, run: RunContext, generator: torch.Generator
) -> Translated:
    """Translate a batch x to the latent space and back. Images and the pretext task's share one pass of the encoder."""
    n, question = len(x), ask(config.task, x, generator)
    with autocast(run):
        latents, features = networks.encoder(x if question is None else torch.cat([x, question.images]))
        z = latents[:n]
        fake = networks.decoder(latents if config.task == "restore" else z)
        again = None
        if config.consistency_weight:
            # With the statistics of images: reconstructions are smoother, and would change them for all that follows.
            with running_statistics(networks.encoder):
                again = networks.encoder(fake[:n])[0]
        pretext = x.new_zeros(()) if question is None else _pretext_loss(networks, latents, features, fake, question)
    return Translated(x, z, fake[:n], again, pretext)


def _pretext_loss(
    networks: Networks, latents: Tensor, features: list[Tensor], fake: Tensor, question: Question
) -> Tensor:
    n = len(question.images)
    if networks.transform_head is not None:
        return F.cross_entropy(networks.transform_head(latents[n:]).float(), question.answer)
    if networks.locate_head is not None:
        maps, judged = networks.locate_head(features)
        return locate_loss(maps, judged, question.answer)
    return F.l1_loss(fake[n:].float(), question.answer)


def generator_losses(
    config: SaladConfig,
    networks: Networks,
    translated: Translated,
    center: Tensor | None,
    run: RunContext,
    generator: torch.Generator,
) -> GeneratorLosses:
    """Losses of encoder, decoder and pretext head."""
    x, z, fake, again = translated.x, translated.z, translated.fake, translated.again
    zero = x.new_zeros(())
    with autocast(run):
        judged = networks.image_discriminator(fake) if networks.image_discriminator is not None else None
        judged_z = networks.latent_discriminator(z) if networks.latent_discriminator is not None else None
        cycle = _cycle(networks, z, generator) if config.cycle_weight else zero
    pixel = F.l1_loss(fake.float(), x) if config.pixel_weight else zero
    structure = 1 - ssim_scales(x, fake).mean() if config.ssim_weight else zero
    consistency = squared_distance(z, again).mean() if again is not None else zero
    centring = squared_distance(z, center.expand_as(z)).mean() if center is not None else zero
    adversarial = zero
    if judged is not None:
        adversarial = adversarial + config.image_adversarial_weight * fools(judged)
    if judged_z is not None:
        adversarial = adversarial + config.latent_adversarial_weight * fools(judged_z)
    total = (
        config.pixel_weight * pixel
        + config.ssim_weight * structure
        + config.consistency_weight * consistency
        + config.center_weight * centring
        + config.cycle_weight * cycle
        + config.pretext_weight * translated.pretext
        + adversarial
    )
    return GeneratorLosses(total, pixel, structure, consistency, centring, adversarial, translated.pretext)


def _cycle(networks: Networks, z: Tensor, generator: torch.Generator) -> Tensor:
    """Latent cycle: a draw from the prior survives the way to an image and back."""
    drawn = torch.randn(z.shape, generator=generator).to(z.device)
    with running_statistics(networks.encoder), running_statistics(networks.decoder):
        return squared_distance(networks.encoder(networks.decoder(drawn))[0], drawn).mean()


def discriminator_losses(networks: Networks, translated: Translated, run: RunContext) -> DiscriminatorLosses:
    """Tell x from x̂, and draws of N(0, I) from latent vectors."""
    image = latent = translated.x.new_zeros(())
    fake, z = translated.fake.detach(), translated.z.detach()
    with autocast(run):
        if networks.image_discriminator is not None:
            image = tells_apart(networks.image_discriminator(translated.x), networks.image_discriminator(fake))
        if networks.latent_discriminator is not None:
            judged = networks.latent_discriminator(torch.cat([torch.randn_like(z), z]))
            latent = tells_apart(*judged.chunk(2))
    return DiscriminatorLosses(image + latent, image, latent)


@contextmanager
def running_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise with the running statistics of batch norm inside the block, and leave them as they are."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def measure_center(networks: Networks, normal: Images, config: SaladConfig, run: RunContext) -> Tensor:
    """Return the guarded mean embedding of the training normals, float32 (latent,)."""
    total = torch.zeros(config.latent, device=run.device)
    with running_statistics(networks.encoder), torch.no_grad(), autocast(run):
        for start in range(0, len(normal), config.batch_size):
            x = to_tensor(normal[start : start + config.batch_size], run.device)
            total += networks.encoder(x)[0].float().sum(dim=0)
    return guarded_center(total / len(normal))


def _adam(parameters: list[nn.Parameter], config: SaladConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay, fused=True)


def _rate(config: SaladConfig, step: int) -> float:
    """Learning rate: up to its full value over the first steps, then down to a hundredth along a cosine."""
    decay = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / config.steps))
    return config.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS) * decay


def _trainable(networks: Networks, yes: bool) -> None:
    """Switch gradients of the discriminators' weights, which the generator step does not need."""
    for module in networks.discriminators():
        module.requires_grad_(yes)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _report(step: int, total: int, losses: GeneratorLosses, run: RunContext) -> None:
    """Tell how it goes, and stop if it does not."""
    loss = losses.total.item()
    if not math.isfinite(loss):
        raise DetectorError(f"training diverged: the loss is {loss} at step {step} of {total}; lower learning_rate")
    run.progress("train", step, total, loss=loss, ssim=1 - losses.ssim.item(), pretext=losses.pretext.item())
