"""Units a spoken number can have, and how they convert."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit of measure."""

    symbol: str
    """How packs write it."""
    dimension: str
    """Units of one dimension convert into each other."""
    scale: float
    """Size in the dimension's first unit."""
    words: tuple[str, ...]
    """How players say it: singular, British spelling."""
    plurals: tuple[str, ...] = ()
    """Plurals that do not end in s."""


_UNITS = (
    Unit(symbol="m", dimension="length", scale=1.0, words=("metre",)),
    Unit(symbol="cm", dimension="length", scale=0.01, words=("centimetre",)),
    Unit(symbol="mm", dimension="length", scale=0.001, words=("millimetre",)),
    Unit(symbol="km", dimension="length", scale=1_000.0, words=("kilometre",)),
    Unit(
        symbol="in",
        dimension="length",
        scale=0.0254,
        words=("inch",),
        plurals=("inches",),
    ),
    Unit(
        symbol="ft",
        dimension="length",
        scale=0.3048,
        words=("foot",),
        plurals=("feet",),
    ),
    Unit(symbol="yd", dimension="length", scale=0.9144, words=("yard",)),
    Unit(symbol="mi", dimension="length", scale=1_609.344, words=("mile",)),
    Unit(symbol="deg", dimension="angle", scale=1.0, words=("degree",)),
    Unit(symbol="rad", dimension="angle", scale=180 / math.pi, words=("radian",)),
    Unit(symbol="turn", dimension="angle", scale=360.0, words=("turn",)),
    Unit(symbol="s", dimension="time", scale=1.0, words=("second",)),
    Unit(symbol="ms", dimension="time", scale=0.001, words=("millisecond",)),
    Unit(symbol="min", dimension="time", scale=60.0, words=("minute",)),
    Unit(symbol="h", dimension="time", scale=3_600.0, words=("hour",)),
    Unit(symbol="%", dimension="percentage", scale=1.0, words=("percent",)),
)

UNITS = {unit.symbol: unit for unit in _UNITS}


_ORDINARY_WORDS = frozenset(("in",))


def conversions(symbol: str) -> dict[str, float]:
    """Returns, for each word of the unit's dimension, its size in the unit.

    Symbols count as words, as in "10 m", unless they are ordinary words.
    """
    wanted = UNITS[symbol]
    return {
        word: unit.scale / wanted.scale
        for unit in _UNITS
        if unit.dimension == wanted.dimension
        for word in {*unit.words, unit.symbol} - _ORDINARY_WORDS
    }
