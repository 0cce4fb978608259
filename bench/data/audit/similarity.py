"""How alike two pictures are, whatever resizing, re-encoding, shift, contrast change or flip lies between them.

Three looks, each dearer and stricter than the one before; all take thumbnails of ``SIDE`` × ``SIDE``:

1. :func:`describe`: the magnitude of low frequencies, which shifts leave alone, made symmetric under flips. Nearest
   neighbours by it are candidates.
2. :func:`match`: the best correlation of two coarse pictures over small shifts and the four flips.
3. :func:`grain_likeness`, then :func:`similarity`: correlation of fine detail after alignment. Grain belongs to one
   exposure: the speckle of an OCT scan and the quantum noise of an X-ray come out anew in the next, so neighbouring
   slices of one eye share their anatomy, and not their grain.

``benchmarks/audit_recall.py`` prints what the thresholds rest on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 128
COARSE = 64
TINY = 32
FREQUENCIES = 12
MAX_SHIFT = 1 / 16  # of the side: a little more than the 5 % that count as a shift
MARGIN = 8
PLACE = 8.0  # pixels, sigma
FAINT = 0.1  # of the mean power
FLIPS = ("", "horizontal", "vertical", "both")

Stack = NDArray[np.float32]


def equalise(images: NDArray[np.uint8]) -> Stack:
    """Give each of the images (n, h, w) a flat histogram in [0, 1]: undoes any monotone change of contrast."""
    flat = np.empty(images.shape, np.float32)
    for image, out in zip(images, flat, strict=True):
        counts = np.bincount(image.ravel(), minlength=256)
        out[:] = ((np.cumsum(counts) - counts / 2) / image.size).astype(np.float32)[image]
    return flat


def describe(equalised: Stack) -> Stack:
    """Describe pictures (n, SIDE, SIDE) by vectors (n, d) that shifts and flips change little."""
    tiny = shrink(equalised, TINY)
    tiny -= tiny.mean((1, 2), keepdims=True)
    tiny *= _window(TINY)
    spectrum = np.abs(np.fft.rfft2(tiny))[:, :, :FREQUENCIES]
    down = spectrum[:, :FREQUENCIES]
    up = np.concatenate([spectrum[:, :1], spectrum[:, :-FREQUENCIES:-1]], axis=1)
    # A flip exchanges the two halves, so their sum and the size of their difference are the same for all flips.
    both = np.concatenate([down + up, np.abs(down - up)], axis=1)
    vectors: Stack = np.sqrt(both).reshape(len(both), -1).astype(np.float32)
    return vectors


def standardise(vectors: Stack) -> Stack:
    """Centre and scale each of the columns, then each of the vectors (n, d) to length 1, for cosines."""
    vectors = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-6)
    scaled: Stack = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-6)
    return scaled


def coarse_spectrum(equalised: Stack) -> NDArray[np.complex64]:
    """Spectra (n, COARSE, COARSE/2 + 1) whose products correlate two coarse pictures."""
    small = shrink(equalised, COARSE)
    return _spectrum(_blur(small, 0.7) - _blur(small, 2.5))


def match(one: NDArray[np.complex64], other: NDArray[np.complex64]) -> tuple[Stack, NDArray[np.int64]]:
    """Correlate n pairs of coarse spectra; returns the best over shifts and flips (n,), and which of FLIPS (n,)."""
    reversed_rows = np.conj(np.concatenate([other[:, :1], other[:, :0:-1]], axis=1))
    found = np.stack([_peak(one, each) for each in (other, reversed_rows, np.conj(reversed_rows), np.conj(other))])
    return found.max(axis=0), found.argmax(axis=0)


def flip(images: NDArray[Any], which: str) -> NDArray[Any]:
    """Flip pictures (n, h, w) as one of FLIPS says."""
    if which in ("vertical", "both"):
        images = images[:, ::-1]
    return images[:, :, ::-1] if which in ("horizontal", "both") else images


def grain_likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Stack:
    """Correlate the detail of n pairs of pictures (n, SIDE, SIDE) over small shifts, (n,): a quick look.

    As they are, since equalising drowns smooth dark regions in the noise of strong compression; and equalised.
    """
    plain = [_spectrum(_detail(each.astype(np.float32))) for each in (one, other)]
    flat = [_spectrum(_detail(equalise(each))) for each in (one, other)]
    return np.maximum(_peak(*plain), _peak(*flat))


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Correlate two pictures (SIDE, SIDE) place by place where they overlap; the flip is undone already.

    Each is compared as it is and with its histogram matched to the other's, so that a change of contrast does not
    count. Of the places whose detail is not faint, nine tenths reach the value: in a copy detail agrees everywhere; in
    a neighbouring slice it does not, whatever fill at the rims or bright layers both share.

    Returns:
        at most 1.

    """
    one, other, rest = _overlap(one, other)
    pairs = [
        (one.astype(np.float32), other.astype(np.float32)),
        (_match_histogram(one, other), other.astype(np.float32)),
        (one.astype(np.float32), _match_histogram(other, one)),
    ]
    return max(_agreement(a, _move(b, rest)) for a, b in pairs)


