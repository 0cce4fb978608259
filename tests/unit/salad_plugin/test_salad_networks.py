"""Shapes, which networks a configuration has, and what of them is learned."""

import pytest
import torch

from salad_plugin.networks import Decoder, Encoder, image_discriminator, latent_discriminator
from tests.unit.salad_plugin.tiny import built, picture, tiny


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    config = tiny(image_size=size, channels=channels, latent=10)
    x, encoder = torch.zeros(2, channels, size, size), Encoder(config)
    z, features = encoder(x)
    assert z.shape == (2, 10)
    assert [f.shape[2] for f in features] == [size // 2**k for k in range(1, len(features) + 1)]
    assert features[-1].shape[2:] == (4, 4)
    assert [f.shape[1] for f in features] == encoder.channels
    assert Decoder(config)(z).shape == x.shape
    assert image_discriminator(config)(x).shape == (2, 1)
    assert latent_discriminator(config)(z).shape == (2, 1)


def test_channels_double_at_every_scale_up_to_eight_times_the_width() -> None:
    assert Encoder(tiny(image_size=256)).channels == [4, 8, 16, 32, 32, 32]


def test_the_decoders_images_are_in_range_whatever_the_latent_vector() -> None:
    image = Decoder(tiny())(100 * torch.randn(4, 8))
    assert image.abs().max() <= 1
    assert image.std() > 0


def test_locating_gives_a_map_at_a_quarter_of_the_side_and_one_value_an_image() -> None:
    networks = built(tiny(image_size=64))
    assert networks.locate_head is not None
    maps, judged = networks.locate_head(networks.encoder(picture(3, size=64))[1])
    assert maps.shape == (3, 16, 16)
    assert judged.shape == (3,)


def test_a_located_map_follows_the_image() -> None:
    networks, x = built(tiny(image_size=64)), picture(1, size=64).expand(2, 1, 64, 64).clone()
    networks.encoder.eval()
    x[1, :, 40:60, 40:60] = 1
    assert networks.locate_head is not None
    maps, _ = networks.locate_head(networks.encoder(x)[1])
    change = (maps[0] - maps[1]).abs().detach()
    assert change[10:15, 10:15].mean() > 3 * change[:4, :4].mean()


@pytest.mark.parametrize(
    ("field", "network"),
    [
        ("image_adversarial_weight", "image_discriminator"),
        ("latent_adversarial_weight", "latent_discriminator"),
        ("pretext_weight", "locate_head"),
    ],
)
def test_a_weight_of_zero_removes_the_network(field: str, network: str) -> None:
    assert getattr(built(tiny()), network) is not None
    without = built(tiny(**{field: 0}))
    assert getattr(without, network) is None
    every = [*without.learned().values(), *without.discriminators()]
    assert len(every) == 4  # of five


@pytest.mark.parametrize(
    ("pretext", "head"), [("none", None), ("restore", None), ("transform", "transform_head"), ("locate", "locate_head")]
)
def test_each_pretext_task_has_its_head_alone(pretext: str, head: str | None) -> None:
    networks = built(tiny(pretext=pretext))
    present = {name for name in ("transform_head", "locate_head") if getattr(networks, name) is not None}
    assert present == ({head} if head else set())
    assert set(networks.learned()) == {"encoder", "decoder", *present}


def test_translation_and_discriminators_share_no_parameter_and_leave_none_out() -> None:
    networks = built(tiny())
    learned = {id(p) for p in networks.translation()}
    judges = {id(p) for module in networks.discriminators() for p in module.parameters()}
    modules = (networks.encoder, networks.decoder, networks.locate_head)
    modules += (networks.image_discriminator, networks.latent_discriminator)
    assert not learned & judges
    assert learned | judges == {id(p) for module in modules if module is not None for p in module.parameters()}
