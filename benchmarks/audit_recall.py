"""What the thresholds of the search for copies rest on: copies made by us, neighbours that are there, and the time.

    python benchmarks/audit_recall.py --data DIR                     # recall and false pairs, by kind of copy
    python benchmarks/audit_recall.py --data DIR --exhaustive        # the pairs that nearest neighbours would miss
    python benchmarks/audit_recall.py --data DIR --speed 26000 1000  # time of a search of that size

DIR holds OCT2017/ and chest_xray/.
"""

import argparse
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.data.audit import duplicates, similarity
from bench.data.audit.search import find_task_duplicates
from bench.data.decode import prepare_thumbnails
from bench.data.index import index_task
from bench.data.manifest import Manifest
from bench.data.sets.kermany import CHEST_XRAY, OCT2017
from bench.files import cache_folder

SIDE = similarity.SIDE
Picture = Image.Image


def encoded(picture: Picture, quality: int) -> Picture:
    """Write as JPEG and read again."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("L")


def resized(picture: Picture, factor: float) -> Picture:
    """Resize by a factor, with another filter than the audit's."""
    return picture.resize((int(picture.width * factor), int(picture.height * factor)), Image.Resampling.BICUBIC)


def shifted(picture: Picture, right: float, down: float) -> Picture:
    """Shift by parts of the width and height; what comes in is black."""
    return picture.transform(
        picture.size, Image.Transform.AFFINE, (1, 0, -round(right * picture.width), 0, 1, -round(down * picture.height))
    )


def toned(picture: Picture, gamma: float) -> Picture:
    """Change contrast by a power."""
    return picture.point([int(255 * (value / 255) ** gamma + 0.5) for value in range(256)])


def stretched(picture: Picture, gain: float, offset: float) -> Picture:
    """Change contrast linearly, with clipping."""
    return picture.point([int(min(max(gain * value + offset, 0), 255)) for value in range(256)])


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "JPEG quality 75": lambda p: encoded(p, 75),
    "JPEG quality 50": lambda p: encoded(p, 50),
    "JPEG quality 30": lambda p: encoded(p, 30),
    "JPEG quality 20": lambda p: encoded(p, 20),
    "half the size": lambda p: encoded(resized(p, 0.5), 85),
    "a third of the size": lambda p: encoded(resized(p, 0.35), 85),
    "1.5 times the size": lambda p: encoded(resized(p, 1.5), 85),
    "shifted by 5 %, 5 %": lambda p: encoded(shifted(p, 0.05, 0.05), 85),
    "shifted by −5 %, 3 %": lambda p: encoded(shifted(p, -0.05, 0.03), 85),
    "gamma 0.6": lambda p: encoded(toned(p, 0.6), 85),
    "gamma 1.8": lambda p: encoded(toned(p, 1.8), 85),
    "1.5 × contrast, clipped": lambda p: encoded(stretched(p, 1.5, -20), 85),
    "0.6 × contrast, brighter": lambda p: encoded(stretched(p, 0.6, 30), 85),
    "histogram equalised": lambda p: encoded(ImageOps.equalize(p), 90),
    "mirrored, quality 60": lambda p: encoded(ImageOps.mirror(p), 60),
    "upside down, quality 60": lambda p: encoded(ImageOps.flip(p), 60),
    "0.7 × size, shifted by 4 %, gamma 0.8, mirrored, quality 60": lambda p: encoded(
        ImageOps.mirror(toned(shifted(resized(p, 0.7), 0.04, -0.04), 0.8)), 60
    ),
}


