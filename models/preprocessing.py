"""What is done to a picture before a vision model sees it, for both rooms.

A model that is given BGR for RGB, or another mean, still answers, and answers worse. So
what was right when it was measured is saved beside it, and is what the runtime does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.disk import write_whole
from models.table import Table

Pixels = npt.NDArray[np.uint8]
"""(height, width, 3), red, green and blue."""
Floats = npt.NDArray[np.float32]

FILE = "preprocess.toml"
RESIZES = ("crop", "stretch", "pad")
ORDERS = ("rgb", "bgr")
LAYOUTS = ("nchw", "nhwc")
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
_CODE = "preprocess_invalid"
_FORMAT = 1
_KEYS = (
    *("format", "size", "resize", "keep", "fill", "filter", "order", "scale", "mean"),
    *("std", "layout"),
)
_MOST_SIDE = 4096
_MOST_NUMBER = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From pixels to what a model is given: (pixels * scale - mean) / std."""

    height: int
    width: int
    resize: str = "crop"
    """``crop``: the middle of the picture, in the model's shape. ``stretch``: all of
    it, out of shape. ``pad``: all of it, in shape, at the top left of ``fill``."""
    keep: float = 1.0
    """Share of the middle that is kept by ``crop``: 0.875 for many classifiers."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """Red, green and blue of what ``pad`` puts beside a picture."""
    filter: str = "bicubic"
    order: str = "rgb"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In the order of ``order``."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    layout: str = "nchw"

    def placed(self, pixels: Pixels) -> Pixels:
        """Returns a picture in the model's size, (height, width, 3)."""
        picture = Image.fromarray(pixels)
        width, height = picture.size
        how = FILTERS[self.filter]
        if self.resize == "stretch":
            return np.asarray(picture.resize((self.width, self.height), how))
        if self.resize == "pad":
            by = min(self.width / width, self.height / height)
            inside = max(1, round(width * by)), max(1, round(height * by))
            whole = Image.new("RGB", (self.width, self.height), self.fill)
            whole.paste(picture.resize(inside, how))
            return np.asarray(whole)
        by = min(width / self.width, height / self.height) * self.keep
        wide, high = self.width * by, self.height * by
        # Halves are rounded: a hair outside of the picture would be refused.
        left, top = max(0.0, (width - wide) / 2), max(0.0, (height - high) / 2)
        box = left, top, min(width, left + wide), min(height, top + high)
        return np.asarray(picture.resize((self.width, self.height), how, box=box))

    def numbers(self, placed: Pixels) -> Floats:
        """Returns a picture that has the model's size as the model is given it.

        Returns:
            (1, 3, height, width), or (1, height, width, 3) as ``layout`` says.
        """
        ordered = placed[..., ::-1] if self.order == "bgr" else placed
        mean, std = (np.array(one, np.float32) for one in (self.mean, self.std))
        found = (ordered.astype(np.float32) * np.float32(self.scale) - mean) / std
        if self.layout == "nchw":
            found = found.transpose(2, 0, 1)
        return np.ascontiguousarray(found[None])

    def prepared(self, pixels: Pixels) -> Floats:
        """Returns any picture as the model is given it."""
        return self.numbers(self.placed(pixels))


def load_preprocessing(path: Path) -> Preprocessing:
    """Return what a TOML file says.

    Raises:
        models.errors.ModelError: `preprocess_invalid`, with the file and the key.
    """
    table = Table.load(path, code=_CODE)
    table.only(_KEYS)
    given = table.value("format")
    if given is not None and (isinstance(given, bool) or given != _FORMAT):
        raise table.error(f"format must be {_FORMAT}")
    usual = Preprocessing(height=1, width=1)
    height, width = _sizes(table)
    found = Preprocessing(
        height=height,
        width=width,
        resize=_one_of(table, "resize", RESIZES, usual.resize),
        keep=_number(table, "keep", usual.keep),
        fill=_colour(table, "fill", usual.fill),
        filter=_one_of(table, "filter", tuple(FILTERS), usual.filter),
        order=_one_of(table, "order", ORDERS, usual.order),
        scale=_number(table, "scale", usual.scale),
        mean=_three(table, "mean", usual.mean),
        std=_three(table, "std", usual.std),
        layout=_one_of(table, "layout", LAYOUTS, usual.layout),
    )
    if not 0 < found.keep <= 1:
        raise table.error("keep must be above 0 and at most 1")
    if np.float32(found.scale) <= 0 or np.float32(min(found.std)) <= 0:
        raise table.error("scale and std must be above 0")
    return found


def save_preprocessing(path: Path, found: Preprocessing) -> None:
    """Writes it, whole or not at all; the same bytes for the same."""
    told = {"format": _FORMAT, "size": [found.height, found.width], **asdict(found)}
    lines = [
        f"{key} = {json.dumps(value)}"
        for key, value in told.items()
        if key not in ("height", "width")
    ]
    write_whole(path, "\n".join(lines) + "\n")


def _sizes(table: Table) -> tuple[int, int]:
    value = table.value("size")
    if not isinstance(value, list) or len(value) != 2:
        raise table.error("size must be [height, width]")
    for side in value:
        is_whole = isinstance(side, int) and not isinstance(side, bool)
        if not is_whole or not 1 <= side <= _MOST_SIDE:
            raise table.error(f"size must be two numbers from 1 to {_MOST_SIDE}")
    return value[0], value[1]


def _number(table: Table, key: str, otherwise: float) -> float:
    value = _finite(otherwise if key not in table else table.value(key))
    if value is None:
        raise table.error(f"{key} must be a number")
    return value


def _three(
    table: Table, key: str, otherwise: tuple[float, float, float]
) -> tuple[float, float, float]:
    if key not in table:
        return otherwise
    value = table.value(key)
    if not isinstance(value, list) or len(value) != 3:
        raise table.error(f"{key} must be three numbers")
    first, second, third = map(_finite, value)
    if first is None or second is None or third is None:
        raise table.error(f"{key} must be three numbers")
    return first, second, third


def _colour(
    table: Table, key: str, otherwise: tuple[int, int, int]
) -> tuple[int, int, int]:
    found = _three(table, key, otherwise)
    red, green, blue = map(int, found)
    if (red, green, blue) != found or not all(0 <= one <= 255 for one in found):
        raise table.error(f"{key} must be three whole numbers from 0 to 255")
    return red, green, blue


def _finite(value: object) -> float | None:
    """Returns a number that float32 can hold, none for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) <= _MOST_NUMBER else None


def _one_of(table: Table, key: str, names: Sequence[str], otherwise: str) -> str:
    value = table.text(key, default=otherwise)
    if value not in names:
        raise table.error(f"{key} must be one of {', '.join(names)}")
    return value
