"""GANomaly: architecture, losses and training as published."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from baselines.ganomaly import SPEC, losses, train
from baselines.ganomaly.config import GanomalyConfig
from baselines.ganomaly.networks import Discriminator, Generator, build
from bench import DetectorError
from bench.torchkit import DcganEncoder
from tests.unit.toy_images import blobs, run_context

TINY = GanomalyConfig(image_size=32, width=8, latent=16, epochs=25, batch_size=16, learning_rate=1e-3)


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    config = GanomalyConfig(image_size=size, channels=channels, width=4, latent=10)
    x = torch.zeros(2, channels, size, size)
    fake, z, again = Generator(config)(x)
    assert fake.shape == x.shape
    assert z.shape == again.shape == (2, 10)
    logits, features = Discriminator(config)(x)
    assert logits.shape == (2,)
    assert features.shape[2:] == (4, 4)


def test_architecture_facts_of_the_paper() -> None:
    config = SPEC.config().model_validate(SPEC.presets["paper"])
    assert (config.image_size, config.width, config.latent, config.batch_size, config.epochs) == (32, 64, 100, 64, 15)
    assert (config.learning_rate, config.beta1) == (2e-4, 0.5)
    assert (config.adversarial_weight, config.contextual_weight, config.encoder_weight) == (1, 50, 1)
    generator, discriminator = build(config, "cpu")
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.bias is None
            assert module.kernel_size == (4, 4)
            assert float(module.weight.std()) == pytest.approx(0.02, rel=0.15)
    convolutions = [m.out_channels for m in generator.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions == [64, 128, 256, 100]
    # The first block has no batch norm.
    assert isinstance(generator.encoder.pyramid[1], nn.LeakyReLU)
    assert generator.encoder.pyramid[1].negative_slope == 0.2
    mine, other = generator.encoder.state_dict(), generator.second_encoder.state_dict()
    assert mine.keys() == other.keys()
    assert not torch.equal(generator.encoder.last.weight, generator.second_encoder.last.weight)


def test_losses_by_hand() -> None:
    x, fake = torch.tensor([[[[1.0, -1.0]]]]), torch.tensor([[[[0.5, 0.0]]]])
    assert losses.contextual(x, fake).item() == pytest.approx(0.75)
    z, again = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert losses.encoder(z, again).item() == pytest.approx(9 / 4)
    assert losses.anomaly_score(z, again).tolist() == pytest.approx([2.5, 2.0])
    assert losses.adversarial(torch.zeros(1, 2, 1, 1), torch.full((1, 2, 1, 1), 3.0)).item() == pytest.approx(9)
    undecided = torch.zeros(4)
    assert losses.discriminator(undecided, undecided).item() == pytest.approx(0.693147, abs=1e-6)


def two_steps(config: GanomalyConfig, generator: Generator, discriminator: Discriminator, x: Tensor) -> list[Tensor]:
    """The textbook: a pass of the discriminator for each loss. Losses and all gradients."""
    fake, z, again = generator(x)
    adversarial = nn.functional.mse_loss(discriminator(fake)[1], discriminator(x)[1].detach())
    mine = adversarial + 50 * (x - fake).abs().mean() + (z - again).square().mean()
    mine.backward()
    discriminator.zero_grad()
    real, fakes = discriminator(x)[0].sigmoid(), discriminator(fake.detach())[0].sigmoid()
    theirs = -0.5 * (real.log().mean() + (1 - fakes).log().mean())
    theirs.backward()
    return [mine, theirs, *(p.grad for p in (*generator.parameters(), *discriminator.parameters()))]


def test_one_pass_of_the_discriminator_is_the_textbooks_two(tmp_path: Path) -> None:
    generator, discriminator = (network.double() for network in build(TINY, "cpu"))
    x = torch.rand(4, 1, 32, 32, dtype=torch.float64) * 2 - 1
    expected = two_steps(TINY, generator, discriminator, x)
    parameters = [*generator.parameters(), *discriminator.parameters()]
    for parameter in parameters:
        parameter.grad = None
    mine, theirs = train.steps(TINY, generator, discriminator, x, run_context(tmp_path))
    assert mine.total.item() == pytest.approx((mine.adversarial + 50 * mine.contextual + mine.encoder).item())
    train._differentiate(mine.total, generator, retain=True)
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    train._differentiate(theirs.total, discriminator)
    found = [mine.total, theirs.total, *(parameter.grad for parameter in parameters)]
    # Losses are computed in float32.
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7, check_dtype=False)


def test_perfect_discriminator_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restarts = []
    monkeypatch.setattr(train, "RESTART_BELOW", float("inf"))
    monkeypatch.setattr(train, "dcgan_initialise", lambda module: restarts.append(type(module)))
    train.train(
        TINY.model_copy(update={"epochs": 1}), blobs(16, 0), run_context(tmp_path), torch.Generator().manual_seed(0)
    )
    assert Discriminator in restarts
    assert DcganEncoder not in restarts


def test_divergence_is_an_error_not_a_score(tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"learning_rate": 1e30, "epochs": 20})
    with pytest.raises(DetectorError, match="learning_rate"):
        SPEC.load()(wild).fit(blobs(48, 0), run_context(tmp_path))
