"""Pictures for pages, as SVG: axes, marks, and labels that lie on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 704, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 688, 16, 296
"""Of the frame."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis, and where its first and last mark stand in the picture."""

    name: str
    marks: Sequence[float]
    start: float
    end: float
    measure: Callable[[float], float] = float

    def at(self, value: float) -> float:
        """Returns where a value stands."""
        first, last = self.measure(self.marks[0]), self.measure(self.marks[-1])
        share = (self.measure(value) - first) / (last - first)
        return self.start + share * (self.end - self.start)


def round_marks(low: float, high: float) -> list[float]:
    """Returns round numbers, both lying between the first and the last."""
    span = max(high - low, abs(high) / 100) or 1.0
    unit = 10.0 ** floor(log10(span / 4))
    step = next(unit * n for n in (1, 2, 5, 10) if span <= 6 * unit * n)
    first = floor(low / step)
    return [step * n for n in range(first, max(first + 1, ceil(high / step)) + 1)]


def log_marks(low: float, high: float) -> list[float]:
    """Returns the same for an axis of logarithms."""
    digits = (1, 2, 5) if high < 1000 * low else (1,)
    powers = range(floor(log10(low)), ceil(log10(high)) + 2)
    every = [float(f"{digit}e{power}") for power in powers for digit in digits]
    first = max(mark for mark in every if mark <= low)
    last = min(mark for mark in every if mark >= high and mark > first)
    return [mark for mark in every if first <= mark <= last]


def place(px: float, py: float, name: str, taken: Sequence[Box]) -> Box:
    """Returns where a label stands: nearest to its dot, and on nothing else."""
    width = 4.0 + sum(7.5 if letter.isascii() else 13 for letter in name)
    places = [
        (left, middle - 8, left + width, middle + 8)
        for middle in sorted(range(8, BOTTOM - 8, 4), key=lambda at: abs(at - py))
        for left in (px + 9, px - 9 - width)
        if LEFT <= left <= RIGHT - width
    ]
    for place in places:
        left, top, right, bottom = place
        if all(
            right <= other[0]
            or left >= other[2]
            or bottom <= other[1]
            or top >= other[3]
            for other in taken
        ):
            return place
    return places[0]


def svg(told: str, x: Axis, y: Axis, drawn: str) -> str:
    """Returns a picture in the frame of its axes."""
    grid = [
        f'<path class="grid" d="M{LEFT} {y.at(mark):.1f}H{RIGHT}"/>'
        f'<text class="end" x="{LEFT - 8}" y="{y.at(mark) + 4:.1f}">{mark:g}</text>'
        for mark in y.marks
    ]
    grid += [
        f'<path class="grid" d="M{x.at(mark):.1f} {BOTTOM}v5"/>'
        f'<text class="middle" x="{x.at(mark):.1f}" y="{BOTTOM + 19}">{mark:g}</text>'
        for mark in x.marks
    ]
    return (
        f'<small>{y.name}</small><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{told}">{"".join(grid)}<text class="end" x="{RIGHT}" '
        f'y="{HEIGHT - 6}">{x.name}</text>{drawn}</svg>'
    )
