"""Folded batch norm and copies for scoring: the same outputs, and what must not be folded."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.torchkit import DcganDecoder, DcganEncoder, ScoringCopy, autocast, fold_batch_norm
from tests.unit.toy_images import run_context


def lived_in(module: nn.Module) -> nn.Module:
    """Batch norm with statistics, weights and biases that are not those it starts with; in eval mode, float64."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module.double().eval()


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 99))
def test_folding_changes_nothing(
    groups: int, channels: int, transposed: bool, bias: bool, affine: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    before, after = groups * channels, groups * 2
    convolution = kind(before, after, 3, bias=bias, groups=groups)
    module = lived_in(nn.Sequential(convolution, nn.BatchNorm2d(after, affine=affine), nn.ReLU()))
    x = torch.randn(2, before, 6, 6, dtype=torch.float64)
    expected = module(x)
    torch.testing.assert_close(fold_batch_norm(module)(x), expected)
    assert norms(module) == 0


@pytest.mark.parametrize("size", [32, 64])
def test_dcgan_blocks_are_folded_whole(size: int) -> None:
    for module, x in (
        (DcganEncoder(1, size, 4, 10), torch.randn(2, 1, size, size)),
        (DcganDecoder(1, size, 4, 10), torch.randn(2, 10)),
    ):
        lived_in(module)
        expected = module(x.double())
        torch.testing.assert_close(fold_batch_norm(module)(x.double()), expected)
        assert norms(module) == 0


class Pair(nn.Module):
    """Networks held together by a module that has no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = DcganEncoder(1, 32, 4, 10), DcganDecoder(1, 32, 4, 10)


def test_networks_that_are_only_held_together_are_folded_each() -> None:
    pair, x = lived_in(Pair()), torch.randn(2, 1, 32, 32, dtype=torch.float64)
    expected = pair.decoder(pair.encoder(x))
    assert fold_batch_norm(pair) is pair
    torch.testing.assert_close(pair.decoder(pair.encoder(x)), expected)
    assert norms(pair) == 0


class Branching(nn.Module):
    """A convolution that something beside its batch norm looks at, one that is called twice, a norm without one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.twice = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.norm, self.other, self.first = nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.seen(self.first(x))
        return self.norm(y) + y + self.other(self.twice(self.twice(x)))


def test_what_cannot_be_folded_is_left() -> None:
    module = lived_in(Branching())
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    expected = module(x)
    torch.testing.assert_close(fold_batch_norm(module)(x), expected)
    assert norms(module) == 3


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) if x.sum() > 0 else x


def test_what_cannot_be_followed_is_left() -> None:
    assert norms(fold_batch_norm(lived_in(Untraceable()))) == 1


class WithActivation(nn.BatchNorm2d):
    """As timm has it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class WithHiddenActivation(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


@pytest.mark.parametrize(("kind", "left"), [(WithActivation, 0), (WithHiddenActivation, 1)])
def test_activations_survive(kind: type[nn.BatchNorm2d], left: int) -> None:
    module = lived_in(nn.Sequential(nn.Conv2d(1, 2, 3), kind(2)))
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    expected = module(x)
    torch.testing.assert_close(fold_batch_norm(module)(x), expected)
    assert norms(module) == left


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval"):
        fold_batch_norm(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))


def test_copies_are_made_once_a_precision_and_leave_the_network_alone(tmp_path: Path) -> None:
    network = lived_in(DcganEncoder(1, 32, 4, 10)).float().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scoring = ScoringCopy(network)
    exact, half = run_context(tmp_path), run_context(tmp_path, precision="bfloat16")
    assert scoring.on(exact) is scoring.on(exact)
    x = torch.randn(4, 1, 32, 32)
    expected = scoring.on(exact)(x)
    copy = scoring.on(half)
    assert copy is not network
    assert copy.last.weight.dtype == torch.bfloat16
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    with torch.inference_mode(), autocast(half):
        torch.testing.assert_close(copy(x).float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(expected, network.eval()(x))
