"""Networks to arrays and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench import NotFittedError
from bench.torchkit import load_module_arrays, module_arrays, require_fitted, select_arrays


def network(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 1, 3))


def trained() -> nn.Sequential:
    model = network()
    model(torch.randn(5, 1, 8, 8))  # moves the running statistics
    return model.eval()


def test_a_network_survives_the_round_trip_with_its_running_statistics() -> None:
    model, other = trained(), network().eval()
    images = torch.randn(3, 1, 8, 8)
    assert not torch.equal(model(images), other(images))
    load_module_arrays(other, module_arrays(model, "encoder"), "encoder")
    assert torch.equal(model(images), other(images))
    assert int(other.get_buffer("1.num_batches_tracked")) == 1


def test_arrays_are_copies_that_training_on_does_not_change() -> None:
    model = trained()
    arrays = module_arrays(model, "net")
    before = {name: array.copy() for name, array in arrays.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert set(arrays) == {f"net.{name}" for name in model.state_dict()}
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)


def test_loading_copies_and_takes_read_only_arrays() -> None:
    arrays = module_arrays(trained(), "net")
    for array in arrays.values():
        array.flags.writeable = False
    model = network()
    load_module_arrays(model, arrays, "net")
    with torch.no_grad():
        model[0].weight.zero_()
    assert np.abs(arrays["net.0.weight"]).max() > 0


def test_channels_last_networks_give_arrays_in_the_usual_order() -> None:
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    array = module_arrays(model, "net")["net.weight"]
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, model.weight.detach().numpy())


def test_networks_side_by_side_are_told_apart_by_their_prefix() -> None:
    first, second = trained(), trained()
    state = {**module_arrays(first, "d"), **module_arrays(second, "d2")}
    np.testing.assert_array_equal(select_arrays(state, "d")["0.weight"], first[0].weight.detach().numpy())
    np.testing.assert_array_equal(select_arrays(state, "d2")["0.weight"], second[0].weight.detach().numpy())


def test_a_state_without_the_network_names_what_it_has() -> None:
    with pytest.raises(KeyError, match=r"no arrays named 'encoder\.\*'.*seed"):
        select_arrays({"seed": np.zeros(1)}, "encoder")


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_module_arrays(network(8), module_arrays(network(4), "net"), "net")
    partial = module_arrays(network(), "net")
    del partial["net.0.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        load_module_arrays(network(), partial, "net")


def test_require_fitted_returns_what_was_learned_or_names_the_detector() -> None:
    zero = np.zeros(1)
    assert require_fitted(zero, object()) is zero
    with pytest.raises(NotFittedError, match=r"Sequential.*fit or load_state"):
        require_fitted(None, network())
