"""Photographs from files: three colours in eight bits, upright, or why not.

What is grey, transparent, for print or of sixteen bits is refused and not converted: a
model that is measured on what a converter made of it is measured on something else.
"""

from __future__ import annotations

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
        with Image.open(path) as picture:
            if picture.width * picture.height > most_pixels:
                raise ModelError(
                    "picture_huge",
                    f"{path} has {picture.width} x {picture.height} pixels.",
                    f"Make it smaller than {most_pixels // 10**6} million.",
                )
            _require_rgb(picture, path)
            return np.asarray(_upright(picture).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ModelError(
            "picture_unreadable",
            f"{path} cannot be read as a picture: {error}",
            "Give a whole PNG, JPEG or WebP file.",
        ) from error


_MODES = {
    **dict.fromkeys(("1", "L", "LA", "La"), "grey"),
    **dict.fromkeys(("I", "I;16", "I;16B", "I;16L", "F"), "of 16 bits or more"),
    **dict.fromkeys(("RGBA", "RGBa", "PA"), "partly transparent"),
    "CMYK": "CMYK, for print",
}


def _require_rgb(picture: Image.Image, path: Path) -> None:
    if picture.mode in ("RGB", "P", "YCbCr"):
        return
    what = _MODES.get(picture.mode, f"of the kind {picture.mode}")
    raise ModelError(
        "picture_mode",
        f"{path} is {what}; pictures of three colours in eight bits are wanted.",
        "Convert it as the camera of the game would give it, or leave it out.",
    )


def _upright(picture: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(picture)
