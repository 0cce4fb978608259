"""Pixel metrics against plain definitions on raw maps; bins, blocks and memory."""

import tracemalloc

import numpy as np
import pixel_plain as plain
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from metrics_strategies import few, many
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.metrics.pixel_bins import BINS, bin_edges, top_bins, tune_values
from bench.metrics.pixel_bounds import binning_error
from bench.metrics.pixel_counts import PixelCounts, count_blocks
from bench.metrics.pixel_intervals import pixel_metrics
from bench.metrics.pixels import LESIONS, omitted, pixel_values, tune_threshold

SIDE = 9


def count(tune, maps, masks, labels=None, size=256):
    values = tune_values(tune, len(tune))
    edges = bin_edges(values)
    known = [False if mask is None else mask.any() for mask in masks]
    labels = np.array(known if labels is None else labels, np.int8)
    blocks = list(count_blocks(zip(maps, masks, strict=True), edges, size))
    ids = tuple(f"{number:016x}" for number in range(len(maps)))
    return PixelCounts(edges, len(maps[0]), top_bins(values.highest, edges), ids, labels, blocks)


def scene(images, side=32, shift=1.5, seed=0):
    """Half of the images with one to three square lesions, ``shift`` standard deviations brighter; float32 noise."""
    random = np.random.default_rng(seed)
    maps, masks = random.normal(size=(images, side, side)).astype(np.float32), np.zeros((images, side, side), bool)
    for mask in masks[::2]:
        for _ in range(random.integers(1, 4)):
            row, column, size = random.integers([0, 0, 2], [side - 8, side - 8, 8])
            mask[row : row + size, column : column + size] = True
    maps[masks] += np.float32(shift)
    return maps, masks, random.normal(size=(10, side, side)).astype(np.float32)


def plain_values(tune, maps, masks):
    labels, values = plain.pooled(maps, masks)
    return {
        "pixel_auroc": roc_auc_score(labels, values),
        "pixel_average_precision": average_precision_score(labels, values),
        "aupro_at_30_fpr": plain.aupro(maps, masks),
        "oracle_best_dice": plain.best_dice(maps, masks),
        LESIONS: plain.lesion_sensitivity(maps, masks, tune),
    }


coarse = st.sampled_from([-2.0, 0.0, 0.25, 1.0, 7.0])
fine = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


@st.composite
def scenes(draw, elements):
    number = draw(st.integers(2, 5))
    shape = (number, SIDE, SIDE)
    masks = draw(arrays(np.bool_, shape, elements=st.sampled_from([False, False, False, True]), fill=st.just(False)))
    assume(masks.any())
    return draw(arrays(np.float32, shape, elements=elements)), masks, draw(arrays(np.float32, shape, elements=elements))


@many
@given(scenes(coarse))
def test_values_are_exact_where_each_has_its_own_bin(drawn):
    maps, masks, tune = drawn
    tune = np.concatenate([tune, np.broadcast_to(np.float32([-2, 0, 0.25, 1, 7, 7, 7, 7, 7]), (1, SIDE, SIDE))])
    counts = count(tune, maps, masks)
    found = pixel_values(counts)
    for name, value in plain_values(tune, maps, masks).items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


@many
@given(scenes(fine))
def test_values_lie_within_the_stated_bound(drawn):
    maps, masks, tune = drawn
    counts = count(tune, maps, masks)
    found, bound = pixel_values(counts), binning_error(counts)
    for name, value in plain_values(tune, maps, masks).items():
        assert abs(found[name] - value) <= bound.get(name, 0) + 1e-9, name


@few
@given(scenes(fine), st.integers(1, 40))
def test_bounds_hold_for_bins_that_fit_badly(drawn, factor):
    maps, masks, tune = drawn
    counts = count(tune[:1] * 1e-3 * factor, maps, masks)
    found, bound = pixel_values(counts), binning_error(counts)
    for name, value in plain_values(tune[:1] * np.float32(1e-3 * factor), maps, masks).items():
        if name != LESIONS:
            assert abs(found[name] - value) <= bound[name] + 1e-9, name


