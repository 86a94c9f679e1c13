"""Signs in a scene: rendered text over photographs, and what reads it.

A sign is a plate of one colour with one or two lines of text in another, somewhere on
a photograph, in any of several fonts and sizes; the whole is a little noisy. `Reader`
finds the lines as PP-OCR does, by what the first network says of each pixel, and reads
each with the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession
from PIL import Image, ImageDraw, ImageFont

from models.pictures import load_pixels
from models.preprocessing import Pixels, Preprocessing
from quantize.onnx_session import Array, open_session, run
from quantize.vision.evaluation import as_ctc

SIZES = (18, 22, 27, 33, 40, 48)
"""Heights of letters, in pixels."""
SIDE = 480
"""Of a scene."""
_FONTS = (
    *("", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf"),
    "DejaVuSansMono.ttf",
)
"""Where a file is missing, the one that comes with Pillow is taken, which is the first
anyway."""
WORDS: Sequence[str] = re.findall(
    r"\w+",
    "exit gate north south market station bridge harbour danger closed open tower "
    "library kitchen garden museum tickets platform entrance hospital bakery school "
    "airport stairs lift push pull stop slow private staff only keep left right water "
    "fire alarm rescue camp forest river castle dragon potion armour tavern inn smith "
    "stable quest level boss secret crystal portal engine reactor hangar cargo bay "
    "dock medical lab storage power control armoury shuttle oxygen airlock",
)
FINDS = Preprocessing(
    height=SIDE,
    width=SIDE,
    resize="pad",
    filter="bilinear",
    order="bgr",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
READS = Preprocessing(
    height=48,
    width=320,
    resize="pad",
    fill=(127, 127, 127),
    filter="bilinear",
    order="bgr",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
_IS_TEXT = 0.3
"""From which a pixel counts as text."""
_LEAST_SIDE = 4
_GROWTH = 0.75
"""By how much of its height a found line is made larger: the network is taught lines
that are shrunk."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sign:
    """A scene with a sign."""

    text: str
    pixels: Pixels


def signs(
    photographs: Sequence[Path], words: Sequence[str], n: int, *, seed: int
) -> Iterator[Sign]:
    """Yields scenes, all sizes of letters by turns.

    Args:
        photographs: What is behind the signs.
        words: What stands on them, with numbers.
        n: How many.
        seed: The same signs for the same.
    """
    chance = np.random.default_rng(seed)
    scenes = [load_pixels(path) for path in photographs]
    for at in range(n):
        behind = _behind(scenes[at % len(scenes)], chance)
        size = SIZES[at % len(SIZES)]
        n_lines = 1 + int(chance.random() < 0.4)
        lines = [_line(words, chance, size) for _ in range(n_lines)]
        # Gaps as wide as on signs: narrow ones get lost when they are read.
        written = [line.replace(" ", "  ") for line in lines]
        pixels = _painted(behind, written, size, chance)
        yield Sign(text="\n".join(lines), pixels=pixels)


def _line(words: Sequence[str], chance: np.random.Generator, size: int) -> str:
    n_words = 1 if size > 33 else int(chance.integers(1, 3))
    some = [str(one) for one in chance.choice(words, n_words)]
    if chance.random() < 0.35:
        some.append(str(chance.integers(1, 999)))
    line = " ".join(some)
    styles = (line, line.upper(), line.capitalize())
    return styles[int(chance.integers(len(styles)))]


def _behind(pixels: Pixels, chance: np.random.Generator) -> Image.Image:
    height, width = pixels.shape[:2]
    side = chance.uniform(0.4, 1) * min(height, width)
    left, top = chance.uniform(0, width - side), chance.uniform(0, height - side)
    box = (left, top, left + side, top + side)
    whole = Image.fromarray(pixels)
    return whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)


def _painted(
    behind: Image.Image, lines: Sequence[str], size: int, chance: np.random.Generator
) -> Pixels:
    font = _font(_FONTS[int(chance.integers(len(_FONTS)))], size)
    draw = ImageDraw.Draw(behind)
    boxes = [draw.textbbox((0, 0), line, font=font) for line in lines]
    wide = max(right - left for left, _, right, _ in boxes)
    apart, room = size * 1.6, size * 0.7
    high = apart * (len(lines) - 1) + size
    if wide + 2 * room > SIDE:  # too long for a scene: smaller letters
        smaller = int(size * (SIDE - 2 * room - 1) / wide)
        return _painted(behind, lines, smaller, chance)
    x = chance.uniform(room, SIDE - wide - room)
    y = chance.uniform(room, SIDE - high - room)
    dark = tuple(int(one) for one in chance.integers(0, 90, 3))
    light = tuple(int(one) for one in chance.integers(170, 256, 3))
    plate, ink = (dark, light) if chance.random() < 0.5 else (light, dark)
    draw.rectangle((x - room, y - room, x + wide + room, y + high + room), fill=plate)
    for n, line in enumerate(lines):
        draw.text((x, y + n * apart), line, font=font, fill=ink, anchor="lt")
    noise = chance.normal(0, 5, (SIDE, SIDE, 3))
    found: Pixels = (np.asarray(behind) + noise).clip(0, 255).astype(np.uint8)
    return found


def _font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if name:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            pass
    return ImageFont.load_default(size)


class Reader:
    """Finds lines of text, and reads them.

    Args:
        finds: The network that tells of each pixel whether it is text, as ONNX.
        reads: The one that tells the letters of a line.
        letters: By class; the first class is none.
        threads: How many work.
    """

    def __init__(
        self,
        finds: bytes | Path,
        reads: bytes | Path,
        letters: Sequence[str],
        *,
        threads: int,
    ) -> None:
        self._finds = open_session(finds, threads=threads)
        self._reads = open_session(reads, threads=threads)
        self._letters = letters

    def read(self, pixels: Pixels) -> str:
        """Returns the text of a scene, line by line."""
        lines = [self.line(one) for one in self.lines(pixels)]
        return "\n".join(" ".join(line.split()) for line in lines)

    def lines(self, pixels: Pixels) -> list[Pixels]:
        """Returns the lines of a scene, from top to bottom."""
        (found,) = self._given(self._finds, FINDS.prepared(pixels))
        return [
            pixels[top:bottom, left:right]
            for top, bottom, left, right in _boxes(found[0, 0] > _IS_TEXT)
        ]

    def line(self, pixels: Pixels) -> str:
        """Returns the text of a line."""
        (steps,) = self._given(self._reads, READS.prepared(pixels))
        return "".join(self._letters[one] for one in as_ctc(steps[0]))

    def _given(self, session: InferenceSession, array: Array) -> list[Array]:
        return run(session, {session.get_inputs()[0].name: array})


def _boxes(is_text: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Returns (top, bottom, left, right) of lines, made larger as PP-OCR does."""
    found = []
    for top, bottom in _runs(np.any(is_text, axis=1)):
        left, right = _ends(np.any(is_text[top:bottom], axis=0))
        if min(bottom - top, right - left) < _LEAST_SIDE:
            continue
        more = round((bottom - top) * _GROWTH / 2) + 1
        height, width = is_text.shape
        found.append(
            (
                max(0, top - more),
                min(height, bottom + more),
                max(0, left - more),
                min(width, right + more),
            )
        )
    return found


def _runs(row: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Returns where something begins and where it ends, one after the other."""
    edges = np.flatnonzero(np.diff(np.r_[False, row, False].astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _ends(row: npt.NDArray[np.bool_]) -> tuple[int, int]:
    places = np.flatnonzero(row)
    return int(places[0]), int(places[-1]) + 1
