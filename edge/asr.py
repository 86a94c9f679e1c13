"""What was said: utterance in, transcript out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from edge.vad import Utterance
from models.errors import HeadsideError


class AsrError(HeadsideError):
    """The recogniser could not be loaded or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One recognised word."""

    text: str
    start_s: float
    """Audio-sample time."""
    end_s: float
    """Audio-sample time."""
    confidence: float
    """In [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What the recogniser heard in one utterance."""

    text: str
    """The best hypothesis; empty where nothing was understood."""
    alternatives: tuple[str, ...] = ()
    """Further hypotheses, best first, without ``text``."""
    words: tuple[Word, ...] = ()
    """With times, where the recogniser was asked for them."""
    language: str = "en"
    """ISO 639-1."""
    confidence: float = 1.0
    """In [0, 1]: the mean probability of a token."""


class Recogniser(Protocol):
    """Turns speech into text."""

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Returns what was said."""

    def close(self) -> None:
        """Frees the model."""


_MIN_LOOP_WORDS = 3
"""A shorter phrase said twice is how people speak: "go go", "stop it stop it"."""
_MIN_REPEATS = 4


def is_loop(text: str) -> bool:
    """Returns whether a transcript looks like a decoder that repeats itself.

    True where the whole text is one phrase of three words or more said again and again,
    or where any phrase is said four times in a row.
    """
    words = re.findall(r"\w+", text.lower())
    for n in range(1, len(words) // 2 + 1):
        whole = len(words) % n == 0 and words == words[:n] * (len(words) // n)
        if whole and n >= _MIN_LOOP_WORDS:
            return True
        repeated = [a == b for a, b in zip(words, words[n:], strict=False)]
        if _longest_run(repeated) >= n * (_MIN_REPEATS - 1):
            return True
    return False


def _longest_run(flags: list[bool]) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest
