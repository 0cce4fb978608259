"""GANomaly and f-AnoGAN as they are usually written: plain float32, eager, each loss with passes of its own.

What ``training.py`` compares with. Architecture, losses, optimizers and batch size are those of the detectors here, and
nothing of :mod:`bench` or :mod:`baselines` is used.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pixels(images: np.ndarray) -> Tensor:
    """uint8 (n, s, s, 1) to float32 (n, 1, s, s) in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def batches(images: np.ndarray, size: int) -> Iterator[Tensor]:
    """Shuffled batches without end, each full."""
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(len(images))])
        chosen, queue = queue[:size], queue[size:]
        yield pixels(images[chosen.numpy()])


# ---------------------------------------------------------------- GANomaly (Akcay et al., ACCV 2018)


def dcgan_features(channels: int, size: int, width: int) -> tuple[nn.Sequential, int]:
    """Convolutions down to 4 pixels, and how many channels they end with."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    size //= 2
    while size > 4:
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        size, width = size // 2, 2 * width
    return nn.Sequential(*layers), width


class GanomalyEncoder(nn.Module):
    """Encoder or, with one output, discriminator: outputs and features."""

    def __init__(self, channels: int, size: int, width: int, outputs: int) -> None:
        super().__init__()
        self.pyramid, last = dcgan_features(channels, size, width)
        self.last = nn.Conv2d(last, outputs, 4, 1, 0, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs (n, outputs) and features."""
        features = self.pyramid(x)
        return self.last(features).flatten(1), features


class GanomalyGenerator(nn.Module):
    """Encoder, decoder, second encoder."""

    def __init__(self, channels: int, size: int, width: int, latent: int) -> None:
        super().__init__()
        self.encoder = GanomalyEncoder(channels, size, width, latent)
        self.second_encoder = GanomalyEncoder(channels, size, width, latent)
        wide = width * size // 8
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, wide, 4, 1, 0, bias=False), nn.BatchNorm2d(wide)]
        layers.append(nn.ReLU())
        while wide > width:
            layers += [nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(wide // 2), nn.ReLU()]
            wide //= 2
        self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction and both latent vectors."""
        z = self.encoder(x)[0]
        fake = self.decoder(z[:, :, None, None])
        return fake, z, self.second_encoder(fake)[0]


def dcgan_weights(module: nn.Module) -> None:
    """DCGAN's initialisation."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class Ganomaly:
    """Both networks and their optimizers."""

    def __init__(self, size: int = 64, width: int = 64, latent: int = 100, rate: float = 2e-4) -> None:
        self.generator = GanomalyGenerator(1, size, width, latent).apply(dcgan_weights)
        self.discriminator = GanomalyEncoder(1, size, width, 1).apply(dcgan_weights)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), rate, (0.5, 0.999))
            for network in (self.generator, self.discriminator)
        ]

    def step(self, x: Tensor, freeze: bool = False) -> None:
        """One step of each network on (n, 1, s, s) in [-1, 1].

        The released code takes gradients of the discriminator's weights in the generator's step too and throws them
        away; ``freeze`` leaves them out.
        """
        of_generator, of_discriminator = self.optimizers
        self.discriminator.requires_grad_(not freeze)
        fake, z, again = self.generator(x)
        with torch.set_grad_enabled(not freeze):
            real_features = self.discriminator(x)[1]
        loss = F.mse_loss(self.discriminator(fake)[1], real_features)
        loss = loss + 50 * F.l1_loss(fake, x) + F.mse_loss(again, z)
        of_generator.zero_grad()
        loss.backward()
        of_generator.step()
        self.discriminator.requires_grad_(True)
        real, judged = (self.discriminator(given)[0].sigmoid() for given in (x, fake.detach()))
        loss = 0.5 * (
            F.binary_cross_entropy(real, torch.ones_like(real))
            + F.binary_cross_entropy(judged, torch.zeros_like(judged))
        )
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        if loss.item() < 1e-5:
            self.discriminator.apply(dcgan_weights)

    def train(self, images: np.ndarray, epochs: int, batch: int) -> None:
        """All of the training."""
        source = batches(images, batch)
        for _ in range(epochs * -(-len(images) // batch)):
            self.step(next(source))

    def networks(self) -> list[nn.Module]:
        """What scores come from."""
        return [self.generator]

    def scores(self, x: Tensor) -> Tensor:
        """Anomaly scores (n,); put the networks into ``eval()`` before."""
        with torch.no_grad():
            _, z, again = self.generator(x)
            return (z - again).square().mean(dim=1)


# ---------------------------------------------------------------- f-AnoGAN (Schlegl et al., MedIA 2019)


class Norm(nn.Module):
    """Layer norm over all of an image, a weight and a bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return self.norm(x)


class Down(nn.Module):
    """Residual block that halves the side."""

    def __init__(self, before: int, after: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.main = nn.Sequential(
            norm(before),
            nn.ReLU(),
            nn.Conv2d(before, before, 3, padding=1, bias=False),
            norm(before),
            nn.ReLU(),
            nn.Conv2d(before, after, 3, padding=1),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Add both ways."""
        return self.main(x) + self.shortcut(x)


class Up(nn.Module):
    """Residual block that doubles the side."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.shortcut = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Add both ways."""
        return self.main(x) + self.shortcut(x)


def critic_features(width: int, norm: type[nn.Module]) -> nn.Sequential:
    """The pyramid of critic and encoder at 64 px."""
    w = [width, 2 * width, 4 * width, 8 * width, 8 * width]
    blocks = [Down(before, after, norm) for before, after in pairwise(w)]
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), *blocks, nn.Flatten())


