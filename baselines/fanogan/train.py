"""Training of f-AnoGAN: first the GAN, then, with generator and critic frozen, the encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.losses import gradient_penalty, reconstruction
from baselines.fanogan.networks import Critic, Encoder, Generator, place
from bench import DetectorError, RunContext
from bench.contracts import Images
from bench.torchkit import BatchStream, autocast

REPORT_EVERY = 10


@dataclass(frozen=True)
class Networks:
    """The three networks of f-AnoGAN."""

    generator: Generator
    critic: Critic
    encoder: Encoder

    @classmethod
    def build(cls, config: FanoganConfig, device: str) -> Networks:
        """Build freshly initialised networks on a device."""
        networks = cls(Generator(config), Critic(config), Encoder(config))
        for module in networks.named().values():
            place(module, device)
        return networks

    def named(self) -> dict[str, nn.Module]:
        """All networks by name."""
        return {"generator": self.generator, "critic": self.critic, "encoder": self.encoder}


@dataclass(frozen=True)
class CriticLosses:
    """Losses of the critic. Scalars."""

    total: Tensor
    distance: Tensor
    penalty: Tensor


@dataclass(frozen=True)
class GeneratorLosses:
    """Loss of the generator. A scalar."""

    total: Tensor


def train(config: FanoganConfig, networks: Networks, normal: Images, run: RunContext, draws: torch.Generator) -> None:
    """Train all three networks in place.

    Raises:
        DetectorError: a loss is not finite.

    """
    stream = BatchStream(normal, config.batch_size, draws, run.device)
    train_gan(config, networks, stream, run, draws)
    networks.generator.eval().requires_grad_(False)
    networks.critic.eval().requires_grad_(False)
    train_encoder(config, networks, stream, run, draws)


def train_gan(
    config: FanoganConfig, networks: Networks, stream: BatchStream, run: RunContext, draws: torch.Generator
) -> None:
    """WGAN-GP: several steps of the critic for each of the generator."""
    betas = (0.0, 0.9)
    generator = torch.optim.Adam(networks.generator.parameters(), config.gan_learning_rate, betas, fused=True)
    critic = torch.optim.Adam(networks.critic.parameters(), config.gan_learning_rate, betas, fused=True)
    for step in range(1, config.gan_steps + 1):
        for _ in range(config.critic_steps):
            x = next_batch(config, stream, draws)
            theirs = critic_step(config, networks, x, run, draws)
            _descend(critic, theirs.total)
        networks.critic.requires_grad_(False)
        mine = generator_step(config, networks, run, draws)
        _descend(generator, mine.total)
        networks.critic.requires_grad_(True)
        if step % REPORT_EVERY == 0 or step == config.gan_steps:
            _report("gan", step, config.gan_steps, theirs.total, run, wasserstein=-theirs.distance.item())


def critic_step(
    config: FanoganConfig, networks: Networks, x: Tensor, run: RunContext, draws: torch.Generator
) -> CriticLosses:
    """Losses of the critic on real images and as many drawn ones."""
    with torch.no_grad(), autocast(run):
        fake = networks.generator(_latents(config, len(x), x.device, draws)).float()
    mix = torch.rand(len(x), 1, 1, 1, generator=draws).to(x.device)
    with autocast(run):
        values = networks.critic(torch.cat([fake, x])).float()
        penalty = gradient_penalty(networks.critic, x, fake, mix)
    judged_fake, judged_real = values.chunk(2)
    distance = judged_fake.mean() - judged_real.mean()
    return CriticLosses(distance + config.penalty_weight * penalty, distance, penalty)


def generator_step(
    config: FanoganConfig, networks: Networks, run: RunContext, draws: torch.Generator
) -> GeneratorLosses:
    """Loss of the generator on drawn images."""
    with autocast(run):
        values = networks.critic(networks.generator(_latents(config, config.batch_size, run.device, draws)))
    return GeneratorLosses(-values.float().mean())


def train_encoder(
    config: FanoganConfig, networks: Networks, stream: BatchStream, run: RunContext, draws: torch.Generator
) -> None:
    """izi_f: image to latent vector to image, compared in pixels and in the critic's features."""
    optimizer = torch.optim.RMSprop(networks.encoder.parameters(), config.encoder_learning_rate)
    for step in range(1, config.encoder_steps + 1):
        loss = reconstruction_error(config, networks, next_batch(config, stream, draws), run).mean()
        _descend(optimizer, loss)
        if step % REPORT_EVERY == 0 or step == config.encoder_steps:
            _report("encoder", step, config.encoder_steps, loss, run)


def reconstruction_error(config: FanoganConfig, networks: Networks, x: Tensor, run: RunContext) -> Tensor:
    """Loss of the encoder, and the anomaly score, of each image: float32 (n,)."""
    with autocast(run):
        again = networks.generator(networks.encoder(x))
        with torch.no_grad():
            features = networks.critic.pyramid(x)
        return reconstruction(x, again, features, networks.critic.pyramid(again), config.kappa)


def next_batch(config: FanoganConfig, stream: BatchStream, draws: torch.Generator) -> Tensor:
    """Return the next batch, each image mirrored with probability ½ if the configuration says so."""
    x = stream.next()
    if not config.flip:
        return x
    mirrored = (torch.rand(len(x), generator=draws) < 0.5).to(x.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)


def _latents(config: FanoganConfig, n: int, device: torch.device | str, draws: torch.Generator) -> Tensor:
    return torch.randn(n, config.latent, generator=draws).to(device)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _report(phase: str, step: int, total: int, loss: Tensor, run: RunContext, **scalars: float) -> None:
    value = loss.item()
    if not math.isfinite(value):
        raise DetectorError(f"training diverged: the loss is {value} at {phase} step {step} of {total}; lower its rate")
    run.progress(phase, step, total, loss=value, **scalars)
