"""Draws what `bench_quantize_llm.py` found, for the README.

python benchmarks/bench_quantize_llm.py --json > found.json
python benchmarks/draw_quantize_llm.py found.json quantize/worth.svg
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 380, 300, 56, 30, 44
_COLOURS = {"ours": "#0b6e4f", "theirs": "#b5451b"}
_MARKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def drawn(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns a picture of one panel a source: divergence by size.

    Args:
        found: The methods: `source, name` and what was measured.
    """
    sources = list(dict.fromkeys(name.split(", ")[0] for name in found))
    lows = [one["kl_low"] for one in found.values()]
    highs = [one["kl_high"] for one in found.values()]
    bounds = math.log(0.9 * min(lows)), math.log(1.1 * max(highs))
    box = f"0 0 {_WIDTH * len(sources)} {_HEIGHT}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" font-size="11" viewBox="{box}">',
        "<style>text{font-family:sans-serif}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for n, source in enumerate(sources):
        some = {
            name.split(", ")[1]: one
            for name, one in found.items()
            if name.startswith(f"{source}, ")
        }
        parts.append(f'<g transform="translate({n * _WIDTH} 0)">')
        parts += _panel(source, some, bounds)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    source: str, found: Mapping[str, Any], bounds: tuple[float, float]
) -> Iterator[str]:
    sizes = [float(one["n_bytes"]) / 1e6 for one in found.values()]
    first, last = math.floor(min(sizes) / 5) * 5, math.ceil(max(sizes) / 5) * 5

    def x(size: float) -> float:
        return _LEFT + (size - first) / (last - first) * (_WIDTH - _LEFT - 40)

    def y(kl: float) -> float:
        share = (math.log(kl) - bounds[0]) / (bounds[1] - bounds[0])
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)

    what = f"{source}: divergence from the source, nats per token"
    yield f'<text x="{_LEFT}" y="18">{what}</text>'
    for mark in _MARKS:
        if bounds[0] <= math.log(mark) <= bounds[1]:
            at = f"{y(mark):.1f}"
            yield f'<path d="M{_LEFT} {at}H{_WIDTH - 20}" stroke="#ddd"/>'
            place = f'x="{_LEFT - 6}" y="{at}" dy="4" text-anchor="end"'
            yield f"<text {place}>{mark}</text>"
    for size in range(first, last + 1, 10):
        at = f"{x(size):.1f}"
        yield (
            f'<text x="{at}" y="{_HEIGHT - 26}" text-anchor="middle">{size} MB</text>'
        )
    for name, one in found.items():
        is_ours = name.startswith("ours")
        colour = _COLOURS["ours" if is_ours else "theirs"]
        is_right = one["n_bytes"] / 1e6 > (first + last) / 2
        side, anchor = (-7, "end") if is_right else (7, "start")
        across = x(one["n_bytes"] / 1e6)
        top, middle, bottom = (y(one[f"kl_{of}"]) for of in ("high", "mean", "low"))
        fill = "#fff" if "without" in name or "not" in name else colour
        yield f'<path d="M{across:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}"/>'
        yield (
            f'<circle cx="{across:.1f}" cy="{middle:.1f}" r="4" fill="{fill}" '
            f'stroke="{colour}"/>'
        )
        yield (
            f'<text x="{across + side:.1f}" y="{middle:.1f}" dy="4" font-size="9" '
            f'text-anchor="{anchor}" fill="{colour}">{name}</text>'
        )


def main() -> None:
    """Writes a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("found", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    given.picture.write_text(drawn(json.loads(given.found.read_text())["methods"]))


if __name__ == "__main__":
    main()
