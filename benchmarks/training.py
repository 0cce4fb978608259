"""How fast GANomaly, f-AnoGAN and SALAD train and all networks score here, beside the same in plain float32.

Both sides have the same architecture, image size and batch size, one process and as many threads, and take turns, so
that other work on the machine slows both. Medians; the ratio is that of each turn's pair. Start-up is left out.

    python benchmarks/training.py                                   # all rows (minutes)
    python benchmarks/training.py scoring                           # the last rows alone
    python benchmarks/training.py --quick                           # two turns, without the widest f-AnoGAN
    python benchmarks/training.py --anomalib-python PATH            # a Python that has anomalib 2.7, for its row
    python benchmarks/training.py auroc                             # AUROC of both sides on drawn X-rays, three seeds
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, TypeVar, get_args

import numpy as np
import torch
from reference import Fanogan, Ganomaly, batches, pixels
from torch import nn

from baselines.ae.detector import AeDetector
from baselines.fanogan.config import FanoganConfig
from baselines.fanogan.detector import FanoganDetector
from baselines.fanogan.train import Networks, critic_step
from baselines.fanogan.train import _descend as descend
from baselines.ganomaly import train as ganomaly
from baselines.ganomaly.config import GanomalyConfig
from baselines.ganomaly.detector import GanomalyDetector
from baselines.ganomaly.networks import build
from baselines.knn.config import KnnConfig
from baselines.knn.detector import KnnDetector, mean_nearest_distance, pooled_features
from baselines.memae.detector import MemaeDetector
from baselines.vae.detector import VaeDetector
from bench import Detector, RunContext
from bench.cli.options import open_registry
from bench.data.decode import open_images, prepare_images
from bench.data.index import index_task
from bench.files import cache_folder
from bench.metrics import auroc
from bench.torchkit import BatchStream, Doubling, FromVector, Halving, ToVector, resolve_precision
from bench.torchkit.backbones import _packaged
from salad_plugin import train as salad
from salad_plugin.config import SaladConfig
from salad_plugin.detector import SaladDetector
from salad_plugin.networks import Networks as SaladNetworks
from salad_plugin.terms import measure

Work = Callable[[], object]
M = TypeVar("M", bound=nn.Module)
SEEDS = (0, 1, 2)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["speed", "scoring", "auroc"], default="speed")
    parser.add_argument("--quick", action="store_true", help="two turns, without the widest f-AnoGAN")
    parser.add_argument("--anomalib-python", metavar="PATH", help="an interpreter that can import anomalib 2.7")
    given = parser.parse_args()
    if given.what == "auroc":
        compare_auroc()
        return
    turns = 2 if given.quick else 7
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {resolve_precision('cpu')}\n")
    print("| images/s | plain float32 | here | times [lowest, highest] |\n|---|---|---|---|")
    if given.what == "speed":
        ganomaly_rows(turns, given.anomalib_python)
        fanogan_rows(turns, given.quick)
        salad_training_row(turns)
    scoring_rows(turns)


def run_context() -> RunContext:
    """On the CPU, in the precision that a run would choose."""
    return RunContext(0, "cpu", Path(), resolve_precision("cpu"))


def noise(n: int, size: int = 64, channels: int = 1) -> np.ndarray:
    """uint8 (n, size, size, channels)."""
    return np.random.default_rng(0).integers(0, 256, (n, size, size, channels), np.uint8)


def line(what: str, images: int, plain: Work, here: Work, turns: int) -> None:
    """Let both take turns, after one of each that does not count, and print a row."""
    seconds: list[tuple[float, float]] = []
    for turn in range(turns + 1):
        pair = timed(plain), timed(here)
        if turn:
            seconds.append(pair)
    report(what, [images / before for before, _ in seconds], [images / after for _, after in seconds])


def report(what: str, plain: list[float], here: list[float]) -> None:
    """Print a row of images per second, turn by turn."""
    ratios = [after / before for before, after in zip(plain, here, strict=True)]
    span = f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
    print(f"| {what} | {median(plain):.1f} | {median(here):.1f} | {span} |", flush=True)


def timed(work: Work) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# ---------------------------------------------------------------- training


def ganomaly_rows(turns: int, anomalib: str | None) -> None:
    """64 px, 64 channels, latent 100, batches of 64; two steps a turn."""
    config, images, run = GanomalyConfig(width=64), noise(640), run_context()
    generator, discriminator = build(config, "cpu")
    optimizers = [ganomaly._adam(network, config) for network in (generator, discriminator)]
    stream = BatchStream(images, config.batch_size, torch.Generator().manual_seed(0), "cpu")
    plain, source = Ganomaly(), batches(images, config.batch_size)

    def here() -> None:
        for _ in range(2):
            mine, theirs = ganomaly.steps(config, generator, discriminator, stream.next(), run)
            ganomaly._differentiate(mine.total, generator, retain=True)
            ganomaly._differentiate(theirs.total, discriminator)
            for optimizer in optimizers:
                optimizer.step()
            theirs.total.item()

    def beside(freeze: bool) -> Work:
        def work() -> None:
            for _ in range(2):
                plain.step(next(source), freeze)

        return work

    what, count = "GANomaly training, 64 px, width 64, batch 64, beside", 2 * config.batch_size
    line(f"{what} the released code's order", count, beside(False), here, turns)
    line(f"{what} the same, discriminator frozen for the generator", count, beside(True), here, turns)
    if anomalib is None:
        print(f"| {what} anomalib 2.7's Engine | not installed (--anomalib-python) | | |", flush=True)
        return
    speeds = [(engine(anomalib), count / timed(here)) for _ in range(min(turns, 3))]
    report(f"{what} anomalib 2.7's Engine (3 channels, as it always has)", *map(list, zip(*speeds, strict=True)))


def engine(python: str) -> float:
    """Images per second of anomalib, in a process of its own."""
    script = Path(__file__).with_name("anomalib_ganomaly.py")
    # -P: other scripts of this folder have names of packages.
    command = [python, "-P", str(script), "4", str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def fanogan_rows(turns: int, quick: bool) -> None:
    """Steps of the critic, penalty included."""
    fanogan_row(8, 16, 8, turns)
    if not quick:
        fanogan_row(64, 64, 1, min(turns, 3))


def fanogan_row(width: int, batch: int, steps: int, turns: int) -> None:
    """A few steps a turn."""
    config, run, draws = FanoganConfig(width=width, batch_size=batch), run_context(), torch.Generator()
    networks, plain = Networks.build(config, "cpu"), Fanogan(width)
    optimizer = torch.optim.Adam(networks.critic.parameters(), 1e-4, (0.0, 0.9), fused=True)
    images = noise(4 * batch)
    stream, source = BatchStream(images, batch, draws, "cpu"), batches(images, batch)

    def here() -> None:
        for _ in range(steps):
            descend(optimizer, critic_step(config, networks, stream.next(), run, draws).total)

    def beside() -> None:
        for _ in range(steps):
            plain.critic_step(next(source))

    what = f"f-AnoGAN critic step with penalty, 64 px, width {width}, batch {batch}"
    line(what, steps * batch, beside, here, turns)


def salad_training_row(turns: int) -> None:
    """Steps of all networks in the default configuration, before the center is measured."""
    steps = 2 if turns < 3 else 6
    config = SaladConfig().model_copy(update={"steps": steps, "center_warmup": 0.99})
    images, run = noise(4 * config.batch_size, config.image_size), run_context()
    here, plain = (SaladNetworks.build(config, "cpu") for _ in range(2))
    for network in plain.trained().values():
        plainly(network)
    line(
        f"SALAD training step, default ({config.image_size} px, width {config.width}, batch {config.batch_size})",
        steps * config.batch_size,
        salad_beside(config, plain, images),
        lambda: salad.train(config, here, images, run, torch.Generator().manual_seed(0)),
        turns,
    )


def salad_beside(config: SaladConfig, networks: SaladNetworks, images: np.ndarray) -> Work:
    """SALAD's own losses in float32, channels first, with torch's convolutions and unfused optimizers."""
    exact, draws = RunContext(0, "cpu", Path(), "float32"), torch.Generator().manual_seed(0)
    source = batches(images, config.batch_size)
    judges = [p for module in networks.discriminators() for p in module.parameters()]
    optimizers = [
        torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay, fused=False)
        for parameters in (networks.translation(), judges)
        if parameters
    ]

    def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def beside() -> None:
        for _ in range(config.steps):
            x = next(source)
            x = salad.augment(x, draws).contiguous() if config.augment else x
            translated = salad.translation(config, networks, x, exact, draws)
            descend(optimizers[0], salad.generator_losses(config, networks, translated, None, exact, draws).total)
            if judges:
                descend(optimizers[1], salad.discriminator_losses(networks, translated, exact).total)

    return beside


# ---------------------------------------------------------------- scoring


def scoring_rows(turns: int) -> None:
    """Decoded images to scores: 256 a turn of the widest networks, 1,024 of the others."""
    for width in (16, 64):
        config = GanomalyConfig(width=width)
        detector = GanomalyDetector(config)
        generator, _ = build(config, "cpu")
        detector.load_state(_arrays(generator.state_dict(), "generator."))
        images = noise(1024 if width == 16 else 256)
        scoring_row(f"GANomaly, width {width}", detector, Ganomaly(width=width), images, turns, 64)
    for width in (8,) if turns < 3 else (8, 64):
        narrow = FanoganConfig(width=width, batch_size=16 if width == 8 else 64)
        fanogan = FanoganDetector(narrow)
        named = Networks.build(narrow, "cpu").named()
        fanogan.load_state({k: v for name, m in named.items() for k, v in _arrays(m.state_dict(), f"{name}.").items()})
        images = noise(1024 if width == 8 else 256)
        scoring_row(f"f-AnoGAN, width {width}", fanogan, Fanogan(width), images, turns, narrow.batch_size)
    for kind in (AeDetector, VaeDetector, MemaeDetector):  # Deep SVDD scores in float32 on purpose
        autoencoder_row(kind, turns)
    salad_row(turns)
    knn_row(turns)


def autoencoder_row(kind: type[Detector[Any]], turns: int) -> None:
    """Beside the same code on its own network, plain: float32, channels first, nothing folded."""
    images, run, exact = noise(1024), run_context(), RunContext(0, "cpu", Path(), "float32")
    config: Any = get_args(kind.__orig_bases__[0])[0]  # type: ignore[attr-defined]
    detector = kind(config(epochs=1)).fit(noise(64), run)
    plain: Any = kind(detector.config).load_state(detector.state())
    scoring = plain._network
    scoring._made = ("cpu", "float32"), plainly(copy.deepcopy(scoring.network).eval())

    def beside() -> None:
        with torch.no_grad():
            plain.anomaly_scores(images, exact)

    what = kind.__name__.removesuffix("Detector")
    line(f"scoring, {what}, default", len(images), beside, lambda: detector.anomaly_scores(images, run), turns)


def _arrays(state: Any, prefix: str) -> dict[str, np.ndarray]:
    return {prefix + name: value.numpy() for name, value in state.items()}


def scoring_row(
    what: str, detector: Detector[Any], plain: Ganomaly | Fanogan, images: np.ndarray, turns: int, batch: int
) -> None:
    """Compare with the plain networks."""
    for network in plain.networks():
        network.eval()
    run = run_context()
    line(
        f"scoring, {what}, batch {batch}",
        len(images),
        lambda: [plain.scores(pixels(part)) for part in np.array_split(images, len(images) // batch)],
        lambda: detector.anomaly_scores(images, run),
        turns,
    )


def salad_row(turns: int) -> None:
    """Beside its own networks, plain: float32, channels first, nothing folded."""
    config, exact, run = SaladConfig(), RunContext(0, "cpu", Path(), "float32"), run_context()
    images = noise(1024, config.image_size)
    detector = SaladDetector(config.model_copy(update={"steps": 1})).fit(images[:64], run)
    learned = detector._learned
    assert learned is not None
    networks = copy.deepcopy(learned.networks.networks)
    for network in networks.learned().values():
        plainly(network).eval()

    def beside() -> None:
        with torch.no_grad():
            for part in np.array_split(images, len(images) // config.batch_size):
                measured = measure(networks, config, pixels(part), exact)
                known = {term: values.double().numpy() for term, values in measured.items()}
                learned.normality.surprise(known).sum(axis=1)

    line("scoring, SALAD, default", len(images), beside, lambda: detector.anomaly_scores(images, run), turns)


def plainly(network: M) -> M:
    """Give a network torch's own convolutions and channels-first weights, in place."""
    network.to(memory_format=torch.contiguous_format)
    for part in network.modules():
        # The faster ones are torch's modules with another forward, and hold nothing else.
        if isinstance(part, Halving | ToVector):
            part.__class__ = nn.Conv2d  # type: ignore[assignment]
        elif isinstance(part, Doubling | FromVector):
            part.__class__ = nn.ConvTranspose2d  # type: ignore[assignment]
    return network


