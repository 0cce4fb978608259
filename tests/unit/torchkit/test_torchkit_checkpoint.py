"""A training that goes on from a checkpoint ends with the same bits; a checkpoint that is not its own is not used."""

from __future__ import annotations

import errno
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from bench import DetectorConfig, RunContext
from bench.contracts import RESUME
from bench.torchkit import BatchStream, Checkpoint, isolated_seed
from tests.unit.toy_images import blobs

STEPS = 12
CONFIG = DetectorConfig(image_size=32)
IMAGES = blobs(20, 0)
Optimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Optimizer] = {
    "fused": lambda parameters: torch.optim.AdamW(parameters, 1e-3, fused=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, 1e-3, amsgrad=True),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 1e-2, momentum=0.9),
    "plain": lambda parameters: torch.optim.SGD(parameters, 1e-2),
}


class Killed(Exception):
    """Stands for a kill between two steps."""


@pytest.fixture
def run(tmp_path: Path) -> RunContext:
    return RunContext(0, "cpu", tmp_path, checkpoint=tmp_path / "checkpoint")


@dataclass(frozen=True)
class Trained:
    """How a training ended: weights, running statistics, every loss, the steps it did, what it draws next."""

    weights: dict[str, torch.Tensor]
    losses: list[float]
    steps: list[int]
    next_numbers: list[float]

    def agrees(self, other: Trained) -> bool:
        same = all(torch.equal(value, other.weights[name]) for name, value in self.weights.items())
        count = min(len(self.losses), len(other.losses))
        ends = self.losses[-count:] == other.losses[-count:]
        return same and ends and self.next_numbers == other.next_numbers


def legacy() -> float:
    return float(np.random.standard_normal())  # noqa: NPY002


def train(
    run: RunContext,
    optimizer: str = "fused",
    kill_at: int = -1,
    config: DetectorConfig = CONFIG,
    images: np.ndarray = IMAGES,
) -> Trained:
    """Train a network in channels-last memory, with random numbers from every source; save at every third step."""
    with isolated_seed(run.seed) as generator:
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 1, 1)
        ).to(memory_format=torch.channels_last)
        stream = BatchStream(images, 8, generator, "cpu")
        descent = OPTIMIZERS[optimizer](list(network.parameters()))
        parts = {"network": network, "stream": stream, "generator": generator, "descent": descent, "absent": None}
        checkpoint = Checkpoint(run, config, images, parts)
        resumed = checkpoint.load()
        mean, losses, steps = resumed.tensors.get("mean"), [], []
        for step in range(resumed.step, STEPS):
            if step == kill_at:
                raise Killed
            x = stream.next()
            if step == 4:
                mean = x.mean(dim=(0, 1))
            wanted = random.gauss(0, 1) + legacy() + float(torch.rand(1, generator=generator))
            loss = F.mse_loss(network(x), torch.full((8, 1, 8, 8), wanted))
            if mean is not None:
                loss = loss + mean.square().mean() * network[0].weight.sum()
            for group in descent.param_groups:
                group["lr"] = 1e-3 / (step + 3)
            descent.zero_grad(set_to_none=True)
            loss.backward()
            descent.step()
            losses.append(loss.item())
            steps.append(step)
            if step % 3 == 2:
                checkpoint.save(step + 1, mean=mean)
        numbers = [random.gauss(0, 1), legacy(), float(torch.rand(1)), float(stream.next().sum())]
    return Trained(network.state_dict(), losses, steps, numbers)


def alone(run: RunContext) -> RunContext:
    return replace(run, checkpoint=None)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kill_at", [3, 5, 7, 11])
