"""Other images scored with what a run has learned, block by block: memory does not grow with their number."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import joblib
import numpy as np
from numpy.typing import NDArray

from bench.data.decode import squash
from bench.data.reading import Reader
from bench.errors import DetectorError, EnvironmentProblem
from bench.run.learned import Learned
from bench.run.mapfile import Map, check_map
from bench.run.messages import printable
from bench.run.scorer import COUNT, FAILED, HEAD, MAP, MEMORY, READY, SCORES, UNFIT, ScoringJob
from bench.run.surroundings import worker_environment
from bench.run.worker import check_scores

TEXT_LIMIT = 1 << 16
SHOWN_SIDE = 512
"""Pixels along the longer side of a picture under a heat map, at most."""

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """What became of one image.

    Attributes:
        path: the file.
        score: of the detector, or None where the file could not be read.
        problem: why not.
        heat: its anomaly map, float32 (side, side), where maps are asked for.
        picture: the whole picture, uint8 (h, w), likewise.

    """

    path: Path
    score: float | None
    problem: str = ""
    heat: Map | None = None
    picture: Grey | None = None


@dataclass(frozen=True)
class _Decoded:
    path: Path
    square: Grey | None
    picture: Grey | None = None
    problem: str = ""


class Scorer:
    """The process that scores, with the threads of the run; ``device`` and ``precision`` are what it computes on."""

    def __init__(self, learned: Learned, device: str | None, maps: bool) -> None:
        """Say what is to be scored with.

        Args:
            learned: the run.
            device: as ``--device`` has it; None: that of the run.
            maps: whether to draw anomaly maps too.

        """
        self.learned, self.maps = learned, maps
        self._asked = device
        self.device = self.precision = ""

    def __enter__(self) -> Self:
        """Start it, and wait until it has taken over what was learned.

        Raises:
            EnvironmentProblem: the device is not usable on this machine.
            DetectorError: the detector does not take its state.

        """
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self._log = tempfile.TemporaryFile()
        try:
            self._process = self._start()
        except BaseException:
            self._log.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        try:
            self._write(self._job().model_dump_json().encode() + b"\n")
            self.device, _, self.precision = self._receive(READY).decode().partition(" ")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it."""
        self._end()

    def send(self, images: Grey) -> None:
        """Hand over a block of images, uint8 (n, side, side), n ≥ 1; the block before must have been received."""
        self._write(len(images).to_bytes(COUNT, "little") + images.tobytes())

    def receive(self, images: int) -> NDArray[np.float64]:
        """Wait for the scores of a block, float64 (n,), finite.

        Raises:
            DetectorError: the detector failed.

        """
        content = self._receive(SCORES, 8 * images)
        return check_scores(np.frombuffer(content, "<f8"), images)

    def receive_maps(self, images: int) -> Iterator[Map]:
        """Wait for the maps of a block, after its scores; float32 (side, side) each.

        Raises:
            DetectorError: the detector failed.

        """
        side = self.learned.config.image_size
        for number in range(images):
            content = self._receive(MAP, 4 * side * side)
            yield check_map(np.frombuffer(content, "<f4").reshape(side, side), side, number)

    def _job(self) -> ScoringJob:
        record, plugin = self.learned.record, self.learned.offer.plugin
        before = record.cost.device or "cpu"
        return ScoringJob(
            plugin=(plugin.name, plugin.module),
            detector=record.detector.name,
            config=record.detector.config,
            seed=record.seed,
            device=self._asked or before,
            before=(before, "bfloat16" if record.cost.precision == "bfloat16" else "float32"),
            state=self.learned.path.resolve(),
            scratch=self._folder,
            maps=self.maps,
        )

    def _start(self) -> subprocess.Popen[bytes]:
        threads = str(self.learned.kept.threads)
        environment = worker_environment((), 1, self._folder)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.run.scorer"],
            cwd=self._folder,
            env={**environment, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # an interrupt from the keyboard is ours alone
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, content: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, and what it said last tells why
            self._process.stdin.write(content)
            self._process.stdin.flush()

    def _receive(self, kind: bytes, size: int = TEXT_LIMIT) -> bytes:
        """Read one message of a kind, of exactly ``size`` bytes unless it is text."""
        assert self._process.stdout is not None
        head = _read(self._process.stdout, HEAD)
        if len(head) < HEAD:
            raise DetectorError(self._last_words())
        length = int.from_bytes(head[1:], "little")
        text = head[:1] in (READY, FAILED, UNFIT, MEMORY)
        content = _read(self._process.stdout, min(length, TEXT_LIMIT if text else size))
        if head[:1] == kind and (text or length == len(content) == size):
            return content
        if not text or head[:1] == READY:
            raise DetectorError(f"detector '{self.learned.name}' answered what was not asked")
        reason = printable(content.decode(errors="replace"))
        if head[:1] == UNFIT:
            raise EnvironmentProblem(reason)
        hint = ": use a smaller --batch-size, or another --device" if head[:1] == MEMORY else ""
        raise DetectorError(f"detector '{self.learned.name}' failed: {reason}{hint}")

    def _last_words(self) -> str:
        code = self._process.wait()
        how = f"with signal {-code}" if code < 0 else f"with exit code {code}"
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(self._log.tell() - 4096, 0))
        lines = printable(self._log.read().decode(errors="replace")).strip().splitlines()
        return f"the process of detector '{self.learned.name}' ended {how}: {lines[-1] if lines else 'without a word'}"


