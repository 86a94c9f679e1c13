"""Photographs, and the pictures that are cut from them.

What calibrates and what judges comes from different photographs: crops of one look too
much alike for either to be news. Photographs are told apart by their bytes and by what
they show, as a second file of the same, or the other half of a stereo pair, is no other
photograph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.pictures import load_pixels
from models.preprocessing import Floats, Pixels, Preprocessing
from quantize.errors import QuantizeError
from quantize.made import sha256_of

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_SIDE, _SHIFT = 32, 5
"""Of the thumbnails that are compared, and how far one may lie beside the other."""
_ALIKE = 0.7
"""Correlation of thumbnails. The halves of a stereo pair are at 0.8, and different
photographs below 0.5."""
_LEAST_SHARE = 0.5
"""Of the shorter side, that a crop has at least."""
LEAST = 2
"""Photographs: one calibrates, the other judges."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photograph:
    """A file, and what it shows."""

    path: Path
    sha256: str
    pixels: Pixels
    shown: npt.NDArray[np.complex64]
    """The spectrum of its thumbnail, of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """A picture in the model's size."""

    source: str
    """The name of its photograph."""
    pixels: Pixels


def load_photographs(folder: Path) -> list[Photograph]:
    """Returns all photographs of a folder, by name.

    Raises:
        QuantizeError: ``pictures_missing``.
        ModelError: As `load_pixels`.
    """
    if not folder.is_dir():
        raise QuantizeError(
            "pictures_missing", f"{folder} is no folder of photographs.", ""
        )
    paths = sorted(one for one in folder.iterdir() if one.suffix.lower() in _ENDINGS)
    if not paths:
        raise QuantizeError(
            "pictures_missing",
            f"There is no photograph in {folder}.",
            f"Put some there: {', '.join(sorted(_ENDINGS))}.",
        )
    found = []
    for path in paths:
        pixels = load_pixels(path)
        found.append(
            Photograph(
                path=path,
                sha256=sha256_of(path),
                pixels=pixels,
                shown=_spectrum(pixels),
            )
        )
    return found


def divided(
    calibration: Sequence[Photograph], evaluation: Sequence[Photograph]
) -> tuple[list[Photograph], list[Photograph]]:
    """Returns what calibrates and what judges.

    Args:
        calibration: The first; where there is no second, every other one judges.
        evaluation: May be empty.

    Raises:
        QuantizeError: ``pictures_few``, ``pictures_same``.
    """
    if not evaluation:
        groups = _groups(calibration)
        if len(groups) < LEAST:
            raise QuantizeError(
                "pictures_few",
                f"{calibration[0].path.parent} shows one thing only: what calibrates "
                "must not judge.",
                "Give photographs of several things, or others with --eval.",
            )
        return (
            [one for group in groups[::2] for one in group],
            [one for group in groups[1::2] for one in group],
        )
    for one in evaluation:
        for other in calibration:
            if _is_same(one, other):
                how = "the same" if one.sha256 == other.sha256 else "nearly the same"
                raise QuantizeError(
                    "pictures_same",
                    f"{one.path} and {other.path} show {how}: what calibrates must "
                    "not judge.",
                    "Leave one of them out.",
                )
    return list(calibration), list(evaluation)


def held_back(
    photographs: Sequence[Photograph],
) -> tuple[Sequence[Photograph], Sequence[Photograph]]:
    """Returns what is calibrated with, and what choices are tried on.

    A third is held back, where there are three that show different things; otherwise
    both are the same photographs, cut elsewhere.
    """
    groups = _groups(photographs)
    if len(groups) < 3:
        return photographs, photographs
    return (
        [one for at, group in enumerate(groups) if at % 3 != 2 for one in group],
        [one for group in groups[2::3] for one in group],
    )


def crops(
    photographs: Sequence[Photograph], how: Preprocessing, n: int, *, seed: int
) -> list[Crop]:
    """Returns pictures in the model's size, by turns from all photographs.

    The first of each is the one that the runtime would make; the others are cut out
    anywhere, larger and smaller, and every second one is mirrored.
    """
    chance = np.random.default_rng(seed)
    found = []
    for at in range(n):
        one = photographs[at % len(photographs)]
        if at < len(photographs):
            pixels = how.placed(one.pixels)
        else:
            pixels = _cut(one.pixels, how, chance)
        found.append(Crop(source=one.path.name, pixels=pixels))
    return found


def numbers(some: Sequence[Crop], how: Preprocessing) -> list[Floats]:
    """Returns pictures as the model is given them, one by one."""
    return [how.numbers(one.pixels) for one in some]


def sha256_of_all(photographs: Sequence[Photograph]) -> str:
    """Returns the hash of all photographs."""
    told = " ".join(one.sha256 for one in photographs)
    return hashlib.sha256(told.encode()).hexdigest()


def _cut(pixels: Pixels, how: Preprocessing, chance: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    most = min(width / how.width, height / how.height)
    by = most * chance.uniform(_LEAST_SHARE, 1)
    wide, high = by * how.width, by * how.height
    left, top = chance.uniform(0, width - wide), chance.uniform(0, height - high)
    cut = Image.fromarray(pixels).resize(
        (how.width, how.height),
        Image.Resampling.BICUBIC,
        box=(left, top, left + wide, top + high),
    )
    found = np.asarray(cut)
    return np.ascontiguousarray(found[:, ::-1]) if chance.random() < 0.5 else found


def _spectrum(pixels: Pixels) -> npt.NDArray[np.complex64]:
    """Returns (rows, columns, 3) the spectrum of a thumbnail, with room for shifts."""
    small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    numbers = np.asarray(small).astype(np.float32)
    numbers -= numbers.mean(axis=(0, 1))
    length = max(float(np.linalg.norm(numbers)), 1e-6)
    found = np.fft.rfft2(numbers / length, (2 * _SIDE, 2 * _SIDE), axes=(0, 1))
    return found.astype(np.complex64)


def _is_alike(one: Photograph, other: Photograph) -> bool:
    """Whether thumbnails correlate, the one beside the other by some pixels."""
    both = (one.shown * other.shown.conj()).sum(axis=2)
    found = np.fft.irfft2(both, (2 * _SIDE, 2 * _SIDE))
    near = np.roll(found, (_SHIFT, _SHIFT), axis=(0, 1))
    return bool(near[: 2 * _SHIFT + 1, : 2 * _SHIFT + 1].max() >= _ALIKE)


def _groups(photographs: Sequence[Photograph]) -> list[list[Photograph]]:
    """Returns photographs, those that show the same together.

    One that shows what two groups show makes one of them.
    """
    groups: list[list[Photograph]] = []
    for one in photographs:
        same = [group for group in groups if any(_is_same(one, o) for o in group)]
        if not same:
            groups.append([one])
            continue
        same[0].extend([*(o for group in same[1:] for o in group), one])
        groups = [group for group in groups if all(group is not o for o in same[1:])]
    return groups


def _is_same(one: Photograph, other: Photograph) -> bool:
    return one.sha256 == other.sha256 or _is_alike(one, other)
