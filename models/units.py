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
    words_zh: tuple[str, ...] = ()
    """How players say it in Mandarin; 百分之 stands before its number."""


_UNITS = (
    Unit(
        symbol="m",
        dimension="length",
        scale=1.0,
        words=("metre",),
        words_zh=("米", "公尺"),
    ),
    Unit(
        symbol="cm",
        dimension="length",
        scale=0.01,
        words=("centimetre",),
        words_zh=("厘米", "公分"),
    ),
    Unit(
        symbol="mm",
        dimension="length",
        scale=0.001,
        words=("millimetre",),
        words_zh=("毫米",),
    ),
    Unit(
        symbol="km",
        dimension="length",
        scale=1_000.0,
        words=("kilometre",),
        words_zh=("公里", "千米"),
    ),
    Unit(
        symbol="in",
        dimension="length",
        scale=0.0254,
        words=("inch",),
        plurals=("inches",),
        words_zh=("英寸",),
    ),
    Unit(
        symbol="ft",
        dimension="length",
        scale=0.3048,
        words=("foot",),
        plurals=("feet",),
        words_zh=("英尺",),
    ),
    Unit(
        symbol="yd", dimension="length", scale=0.9144, words=("yard",), words_zh=("码",)
    ),
    Unit(
        symbol="mi",
        dimension="length",
        scale=1_609.344,
        words=("mile",),
        words_zh=("英里",),
    ),
    Unit(
        symbol="deg", dimension="angle", scale=1.0, words=("degree",), words_zh=("度",)
    ),
    Unit(
        symbol="rad",
        dimension="angle",
        scale=180 / math.pi,
        words=("radian",),
        words_zh=("弧度",),
    ),
    Unit(
        symbol="turn",
        dimension="angle",
        scale=360.0,
        words=("turn",),
        words_zh=("圈", "周"),
    ),
    Unit(
        symbol="s",
        dimension="time",
        scale=1.0,
        words=("second",),
        words_zh=("秒", "秒钟"),
    ),
    Unit(
        symbol="ms",
        dimension="time",
        scale=0.001,
        words=("millisecond",),
        words_zh=("毫秒",),
    ),
    Unit(
        symbol="min",
        dimension="time",
        scale=60.0,
        words=("minute",),
        words_zh=("分钟", "分"),
    ),
    Unit(
        symbol="h",
        dimension="time",
        scale=3_600.0,
        words=("hour",),
        words_zh=("小时", "钟头"),
    ),
    Unit(
        symbol="%",
        dimension="percentage",
        scale=1.0,
        words=("percent",),
        words_zh=("百分之",),
    ),
)

UNITS = {unit.symbol: unit for unit in _UNITS}


_ORDINARY_WORDS = frozenset(("in",))


def conversions(symbol: str, language: str = "en") -> dict[str, float]:
    """Returns, for each word of the unit's dimension, its size in the unit.

    Symbols count as words, as in "10 m", unless they are ordinary words. Mandarin has
    the English words as well, since recognisers write symbols that are read as these.

    Args:
        symbol: The unit.
        language: ISO 639-1.
    """
    wanted = UNITS[symbol]
    return {
        word: unit.scale / wanted.scale
        for unit in _UNITS
        if unit.dimension == wanted.dimension
        for word in {
            *unit.words,
            unit.symbol,
            *(unit.words_zh if language == "zh" else ()),
        }
        - _ORDINARY_WORDS
    }