def test_killed_training_ends_with_the_same_bits(run: RunContext, optimizer: str, kill_at: int) -> None:
    whole = train(alone(run), optimizer)
    with pytest.raises(Killed):
        train(run, optimizer, kill_at)
    rest = train(run, optimizer)
    assert rest.steps == list(range(kill_at // 3 * 3, STEPS))
    assert rest.agrees(whole)


def test_training_that_is_killed_again_and_again_ends_with_the_same_bits(run: RunContext) -> None:
    for kill_at in (1, 4, 5, 7, 10):
        with pytest.raises(Killed):
            train(run, kill_at=kill_at)
    rest = train(run)
    assert rest.steps == [9, 10, 11]
    assert rest.agrees(train(alone(run)))


def test_saving_changes_nothing(run: RunContext) -> None:
    assert train(run).agrees(train(alone(run)))


def test_state_comes_back_in_the_order_of_its_parameter_in_memory(run: RunContext) -> None:
    weight = nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    descent = torch.optim.AdamW([weight], fused=True)
    weight.square().sum().backward()
    descent.step()
    Checkpoint(run, CONFIG, IMAGES, {"descent": descent}).save(1)
    fresh = torch.optim.AdamW([weight], fused=True)
    Checkpoint(run, CONFIG, IMAGES, {"descent": fresh}).load()
    for name in ("exp_avg", "exp_avg_sq"):
        assert fresh.state[weight][name].stride() == weight.stride()
        assert torch.equal(fresh.state[weight][name], descent.state[weight][name])
    assert fresh.param_groups[0]["betas"] == (0.9, 0.999)


def saved(run: RunContext) -> Path:
    with pytest.raises(Killed):
        train(run, kill_at=8)
    assert run.checkpoint is not None
    return run.checkpoint


def test_resuming_is_reported_with_the_time_spent_before(run: RunContext) -> None:
    saved(run)
    told: list[tuple[str, int, int, dict[str, float]]] = []
    train(replace(run, progress=lambda phase, done, total, **scalars: told.append((phase, done, total, scalars))))
    ((phase, done, total, scalars),) = told
    assert (phase, done, total) == (RESUME, 6, 0)
    assert 0 < scalars["seconds"] < 60


def test_time_adds_up_over_tries(run: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    run = replace(run, progress=lambda phase, done, total, **scalars: told.append(scalars["seconds"]))
    clock = 100.0
    monkeypatch.setattr("bench.torchkit.checkpoint.time.monotonic", lambda: clock)
    for _ in range(3):
        checkpoint = Checkpoint(run, CONFIG, IMAGES, {})
        checkpoint.load()
        clock += 7.0
        checkpoint.save(1)
        clock += 1000.0  # whatever came after the last save is lost, and is not counted
    assert told == [7.0, 14.0]


@pytest.mark.parametrize("place", ["start", "header", "middle", "end"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty"])
def test_damaged_checkpoint_is_not_used(run: RunContext, how: str, place: str) -> None:
    path = saved(run)
    content = bytearray(path.read_bytes())
    at = {"start": 0, "header": 40, "middle": len(content) // 2, "end": len(content) - 1}[place]
    if how == "flip":
        content[at] ^= 1
    path.write_bytes({"flip": bytes(content), "cut": bytes(content[:at]), "empty": b""}[how])
    again = train(run)
    assert again.steps == list(range(STEPS))
    assert again.agrees(train(alone(run)))


def test_every_flipped_bit_is_noticed(run: RunContext) -> None:
    checkpoint = Checkpoint(run, CONFIG, IMAGES, {"generator": torch.Generator()})
    checkpoint.save(3, mean=torch.ones(3))
    assert run.checkpoint is not None
    content = run.checkpoint.read_bytes()
    for at in range(0, len(content), max(len(content) // 100, 1)):
        run.checkpoint.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        found = Checkpoint(run, CONFIG, IMAGES, {"generator": torch.Generator()}).load()
        # White space between the header's fields may change: then everything else is as it was.
        assert found.step == 0 or torch.equal(found.tensors["mean"], torch.ones(3)), at


def test_checkpoint_of_another_training_is_not_used(run: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(run)
    kept = path.read_bytes()
    other = IMAGES.copy()
    other[-1, -1, -1] ^= 1
    changes: dict[str, Callable[[], Trained]] = {
        "image": lambda: train(run, images=other),
        "fewer images": lambda: train(run, images=IMAGES[:-1]),
        "configuration": lambda: train(run, config=DetectorConfig(image_size=64)),
        "seed": lambda: train(replace(run, seed=1)),
        "precision": lambda: train(replace(run, precision="bfloat16")),
        "optimizer": lambda: train(run, "plain"),
    }
    for change in changes.values():
        path.write_bytes(kept)
        assert change().steps == list(range(STEPS))
    path.write_bytes(kept)
    assert train(run).steps == [6, 7, 8, 9, 10, 11]
    for name, value in (("__version__", "0.0"), ("get_num_threads", lambda: 99)):
        path.write_bytes(kept)
        with monkeypatch.context() as patch:
            patch.setattr(torch, name, value)
            assert train(run).steps == list(range(STEPS))


def test_full_disk_costs_the_checkpoint_and_is_told_once(run: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(UserWarning, match="No space left") as told:
        done = train(run)
    assert len(told) == 1
    monkeypatch.undo()
    assert list(run.scratch.iterdir()) == []
    assert done.agrees(train(alone(run)))


def test_full_disk_leaves_the_older_checkpoint(run: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(run, CONFIG, IMAGES, {})
    checkpoint.save(5)
    with monkeypatch.context() as patch, pytest.warns(UserWarning):
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        checkpoint.save(9)
    assert Checkpoint(run, CONFIG, IMAGES, {}).load().step == 5


def test_saves_as_often_as_asked_but_never_for_more_than_its_share(
    run: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr("bench.torchkit.checkpoint.time.monotonic", lambda: clock)

    def slow(*_: object) -> None:
        nonlocal clock
        clock += 2.0

    monkeypatch.setattr("bench.torchkit.checkpoint._write", slow)
    checkpoint = Checkpoint(run, CONFIG, IMAGES, {})
    times = []
    for _ in range(2000):
        clock += 0.5
        if checkpoint.due():
            times.append(clock)
            checkpoint.save(1)
    assert times[0] == 60.0
    assert np.diff(times).min() >= 200.0
    assert len(times) >= 4


def test_nothing_is_saved_where_nothing_is_kept(tmp_path: Path) -> None:
    run = RunContext(0, "cpu", tmp_path)
    checkpoint = Checkpoint(run, CONFIG, IMAGES, {})
    checkpoint.every_seconds = 0.0
    assert not checkpoint.due()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.save(1)
        checkpoint.save_if_due(2)
    assert checkpoint.load().step == 0
    assert list(tmp_path.iterdir()) == []


def test_bfloat16_scalars_and_tied_weights_come_back(run: RunContext) -> None:
    one = nn.Linear(3, 3)
    tied = nn.ModuleList([one, one])
    held = {"half": torch.randn(4, dtype=torch.bfloat16), "scalar": torch.tensor(7), "flag": torch.tensor([True])}
    Checkpoint(run, CONFIG, IMAGES, {"tied": tied}).save(2, missing=None, **held)
    weight = one.weight.detach().clone()
    with torch.no_grad():
        one.weight.zero_()
    found = Checkpoint(run, CONFIG, IMAGES, {"tied": tied}).load()
    assert torch.equal(one.weight, weight)
    assert set(found.tensors) == set(held)
    for name, value in held.items():
        assert found.tensors[name].dtype == value.dtype
        assert torch.equal(found.tensors[name], value)


def test_file_is_plain_safetensors(run: RunContext) -> None:
    with safe_open(saved(run), framework="np") as file:
        assert {name.partition("/")[0] for name in file.keys()} >= {"network", "stream", "generator", "descent", "rng"}  # noqa: SIM118
