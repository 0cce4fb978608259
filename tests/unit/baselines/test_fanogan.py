"""f-AnoGAN: architecture, penalty, the two phases of training."""

from pathlib import Path

import pytest
import torch
from torch import nn

from baselines.fanogan import SPEC, losses
from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.layers import LayerNormReLU
from baselines.fanogan.networks import Critic, Encoder, Generator, place
from baselines.fanogan.train import Networks, critic_step, generator_step, next_batch, train_encoder
from bench.torchkit import BatchStream
from tests.unit.toy_images import blobs, run_context

TINY = FanoganConfig(
    image_size=32, width=4, latent=16, gan_steps=3, encoder_steps=15, batch_size=16, encoder_learning_rate=1e-3
)


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    config = FanoganConfig(image_size=size, channels=channels, width=4, latent=10)
    x = torch.zeros(2, channels, size, size)
    assert Generator(config)(torch.zeros(2, 10)).shape == x.shape
    assert Encoder(config)(x).shape == (2, 10)
    assert Critic(config)(x).shape == (2,)


def test_architecture_facts_of_the_paper() -> None:
    config = SPEC.config().model_validate(SPEC.presets["paper"])
    assert (config.image_size, config.latent, config.batch_size, config.encoder_steps) == (64, 128, 64, 50_000)
    assert (config.penalty_weight, config.critic_steps, config.gan_learning_rate) == (10, 5, 1e-4)
    assert (config.kappa, config.encoder_learning_rate, config.flip) == (1, 5e-5, True)
    generator, critic, encoder = Generator(config), Critic(config), Encoder(config)
    assert generator.from_latent.out_features == 4 * 4 * 512
    assert [block.conv2.out_channels for block in generator.blocks] == [512, 256, 128, 64]
    assert critic.pyramid.first.out_channels == 64
    assert [block.conv2.out_channels for block in critic.pyramid.blocks] == [128, 256, 512, 512]
    assert critic.last.in_features == 8192
    assert any(isinstance(module, LayerNormReLU) for module in critic.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in critic.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
    assert not config.encoder_tanh


def test_gradient_penalty_of_a_linear_critic() -> None:
    weights = torch.randn(1, 4, 4)

    def critic(x: torch.Tensor) -> torch.Tensor:
        return (x * weights).flatten(1).sum(dim=1)

    penalty = losses.gradient_penalty(critic, torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4), torch.rand(3, 1, 1, 1))
    assert penalty.item() == pytest.approx((weights.norm().item() - 1) ** 2, rel=1e-5)


def test_gradient_penalty_reaches_the_weights_of_the_real_critic() -> None:
    critic = Critic(TINY)
    place(critic, "cpu")
    losses.gradient_penalty(
        critic, torch.randn(2, 1, 32, 32), torch.randn(2, 1, 32, 32), torch.rand(2, 1, 1, 1)
    ).backward()
    assert critic.pyramid.first.weight.grad is not None
    assert critic.pyramid.first.weight.grad.abs().sum() > 0


def test_reconstruction_by_hand() -> None:
    x, again = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2.0)
    features, features_again = torch.zeros(1, 3), torch.full((1, 3), 1.0)
    assert losses.reconstruction(x, again, features, features_again, kappa=0.5).tolist() == [4.5]


def test_steps_train_only_their_own_network(tmp_path: Path) -> None:
    networks, run = Networks.build(TINY, "cpu"), run_context(tmp_path)
    losses_ = critic_step(TINY, networks, torch.rand(4, 1, 32, 32), run, draws())
    losses_.total.backward()
    assert all(parameter.grad is None for parameter in networks.generator.parameters())
    assert losses_.total.item() == pytest.approx((losses_.distance + 10 * losses_.penalty).item())
    networks.critic.zero_grad()
    networks.critic.requires_grad_(False)
    generator_step(TINY, networks, run, draws()).total.backward()
    assert all(parameter.grad is None for parameter in networks.critic.parameters())
    assert networks.generator.last.weight.grad is not None


def test_encoder_phase_leaves_generator_and_critic_alone(tmp_path: Path) -> None:
    networks = Networks.build(TINY, "cpu")
    networks.generator.eval().requires_grad_(False)
    networks.critic.eval().requires_grad_(False)
    before = {
        name: [value.clone() for value in module.state_dict().values()] for name, module in networks.named().items()
    }
    stream = BatchStream(blobs(20, 0), 16, draws(), "cpu")
    train_encoder(TINY, networks, stream, run_context(tmp_path), draws())
    same = {
        name: all(torch.equal(a, b) for a, b in zip(before[name], module.state_dict().values(), strict=True))
        for name, module in networks.named().items()
    }
    assert same == {"generator": True, "critic": True, "encoder": False}


def test_flip_only_where_asked_for() -> None:
    images = blobs(16, 0)
    plain = next_batch(TINY.model_copy(update={"flip": False}), BatchStream(images, 16, draws(), "cpu"), draws())
    flipped = next_batch(TINY, BatchStream(images, 16, draws(), "cpu"), draws())
    same = torch.tensor([torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)])
    mirrored = torch.tensor([torch.equal(a.flip(2), b) for a, b in zip(plain, flipped, strict=True)])
    assert same.any()
    assert mirrored.any()
    assert (same | mirrored).all()