@pytest.mark.parametrize("shift", [0.5, 2.0, 4.0])
def test_bounds_are_tight_on_noise_with_lesions(shift):
    maps, masks, tune = scene(12, side=24, shift=shift)
    counts = count(tune, maps, masks)
    found, bound = pixel_values(counts), binning_error(counts)
    for name, value in plain_values(tune, maps, masks).items():
        assert abs(found[name] - value) <= bound.get(name, 0) + 1e-9, name
    assert bound["pixel_auroc"] < 1e-3
    assert bound["aupro_at_30_fpr"] < 2e-3


def test_aupimo_is_the_recall_over_the_logarithm_of_the_rate():
    random = np.random.default_rng(3)
    maps = random.normal(size=(24, 128, 128)).astype(np.float32)
    masks = np.zeros(maps.shape, bool)
    for place in range(8):
        masks[place, 10 : 20 + place, 30:50] = True
    maps[masks] += 4
    counts = count(random.normal(size=(8, 128, 128)).astype(np.float32), maps, masks)
    value = pixel_values(counts)["aupimo"]
    assert abs(value - plain.aupimo(maps, masks, counts.labels)) <= binning_error(counts)["aupimo"] + 1e-9
    assert 0.2 < value < 0.8
    assert binning_error(counts)["aupimo"] < 0.02


def test_aupimo_is_left_out_where_the_rate_cannot_be_measured():
    counts = count(*(lambda maps, masks, tune: (tune, maps, masks))(*scene(30)))
    assert "aupimo" not in pixel_values(counts)
    assert "aupimo" not in pixel_metrics(counts, resamples=2)
    assert "100,000 pixels" in omitted(counts)["aupimo"]
    assert "15,360" in omitted(counts)["aupimo"]


def test_perfect_inverted_and_constant_maps():
    _, masks, tune = scene(40, side=128)
    perfect = masks.astype(np.float32) * 9 + np.float32(0.5)
    found = pixel_values(count(tune, perfect, masks))
    for name in ("pixel_auroc", "pixel_average_precision", "aupro_at_30_fpr", "aupimo", "oracle_best_dice", LESIONS):
        assert found[name] == pytest.approx(1), name
    inverted = pixel_values(count(tune, -perfect, masks))
    assert inverted["pixel_auroc"] == 0
    assert inverted["aupro_at_30_fpr"] == 0
    assert inverted["aupimo"] == 0
    assert inverted[LESIONS] == 0
    share = masks.mean()
    constant = pixel_values(count(np.zeros_like(tune), np.zeros_like(perfect), masks))
    assert constant["pixel_auroc"] == 0.5
    assert constant["pixel_average_precision"] == pytest.approx(share)
    assert constant["aupro_at_30_fpr"] == pytest.approx(0.15)  # chance: the diagonal up to 0.3
    assert constant["aupimo"] == 0
    assert constant["oracle_best_dice"] == pytest.approx(2 * share / (1 + share))
    assert constant[LESIONS] == 0


def test_lesions_of_one_image_count_by_themselves_and_by_size():
    mask = np.zeros((100, 100), bool)
    mask[0:7, 0:7] = True  # 49 pixels: small
    mask[20:30, 20:30] = True  # 100: medium
    mask[50:90, 50:90] = True  # 1600: large
    mask[30, 30] = True  # touches the medium one by a corner
    one = np.zeros((100, 100), np.float32)
    one[25, 25] = 5
    one[60:80, 50:90] = 5
    maps, masks = np.stack([one, np.zeros_like(one)]), np.stack([mask, np.zeros_like(mask)])
    tune = np.linspace(0, 1, 100 * 100, dtype=np.float32).reshape(1, 100, 100)
    counts = count(tune, maps, masks)
    assert counts.blocks[0].areas().tolist() == [49, 101, 1600]
    found = pixel_values(counts)
    assert found[LESIONS] == pytest.approx(2 / 3)
    assert found[f"{LESIONS}_small"] == 0
    assert found[f"{LESIONS}_medium"] == 1
    assert found[f"{LESIONS}_large"] == 1
    assert found["aupro_at_30_fpr"] > np.mean([0, 1 / 101, 0.5])
    assert "2 of 3 lesions" in pixel_metrics(counts, resamples=2)[LESIONS].method