class Fanogan:
    """The three networks at 64 px, and the critic's optimizer."""

    def __init__(self, width: int, latent: int = 128) -> None:
        w = [8 * width, 8 * width, 4 * width, 2 * width, width]
        self.latent = latent
        self.generator = nn.Sequential(
            nn.Linear(latent, 16 * w[0]),
            nn.Unflatten(1, (w[0], 4, 4)),
            *[Up(before, after) for before, after in pairwise(w)],
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, padding=1),
            nn.Tanh(),
        )
        self.features, self.value = critic_features(width, Norm), nn.Linear(128 * width, 1)
        self.encoder = nn.Sequential(critic_features(width, nn.BatchNorm2d), nn.Linear(128 * width, latent))
        for network in (self.generator, self.features, self.encoder):
            for part in network.modules():
                if isinstance(part, nn.Conv2d):
                    nn.init.kaiming_normal_(part.weight)
        self.of_generator = torch.optim.Adam(self.generator.parameters(), 1e-4, (0.0, 0.9))
        self.of_encoder = torch.optim.RMSprop(self.encoder.parameters(), 5e-5)
        self.optimizer = torch.optim.Adam([*self.features.parameters(), *self.value.parameters()], 1e-4, (0.0, 0.9))

    def critic(self, x: Tensor) -> Tensor:
        """Values (n,)."""
        return self.value(self.features(x)).flatten()

    def critic_step(self, x: Tensor) -> None:
        """One step of the critic with gradient penalty (Gulrajani et al. 2017)."""
        with torch.no_grad():
            fake = self.generator(torch.randn(len(x), self.latent))
        mix = torch.rand(len(x), 1, 1, 1)
        between = (mix * fake + (1 - mix) * x).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        loss = self.critic(fake).mean() - self.critic(x).mean() + 10 * penalty
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def generator_step(self, batch: int) -> None:
        """One step of the generator."""
        loss = -self.critic(self.generator(torch.randn(batch, self.latent))).mean()
        self.of_generator.zero_grad()
        loss.backward()
        self.of_generator.step()

    def encoder_step(self, x: Tensor) -> None:
        """One step of the encoder, the other networks being frozen."""
        loss = self.errors(x).mean()
        self.of_encoder.zero_grad()
        loss.backward()
        self.of_encoder.step()

    def train(self, images: np.ndarray, steps: tuple[int, int], batch: int) -> None:
        """All of the training: steps of the generator, five of the critic for each, and then of the encoder."""
        source = (torch.where(torch.rand(batch, 1, 1, 1) < 0.5, x.flip(3), x) for x in batches(images, batch))
        for _ in range(steps[0]):
            for _ in range(5):
                self.critic_step(next(source))
            self.generator_step(batch)
        for network in (self.generator, self.features, self.value):
            network.eval().requires_grad_(False)
        for _ in range(steps[1]):
            self.encoder_step(next(source))

    def networks(self) -> list[nn.Module]:
        """What scores come from."""
        return [self.generator, self.features, self.encoder]

    def errors(self, x: Tensor) -> Tensor:
        """Loss of the encoder and anomaly score, (n,)."""
        again = self.generator(self.encoder(x))
        of_pixels = (x - again).square().flatten(1).mean(dim=1)
        return of_pixels + (self.features(x) - self.features(again)).square().mean(dim=1)

    def scores(self, x: Tensor) -> Tensor:
        """Anomaly scores (n,); put the networks into ``eval()`` before."""
        with torch.no_grad():
            return self.errors(x)