def _overlap(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[float, float]]:
    """Cut both to where they overlap, and say by what part of a pixel the second still has to move."""
    plain = [each[None].astype(np.float32) for each in (one, other)]
    flat = [equalise(each[None]) for each in (one, other)]
    surfaces = [_surface(*(_spectrum(_detail(each)) for each in pair))[0] for pair in (plain, flat)]
    surface = max(surfaces, key=np.max)
    reach = len(surface) // 2
    row, column = divmod(int(surface.argmax()), len(surface))
    down, right = row - reach, column - reach
    height, width = SIDE - abs(down), SIDE - abs(right)
    a = one[max(down, 0) :, max(right, 0) :][:height, :width]
    b = other[max(-down, 0) :, max(-right, 0) :][:height, :width]
    return a, b, (_vertex(surface[:, column], row), _vertex(surface[row], column))


def _vertex(line: Stack, place: int) -> float:
    """Where the parabola through a peak and its neighbours has its vertex, from the peak, within half a pixel."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, peak, after = (float(value) for value in line[place - 1 : place + 2])
    bend = before - 2 * peak + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _move(image: Stack, by: tuple[float, float]) -> Stack:
    from scipy.ndimage import shift

    moved: Stack = shift(image, by, order=3, mode="nearest")
    return moved


def _match_histogram(image: NDArray[np.uint8], like: NDArray[np.uint8]) -> Stack:
    """Change the contrast of an image, monotonously, so that its histogram is that of another."""
    counts, wanted = (np.bincount(each.ravel(), minlength=256) for each in (image, like))
    ranks, wanted_ranks = ((np.cumsum(c) - c / 2) / c.sum() for c in (counts, wanted))
    there = wanted > 0
    contrast: Stack = np.interp(ranks, wanted_ranks[there], np.arange(256)[there]).astype(np.float32)
    return contrast[image]


def _agreement(one: Stack, other: Stack) -> float:
    """Correlation of a band of detail around each place, as nine tenths of the places reach it."""
    a, b = (
        (_blur(each[None], 1.5) - _blur(each[None], 3.0))[:, MARGIN:-MARGIN, MARGIN:-MARGIN] for each in (one, other)
    )
    together, power = _blur(a * b, PLACE), np.sqrt(_blur(a * a, PLACE) * _blur(b * b, PLACE))
    loud = power > FAINT * np.sqrt((a * a).mean() * (b * b).mean())
    return float(np.percentile(together[loud] / power[loud], 10)) if loud.any() else 0.0


def shrink(images: Stack, side: int) -> Stack:
    """Average pictures (n, h, w) down to (n, side, side)."""
    n, h, w = images.shape
    made: Stack = images.reshape(n, side, h // side, side, w // side).mean(axis=(2, 4), dtype=np.float32)
    return made


def _detail(images: Stack) -> Stack:
    return _blur(images, 0.75) - _blur(images, 3.0)


def _peak(one: NDArray[np.complex64], other: NDArray[np.complex64]) -> Stack:
    peak: Stack = _surface(one, other).max(axis=(1, 2))
    return peak


def _surface(one: NDArray[np.complex64], other: NDArray[np.complex64]) -> Stack:
    """Correlation for every shift within reach, (n, 2r + 1, 2r + 1)."""
    from scipy.fft import irfft2

    side = one.shape[1]
    reach = int(side * MAX_SHIFT)
    full = irfft2(one * np.conj(other), s=(side, side))
    near = np.r_[-reach : reach + 1]
    window: Stack = full[:, near[:, None], near]
    return window


def _spectrum(images: Stack) -> NDArray[np.complex64]:
    """Spectra of pictures that are windowed, centred, and scaled to length 1."""
    from scipy.fft import rfft2

    images = images * _window(images.shape[1])
    images -= images.mean((1, 2), keepdims=True)
    images /= np.sqrt((images**2).sum((1, 2), keepdims=True)) + 1e-6
    spectra: NDArray[np.complex64] = rfft2(images)
    return spectra


def _blur(images: Stack, sigma: float) -> Stack:
    from scipy.ndimage import gaussian_filter

    blurred: Stack = gaussian_filter(images, (0, sigma, sigma))
    return blurred


def _window(side: int) -> Stack:
    edge = np.hanning(side + 2)[1:-1]
    return np.sqrt(np.outer(edge, edge)).astype(np.float32)