@many
@given(st.integers(1, 700), st.integers(0, 3))
def test_the_threshold_of_tune_images_is_exact(number, seed):
    highest = np.random.default_rng(seed).normal(size=number).astype(np.float32)
    edges = bin_edges(tune_values((np.full((1, 1), one, np.float32) for one in highest), number))
    tops = top_bins(highest, edges)
    threshold = int(tune_threshold(tops))
    assert np.mean(tops <= threshold) >= 0.95 - 1e-12
    limit = np.sort(highest)[int(np.ceil(0.95 * number - 1e-9)) - 1]
    probes = np.array([limit, np.nextafter(limit, np.float32(np.inf))])
    assert (top_bins(probes, edges) > threshold).tolist() == [False, True]


@pytest.mark.parametrize(
    "tune",
    [
        np.zeros((1, 4, 4)),
        np.full((2, 4, 4), -3.5),
        np.full((2, 4, 4), 3e38),
        np.linspace(-9, -1, 32).reshape(2, 4, 4),
        np.linspace(1e6, 1e6 + 1, 32).reshape(2, 4, 4),
        np.array([[[-3e38, 3e38]]]),
        np.array([[[0.0, 1e-44]]]),
    ],
)
def test_bins_of_odd_tune_maps(tune):
    tune = tune.astype(np.float32)
    edges = bin_edges(tune_values(tune, len(tune)))
    assert edges.shape == (BINS + 1,)
    assert edges.dtype == np.float64
    assert (edges[0], edges[-1]) == (-np.inf, np.inf)
    assert (np.diff(edges[1:-1]) >= 0).all()
    assert (edges[1:-1] == edges[1:-1].astype(np.float32)).all()
    lowest, highest = tune.min(), tune.max()
    assert top_bins(np.array([lowest]), edges)[0] > 0  # what lies below has a bin of its own
    assert top_bins(np.array([highest]), edges)[0] < BINS - 1 or highest > 1e38


def test_tune_maps_that_cannot_be_used_are_refused():
    with pytest.raises(ValueError, match="there is none"):
        tune_values([], 0)
    for bad in (np.full((2, 2), np.nan, np.float32), np.zeros((2, 2)), np.zeros(4, np.float32), np.zeros((0, 2), "f4")):
        with pytest.raises(ValueError, match="expected finite float32"):
            tune_values([bad], 1)


def test_counts_that_cannot_be_used_are_refused():
    maps, masks, tune = scene(4)
    with pytest.raises(ValueError, match="need lesions"):
        pixel_values(count(tune, maps, np.zeros_like(masks)))
    with pytest.raises(ValueError, match="pixels outside"):
        pixel_values(count(tune, maps, np.ones_like(masks)))
    with pytest.raises(ValueError, match="a mask is"):
        count(tune, maps, [np.zeros((3, 3), bool)] * 4)
    with pytest.raises(ValueError, match="2 resamples"):
        pixel_metrics(count(tune, maps, masks), resamples=1)
    with pytest.raises(ValueError, match="clusters"):
        pixel_metrics(count(tune, maps, masks), np.zeros(3, np.int64), 2)


def test_images_whose_pixels_nobody_knows_change_nothing():
    maps, masks, tune = scene(20)
    counts = count(tune, maps, masks)
    more = count(tune, [*maps, maps[0]], [*masks, None], [*counts.labels, 1])
    assert pixel_values(more) == pytest.approx(pixel_values(counts))
    assert pixel_metrics(more, resamples=50).keys() == pixel_metrics(counts, resamples=50).keys()


def test_blocks_of_any_size_give_the_same():
    maps, masks, tune = scene(40)
    first, *others = (pixel_metrics(count(tune, maps, masks, size=size), resamples=300) for size in (256, 7, 1))
    for other in others:
        for name, interval in first.items():
            assert other[name][:3] == pytest.approx(interval[:3], abs=1e-12), name
            assert other[name].method == interval.method


def test_sampling_of_many_tune_maps_meets_every_column():
    maps = (np.tile(np.arange(256, dtype=np.float32), (256, 1)) for _ in range(200))
    found = tune_values(maps, 200)
    assert 5e5 < len(found.sample) < 1.2e6
    assert len(np.unique(found.sample)) == 256
    assert (found.lowest, found.highest.max()) == (0, 255)


