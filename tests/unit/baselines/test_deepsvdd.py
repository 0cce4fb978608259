"""Deep SVDD: no bias anywhere, centre and objective by hand, both phases, collapse."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.deepsvdd import SPEC, losses, train
from baselines.deepsvdd.config import DeepSvddConfig
from baselines.deepsvdd.detector import DeepSvddDetector
from baselines.deepsvdd.networks import build_decoder, build_encoder
from bench import DetectorError
from tests.unit.toy_images import blobs, run_context

TINY = DeepSvddConfig(
    image_size=32,
    width=8,
    latent=8,
    batch_size=16,
    pretrain_epochs=6,
    pretrain_fine_epochs=1,
    epochs=6,
    fine_epochs=1,
    learning_rate=1e-3,
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> DeepSvddDetector:
    return DeepSvddDetector(TINY).fit(blobs(128, 0), run_context(tmp_path_factory.mktemp("scratch")))


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    config = DeepSvddConfig(image_size=size, channels=channels, width=4, latent=10)
    x = torch.zeros(2, channels, size, size)
    z = build_encoder(config, "cpu")(x)
    assert z.shape == (2, 10)
    assert build_decoder(config, "cpu")(z).shape == x.shape


def test_facts_of_the_paper() -> None:
    config = SPEC.config().model_validate(SPEC.presets["paper"])
    assert (config.image_size, config.width, config.latent, config.batch_size) == (32, 32, 128, 200)
    assert (config.pretrain_epochs, config.pretrain_fine_epochs) == (250, 100)
    assert (config.epochs, config.fine_epochs) == (150, 100)
    assert (config.learning_rate, config.pretrain_learning_rate, config.weight_decay) == (1e-4, 1e-4, 1e-6)
    encoder = build_encoder(config, "cpu")
    assert [m.out_channels for m in encoder.modules() if isinstance(m, nn.Conv2d)] == [32, 64, 128, 128]


def test_encoder_has_no_bias_and_no_bounded_activation() -> None:
    encoder = build_encoder(TINY, "cpu")
    assert not [name for name, _ in encoder.named_parameters() if "bias" in name]
    kinds = {type(module) for module in encoder.modules() if not list(module.children())}
    assert all(issubclass(kind, nn.Conv2d | nn.BatchNorm2d | nn.LeakyReLU) for kind in kinds)
    assert isinstance(list(encoder.modules())[-1], nn.Conv2d)  # nothing behind the last layer
    # What a bias would allow (proposition 2): an embedding that the image has no part in.
    assert not encoder.eval()(torch.zeros(1, 1, 32, 32)).any()


def test_objective_by_hand() -> None:
    centre = torch.tensor([1.0, 2.0])
    embeddings = torch.tensor([[1.0, 2.0], [4.0, 6.0]])
    assert losses.anomaly_score(embeddings, centre).tolist() == [0.0, 25.0]
    assert losses.one_class(embeddings, centre).item() == 12.5


def test_centre_is_the_mean_and_keeps_away_from_zero() -> None:
    embeddings = torch.tensor([[2.0, 0.1, -0.02, 0.0, -3.0], [4.0, -0.06, -0.04, 0.0, -1.0]])
    assert losses.choose_centre(embeddings, 0.1).tolist() == pytest.approx([3.0, 0.1, -0.1, 0.1, -2.0])
    assert losses.choose_centre(embeddings, 0.0).tolist() == pytest.approx([3.0, 0.02, -0.03, 0.0, -2.0])


def test_spread_by_hand() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    assert losses.relative_spread(embeddings, torch.tensor([0.0, 4.0])) == pytest.approx(0.25)
    assert losses.relative_spread(torch.full((5, 3), 0.1), torch.ones(3)) == 0


def test_one_class_training_draws_normals_to_a_fixed_centre(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    embedded: list[Tensor] = []
    plain = train.embed

    def watched(*arguments: object) -> Tensor:
        embedded.append(plain(*arguments))  # type: ignore[arg-type]
        return embedded[-1]

    monkeypatch.setattr(train, "embed", watched)
    config = TINY.model_copy(update={"epochs": 25})
    learned = train.train(config, blobs(96, 0), run_context(tmp_path), torch.Generator().manual_seed(0))
    before, after = embedded
    assert torch.equal(learned.centre, losses.choose_centre(before, TINY.centre_margin))
    assert losses.one_class(after, learned.centre) < 0.5 * losses.one_class(before, learned.centre)
    assert not learned.encoder.training


def test_rate_drops_and_weights_decay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rates: list[tuple[float, float]] = []
    plain = torch.optim.Adam.step

    def watched(self: torch.optim.Adam, *arguments: object) -> object:
        rates.append((self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"]))
        return plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    config = TINY.model_copy(update={"pretrain_epochs": 1, "epochs": 2})
    train.train(config, blobs(16, 0), run_context(tmp_path), torch.Generator().manual_seed(0))
    assert [rate for rate, _ in rates] == pytest.approx([1e-3, 1e-4, 1e-3, 1e-3, 1e-4])
    assert {decay for _, decay in rates} == {1e-6}


def test_squares_are_found(fitted: DeepSvddDetector, tmp_path: Path) -> None:
    run = run_context(tmp_path)
    normal = fitted.anomaly_scores(blobs(32, 1), run)
    anomalous = fitted.anomaly_scores(blobs(32, 2, square=True), run)
    assert (anomalous[:, None] > normal[None]).mean() > 0.9


def test_state_brings_back_scores(fitted: DeepSvddDetector, tmp_path: Path) -> None:
    run, images, state = run_context(tmp_path), blobs(5, 3), dict(fitted.state())
    loaded = DeepSvddDetector(TINY).load_state(state)
    assert loaded.anomaly_scores(images, run).tobytes() == fitted.anomaly_scores(images, run).tobytes()
    assert np.array_equal(loaded.state()["centre"], state["centre"])
    with pytest.raises(ValueError, match="centre"):
        DeepSvddDetector(TINY).load_state({**state, "centre": state["centre"][:3]})


def test_scores_do_not_follow_the_precision(fitted: DeepSvddDetector, tmp_path: Path) -> None:
    images = blobs(5, 3)
    precise = fitted.anomaly_scores(images, run_context(tmp_path))
    assert fitted.anomaly_scores(images, run_context(tmp_path, precision="bfloat16")).tobytes() == precise.tobytes()


@pytest.mark.parametrize("field", ["pretrain_learning_rate", "learning_rate"])
def test_divergence_is_an_error_that_names_the_phases_rate(field: str, tmp_path: Path) -> None:
    wild = TINY.model_copy(update={field: 1e30, "pretrain_epochs": 12, "epochs": 12})
    with pytest.raises(DetectorError, match=f"lower {field}$"):
        DeepSvddDetector(wild).fit(blobs(32, 0), run_context(tmp_path))


def test_collapse_is_an_error_not_a_score(tmp_path: Path) -> None:
    same = np.repeat(blobs(1, 0), 32, axis=0)
    with pytest.raises(DetectorError, match="collapsed"):
        DeepSvddDetector(TINY).fit(same, run_context(tmp_path))


def test_embeddings_that_are_no_numbers_count_as_collapsed() -> None:
    train.require_spread(torch.tensor([[1.0], [2.0]]), torch.ones(1))
    with pytest.raises(DetectorError, match="collapsed"):
        train.require_spread(torch.full((4, 2), float("nan")), torch.ones(2))
