"""Photographs from files: three colours in eight bits, upright, or why not.

What is grey, transparent, for print or of sixteen bits is refused and not converted: a
model that is measured on what a converter made of it is measured on something else.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from models.errors import ModelError
from models.preprocessing import Pixels


def load_pixels(path: Path, *, most_pixels: int = 64_000_000) -> Pixels:
    """Return a photograph, upright.

    Raises:
        ModelError: `picture_unreadable`, `picture_huge`, or `picture_mode` where it is
            not of three channels of eight bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _loaded(path, most_pixels)
    except Image.DecompressionBombError as error:
        raise _huge(path, "far too many", most_pixels) from error
    except _UNREADABLE as error:
        raise ModelError(
            "picture_unreadable",
            f"{path} cannot be read as a picture: {_first_line(error)}",
            "Give a whole PNG, JPEG, WebP or BMP file.",
        ) from error


_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""That are read; for others, Pillow would start other programs."""
_UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError),
    *(ArithmeticError, MemoryError, struct.error, zlib.error),
)
"""What Pillow raises on broken files."""


def _loaded(path: Path, most_pixels: int) -> Pixels:
    with Image.open(path, formats=_FORMATS) as picture:
        if picture.width * picture.height > most_pixels:
            raise _huge(path, f"{picture.width} x {picture.height}", most_pixels)
        _require_rgb(picture, path)
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def _huge(path: Path, n: str, most_pixels: int) -> ModelError:
    return ModelError(
        "picture_huge",
        f"{path} has {n} pixels.",
        f"Make it smaller than {most_pixels // 10**6} million.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:400]


_MODES = {
    **dict.fromkeys(("1", "L", "LA", "La"), "grey"),
    **dict.fromkeys(("I", "I;16", "I;16B", "I;16L", "F"), "of 16 bits or more"),
    **dict.fromkeys(("RGBA", "RGBa", "PA"), "partly transparent"),
    "CMYK": "CMYK, for print",
}


def _require_rgb(picture: Image.Image, path: Path) -> None:
    mode = picture.mode
    if "transparency" in picture.info and mode in ("RGB", "P"):
        mode = "RGBA"
    elif mode == "RGB" and any(
        "16" in str(tile.args) for tile in getattr(picture, "tile", ())
    ):
        mode = "I;16"  # which Pillow would cut to eight without a word
    elif mode in ("RGB", "P", "YCbCr"):
        return
    what = _MODES.get(mode, f"of the kind {mode}")
    raise ModelError(
        "picture_mode",
        f"{path} is {what}; pictures of three colours in eight bits are wanted.",
        "Convert it as the camera of the game would give it, or leave it out.",
    )