def test_intervals_hold_the_value_and_follow_the_images():
    maps, masks, tune = scene(40)
    counts = count(tune, maps, masks)
    found = pixel_metrics(counts, resamples=400)
    assert found == pixel_metrics(counts, resamples=400)
    assert found.keys() == pixel_values(counts).keys()
    for name, value in pixel_values(counts).items():
        assert found[name].value == value
        assert 0 <= found[name].low <= value <= found[name].high <= 1
    four = count(tune, np.tile(maps, (4, 1, 1)), np.tile(masks, (4, 1, 1)))
    narrow = pixel_metrics(four, resamples=400)
    ratio = (found["pixel_auroc"].high - found["pixel_auroc"].low) / (
        narrow["pixel_auroc"].high - narrow["pixel_auroc"].low
    )
    assert 1.6 < ratio < 2.5
    assert "percentile bootstrap by image, 400 resamples; 4,096 bins, error ≤ 0.000" in found["pixel_auroc"].method


def test_bootstrap_is_that_of_plain_resamples():
    maps, masks, tune = scene(24, shift=1.0)
    counts = count(tune, maps, masks)
    low, high = pixel_metrics(counts, resamples=2000)["pixel_auroc"][1:3]
    random = np.random.default_rng(1)
    sick, healthy = np.flatnonzero(counts.labels), np.flatnonzero(counts.labels == 0)
    areas = []
    for _ in range(300):
        drawn = np.concatenate([random.choice(sick, len(sick)), random.choice(healthy, len(healthy))])
        areas.append(roc_auc_score(*plain.pooled(maps[drawn], masks[drawn])))
    expected = np.quantile(areas, [0.025, 0.975])
    assert [low, high] == pytest.approx(expected, abs=0.25 * np.ptp(expected))


def test_patients_are_drawn_where_they_are_known():
    maps, masks, tune = scene(24)
    four = count(tune, np.tile(maps, (4, 1, 1)), np.tile(masks, (4, 1, 1)))
    by_patient = pixel_metrics(four, np.tile(np.arange(24), 4), 400)
    alone = pixel_metrics(count(tune, maps, masks), resamples=400)
    assert by_patient["pixel_auroc"][:3] == pytest.approx(alone["pixel_auroc"][:3], abs=3e-3)
    assert "by patient" in by_patient["pixel_auroc"].method
    mixed = pixel_metrics(four, np.arange(96) // 4, 50, np.arange(10) // 2)  # both classes in every patient
    assert all(np.isfinite(one[:3]).all() for one in mixed.values())
    assert pixel_metrics(four, np.zeros(96, np.int64), 5)["pixel_auroc"].method.startswith("unknown: ")


def test_certainty_is_never_claimed():
    maps, masks, tune = scene(24, shift=50.0)
    found = pixel_metrics(count(tune, maps, masks), resamples=100)
    assert found["pixel_auroc"].value == 1
    assert found["pixel_auroc"].low == pytest.approx(0.025 ** (1 / 12))
    assert "Clopper-Pearson" in found["pixel_auroc"].method
    nothing = pixel_metrics(count(tune, maps - 100 * masks.astype(np.float32), masks), resamples=100)
    assert nothing[LESIONS][:3] == pytest.approx((0, 0, 1 - 0.025 ** (1 / 12)))
    one = masks.copy()
    one[1:] = False
    assert pixel_metrics(count(tune, maps, one), resamples=20)["oracle_best_dice"][1:3] == (0, 1)


class Endless:
    """Blocks made anew on every pass, and never held."""

    def __init__(self, images, edges):
        self.images, self.edges = images, edges

    def __iter__(self):
        random = np.random.default_rng(0)
        mask, none = np.zeros((16, 16), bool), np.zeros((16, 16), bool)
        mask[:3, :3] = True
        maps = (random.random((16, 16), np.float32) for _ in range(self.images))
        yield from count_blocks(((one, none if n % 2 else mask) for n, one in enumerate(maps)), self.edges, 64)


def peak(images):
    edges = bin_edges(tune_values(np.random.default_rng(1).random((4, 16, 16), np.float32), 4))
    labels = (np.arange(images) % 2 == 0).astype(np.int8)
    counts = PixelCounts(edges, 16, np.zeros(4, np.uint16), ("",) * images, labels, Endless(images, edges))
    tracemalloc.start()
    try:
        pixel_metrics(counts, resamples=64)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_images():
    assert peak(1024) < 1.2 * peak(128)
