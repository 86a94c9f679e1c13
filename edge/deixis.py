"""Words that mean what the player points at, or what was spoken of last."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum


class Mark(StrEnum):
    """What such a word is looked up by; never a value that the game gets."""

    THAT = "that"
    """A thing that is pointed at, or else was spoken of."""
    IT = "it"
    """A thing that was spoken of, or else is pointed at."""
    THERE = "there"
    """A spot that is pointed at."""


_PHRASES = {
    "en": {
        Mark.THAT: (
            "that",
            "this",
            "that one",
            "this one",
            "that thing",
            "this thing",
            "that over there",
            "that one over there",
            "this one here",
            "these",
            "those",
        ),
        Mark.IT: ("it", "them", "the same one", "the same"),
        Mark.THERE: (
            "there",
            "here",
            "over there",
            "over here",
            "right there",
            "right here",
            "that spot",
            "this spot",
            "that place",
            "this place",
        ),
    },
    "zh": {
        Mark.THAT: ("那个", "这个", "那", "这", "那个东西", "这个东西", "这边那个"),
        Mark.IT: ("它", "它们"),
        Mark.THERE: ("那里", "这里", "那儿", "这儿", "那边", "这边"),
    },
}
_THINGS = (Mark.THAT, Mark.IT)


def deictic_things(language: str) -> Iterator[tuple[str, Mark]]:
    """Yields phrases that stand for a thing."""
    for mark in _THINGS:
        yield from ((phrase, mark) for phrase in _PHRASES[language][mark])


def deictic_spots(language: str) -> Iterator[tuple[str, Mark]]:
    """Yields phrases that stand for a place in space."""
    yield from ((phrase, Mark.THERE) for phrase in _PHRASES[language][Mark.THERE])