def _read(stream: IO[bytes], size: int) -> bytes:
    return stream.read(size) if size else b""


def predict(
    scorer: Scorer,
    images: Sequence[Path],
    cache: Path,
    batch_size: int = 256,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Prediction]:
    """Score images one block after another, in their order; the next block is decoded while one is being scored.

    Args:
        scorer: what scores; started.
        images: files.
        cache: the image cache.
        batch_size: images a block; no score depends on it.
        tell: told how many images are done, and how many there are.

    Yields:
        one prediction for each image, those that cannot be read included.

    Raises:
        DetectorError: the detector failed.

    """
    blocks = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        waiting: list[_Decoded] = []
        done = 0
        for block in [*blocks, ()]:
            decoded = list(threads.map(_decoder(scorer, cache), block))
            yield from _collect(scorer, waiting)
            done += len(waiting)
            tell(done, len(images))
            if squares := [one.square for one in decoded if one.square is not None]:
                scorer.send(np.stack(squares))
            waiting = decoded


def _decoder(scorer: Scorer, cache: Path) -> Callable[[Path], _Decoded]:
    """Return what decodes a file just as a run decodes the images of its task."""
    reader, side = Reader(scorer.learned.task, cache), scorer.learned.config.image_size

    def decode(path: Path) -> _Decoded:
        try:
            if path.exists() and not path.is_file():
                raise ValueError("not a file")  # a pipe would never end
            picture = reader.picture(path, None, reader.content(path, None))
            square = squash(picture, side)
        except Exception as error:  # a decoder may raise anything on a damaged file
            return _Decoded(path, None, problem=str(error) or type(error).__name__)
        if not scorer.maps:
            return _Decoded(path, square)
        picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))  # smaller ones stay as they are
        return _Decoded(path, square, np.asarray(picture))

    return decode


def _collect(scorer: Scorer, block: Sequence[_Decoded]) -> Iterator[Prediction]:
    number = sum(one.square is not None for one in block)
    scores = iter(scorer.receive(number).tolist() if number else [])
    maps = scorer.receive_maps(number) if scorer.maps else iter(())
    for one in block:
        if one.square is None:
            yield Prediction(one.path, None, one.problem)
        else:
            yield Prediction(one.path, next(scores), "", next(maps) if scorer.maps else None, one.picture)
