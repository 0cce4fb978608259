"""A contact sheet of suspect pairs, so that eyes can judge them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from bench.contracts import TaskSpec
from bench.data.audit.duplicates import Pair
from bench.data.audit.report import Audit, name
from bench.data.manifest import Entry
from bench.data.reading import Reader
from bench.files import write_atomically

HEIGHT, WIDTH, GAP, TEXT = 160, 248, 8, 34
PAIRS_ACROSS = 3
LIMIT = 60


def draw_sheet(spec: TaskSpec, found: Audit, cache: Path, path: Path) -> int:
    """Draw the pairs, leaks into test first, each under its kind, similarity, roles and names.

    Returns:
        how many pairs were drawn: the first 60 at most.

    Raises:
        StorageError: the file cannot be written.

    """
    pairs = sorted(found.duplicates, key=_leaks_first)[:LIMIT]
    reader = Reader(spec, cache)
    across, rows = min(PAIRS_ACROSS, max(len(pairs), 1)), max(-(-len(pairs) // PAIRS_ACROSS), 1)
    cell_width, cell_height = 2 * WIDTH + 3 * GAP, HEIGHT + 2 * TEXT + GAP
    sheet = Image.new("RGB", (across * cell_width, rows * cell_height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    if not pairs:
        pen.text((GAP, GAP), "no pairs", "black", font)
    for number, pair in enumerate(pairs):
        left, top = number % across * cell_width + GAP, number // across * cell_height
        flip = f", flipped: {pair.flip}" if pair.flip else ""
        pen.text((left, top + 3), f"{pair.kind} {pair.similarity:.3f}{flip}", "black", font)
        for side, entry in enumerate((pair.a, pair.b)):
            x = left + side * (WIDTH + GAP)
            sheet.paste(_picture(reader, entry), (x, top + TEXT // 2))
            caption = f"{entry.role}: {name(found, entry)}"
            for line, start in enumerate(range(0, min(len(caption), 80), 40)):
                pen.text((x, top + TEXT // 2 + HEIGHT + 2 + 13 * line), caption[start : start + 40], "black", font)
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_atomically(path, content.getvalue())
    return len(pairs)


def _leaks_first(pair: Pair) -> tuple[bool, bool, float]:
    return pair.a.role == pair.b.role, "test" not in (pair.a.role, pair.b.role), -pair.similarity


def _picture(reader: Reader, entry: Entry) -> Image.Image:
    picture = reader.picture(entry.path, entry.member, reader.content(entry.path, entry.member))
    return ImageOps.pad(picture, (WIDTH, HEIGHT), color=40).convert("RGB")
