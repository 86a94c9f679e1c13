"""The lists every pack can use by type: directions and colours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from models.pack import ListValue


def _list(**phrases: str) -> tuple[ListValue, ...]:
    return tuple(
        ListValue(
            value=value.replace("_", " "),
            phrases=(value.replace("_", " "), *filter(None, others.split(", "))),
        )
        for value, others in phrases.items()
    )


_DIRECTION = _list(
    forward="forwards, ahead, straight, straight ahead, straight on, onward, onwards",
    back="backward, backwards",
    left="leftward, leftwards, to the left, to my left",
    right="rightward, rightwards, to the right, to my right",
    up="upward, upwards",
    down="downward, downwards",
)

# The eleven basic colour terms of English (Berlin and Kay, 1969), and those that
# players and artists ask for besides.
_COLOUR = _list(
    red="crimson, scarlet",
    orange="amber",
    yellow="",
    green="emerald, emerald green",
    blue="",
    purple="violet",
    pink="rose",
    brown="",
    black="",
    grey="",
    white="",
    dark_red="maroon, burgundy",
    light_green="lime, lime green",
    dark_green="forest green",
    light_blue="sky blue, baby blue",
    dark_blue="navy, navy blue",
    turquoise="teal, aqua, cyan",
    magenta="fuchsia",
    beige="cream, tan",
    gold="golden",
    silver="",
)

BUILT_IN: Mapping[str, tuple[ListValue, ...]] = MappingProxyType(
    {"direction": _DIRECTION, "colour": _COLOUR}
)
"""Values by the name of their type."""