def knn_row(turns: int) -> None:
    """Beside the network as timm builds it."""
    images, bank, run = noise(256, 128, 3), torch.randn(1341, 472), run_context()
    detector = KnnDetector(KnnConfig()).load_state({"features": bank.numpy()})
    backbone = _packaged((-3, -2, -1))

    def beside() -> None:
        with torch.no_grad():
            for part in np.array_split(images, 4):
                mean_nearest_distance(pooled_features(backbone, pixels(part)), bank, 5)

    line("scoring, knn, 128 px", 256, beside, lambda: detector.anomaly_scores(images, run), turns)


# ---------------------------------------------------------------- accuracy


def compare_auroc(task: str = "cxr-phantom") -> None:
    """Default configurations on drawn X-rays: the same numbers of steps, seeds 0 to 2."""
    spec = open_registry(None).task(task).spec
    manifest = index_task(spec, Path(), cache_folder())
    maps = prepare_images(spec, manifest, 64, cache_folder())
    normal, evaluate = (np.array(open_images(path, 1)) for path in (maps.fit, maps.evaluate))
    entries = manifest.of_role("tune", "test")
    tested = np.array([entry.role == "test" for entry in entries])
    labels = np.array([entry.label for entry in entries], np.int8)[tested]
    images = evaluate[tested]
    print(f"{task}: {len(normal)} normals, {len(images)} test images\n")
    print("| AUROC, mean ± standard deviation of three seeds | plain float32 | here | each |\n|---|---|---|---|")

    def here(detector: Detector[Any], seed: int) -> float:
        run = RunContext(seed, "cpu", Path(), resolve_precision("cpu"))
        return auroc(labels, detector.fit(normal, run).anomaly_scores(images, run))

    def beside(make: Callable[[], Ganomaly | Fanogan], length: Any, batch: int, seed: int) -> float:
        torch.manual_seed(seed)
        plain = make()
        plain.train(normal, length, batch)
        for network in plain.networks():
            network.eval()
        scores = torch.cat([plain.scores(pixels(part)) for part in in_parts(images)])
        return auroc(labels, scores.double().numpy())

    of_ganomaly, of_fanogan = GanomalyConfig(), FanoganConfig()
    print_auroc(
        "GANomaly",
        [beside(lambda: Ganomaly(width=16), of_ganomaly.epochs, of_ganomaly.batch_size, seed) for seed in SEEDS],
        [here(GanomalyDetector(of_ganomaly), seed) for seed in SEEDS],
    )
    steps = of_fanogan.gan_steps, of_fanogan.encoder_steps
    print_auroc(
        "f-AnoGAN",
        [beside(lambda: Fanogan(8), steps, of_fanogan.batch_size, seed) for seed in SEEDS],
        [here(FanoganDetector(of_fanogan), seed) for seed in SEEDS],
    )


def in_parts(images: np.ndarray) -> Iterable[np.ndarray]:
    """Blocks of 64 images."""
    return (images[start : start + 64] for start in range(0, len(images), 64))


def print_auroc(what: str, plain: list[float], here: list[float]) -> None:
    """Print a row."""
    cells = [f"{mean(values):.3f} ± {stdev(values):.3f}" for values in (plain, here)]
    each = "; ".join(", ".join(f"{value:.3f}" for value in values) for values in (plain, here))
    print(f"| {what} | {cells[0]} | {cells[1]} | {each} |", flush=True)


if __name__ == "__main__":
    main()