def thumbnail(picture: Picture) -> NDArray[np.uint8]:
    """Make what the search looks at."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.uint8)


def recall(manifest: Manifest, thumbnails: NDArray[np.uint8], known: set[frozenset[int]], sample: int) -> None:
    """Print, for each kind of copy, how many of a sample are found, and pairs that should not be."""
    chosen = np.random.default_rng(0).choice(len(thumbnails), sample, replace=False)
    pictures = [Image.open(manifest.images()[row].path).convert("L") for row in chosen]
    n = len(thumbnails)
    print(
        f"\n{manifest.task}: {n} images, {sample} copies of each kind\n\n| copy | found | false pairs |\n|---|---|---|"
    )
    for kind, copy in COPIES.items():
        both = np.concatenate([thumbnails, np.stack([thumbnail(copy(picture)) for picture in pictures])])
        found = {frozenset(pair[:2]) for pair in duplicates.near_pairs(both, np.arange(len(both)))}
        wanted = {frozenset((int(row), n + number)) for number, row in enumerate(chosen)}
        # A copy of an image that has a duplicate already is one of that, too.
        original = {n + number: int(row) for number, row in enumerate(chosen)}
        traced = {frozenset(original.get(row, row) for row in pair) for pair in found - wanted}
        false = {pair for pair in traced if len(pair) > 1} - known
        print(f"| {kind} | {len(found & wanted)} of {sample} | {len(false)} |", flush=True)


def exhaustive(manifest: Manifest, thumbnails: NDArray[np.uint8], known: set[frozenset[int]]) -> None:
    """Compare every test image with every other one, without choosing candidates by neighbourhood."""
    images = manifest.images()
    test = np.flatnonzero([image.role == "test" for image in images])
    rest = np.flatnonzero([image.role != "test" for image in images])
    spectra = similarity.coarse_spectrum(similarity.equalise(thumbnails))
    likely, missed = 0, []
    for row in test.tolist():
        coarse, flips = similarity.match(np.broadcast_to(spectra[row], spectra[rest].shape), spectra[rest])
        for place in np.flatnonzero(coarse >= duplicates.COARSE_THRESHOLD).tolist():
            likely += 1
            other = similarity.flip(thumbnails[rest[place]][None], similarity.FLIPS[flips[place]])
            if similarity.grain_likeness(thumbnails[row][None], other)[0] < duplicates.GRAIN_THRESHOLD:
                continue
            alike = similarity.similarity(thumbnails[row], other[0])
            if alike >= duplicates.THRESHOLD and frozenset((row, int(rest[place]))) not in known:
                missed.append((images[row].path.name, images[rest[place]].path.name, alike))
    compared = len(test) * len(rest)
    print(f"\n{manifest.task}: {compared:,} pairs compared, {likely:,} likely, {len(missed)} missed: {missed}")


def speed(thumbnails: NDArray[np.uint8], rest: int, test: int) -> None:
    """Time a search among different images, made from the real ones by rotation and magnification."""
    rng, made = np.random.default_rng(0), np.empty((rest + test, SIDE, SIDE), np.uint8)
    for place in range(len(made)):
        picture = Image.fromarray(thumbnails[place % len(thumbnails)])
        picture = picture.resize((int(SIDE * rng.uniform(1.05, 1.4)),) * 2).rotate(rng.uniform(-12, 12))
        left, top = rng.integers(0, picture.width - SIDE + 1, 2)
        made[place] = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)))
    started = time.perf_counter()
    found = sum(1 for _ in duplicates.near_pairs(made, np.arange(len(made))))
    seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\n{len(made):,} images: {seconds:.1f} s, {found} pairs, peak memory {peak:.2f} GB")


def main() -> None:
    """Do what the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--exhaustive", action="store_true")
    parser.add_argument("--speed", type=int, nargs=2)
    options = parser.parse_args()
    for spec in (OCT2017, CHEST_XRAY):
        manifest = index_task(spec, options.data, cache_folder())
        thumbnails = np.load(prepare_thumbnails(spec, manifest, SIDE, cache_folder()))[..., 0]
        place = {image.id: row for row, image in enumerate(manifest.images())}
        pairs = find_task_duplicates(spec, manifest, cache_folder())
        known = {frozenset((place[pair.a.id], place[pair.b.id])) for pair in pairs}
        if options.speed:
            speed(thumbnails, *options.speed)
        elif options.exhaustive:
            exhaustive(manifest, thumbnails, known)
        else:
            recall(manifest, thumbnails, known, options.sample)


if __name__ == "__main__":
    main()
