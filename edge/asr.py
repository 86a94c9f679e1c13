"""What was said: utterance in, transcript out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    is_draft: bool = False
    """The first hypothesis that came: there may be a better, and there are others."""
    n_windows: int = 1
    """How often the sound was encoded: more than once where a short window failed."""


Bias = tuple[str, ...]
"""Phrases that are likely to be said."""


class Recogniser(Protocol):
    """Turns speech into text.

    The three calls for one utterance share what they compute. What is likely to be said
    helps to tell words apart; as many phrases are used as help without delay.
    """

    def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        """Returns what was said, as fast as that can be known; without words."""

    def transcribe(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        """Returns what was said, as well as that can be known; without words."""

    def words(self, utterance: Utterance, transcript: Transcript) -> tuple[Word, ...]:
        """Returns a transcript's words with their times."""

    def speaking(self, language: str) -> Recogniser:
        """Returns what recognises another language on the same model, ISO 639-1.

        Whoever closes either closes both.

        Raises:
            AsrError: ``asr_language``: the model does not know it.
        """

    def close(self) -> None:
        """Frees the model."""


def recognise(
    recogniser: Recogniser,
    utterance: Utterance,
    bias: Bias = (),
    *,
    settles: Callable[[Transcript], bool],
) -> Transcript:
    """Returns what was said, without words; see ``with_words``.

    Args:
        recogniser: Asked for a draft first.
        utterance: The speech.
        bias: What is likely to be said.
        settles: Whether the draft will do; otherwise the better, slower result is made.
    """
    transcript = recogniser.draft(utterance, bias)
    if transcript.is_draft and not settles(transcript):
        transcript = recogniser.transcribe(utterance, bias)
    return transcript


def with_words(
    recogniser: Recogniser, utterance: Utterance, transcript: Transcript
) -> Transcript:
    """Returns a transcript with its words and their times, where it has none yet."""
    if transcript.words or not transcript.text:
        return transcript
    return replace(transcript, words=recogniser.words(utterance, transcript))


_WORD = re.compile(r"\w+(?:['\u2019]+\w+)*")
_MARKS = re.compile(r"[^\w\s]*")
_MIN_LOOP_WORDS = 3
"""A shorter phrase said twice is how people speak: "go go", "stop it stop it"."""
_MIN_REPEATS = 4


def is_loop(text: str) -> bool:
    """Returns whether a transcript looks like a decoder that repeats itself.

    True where the whole text is one phrase of three words or more said again and again,
    or where any phrase is said four times in a row.
    """
    return _loop([match[0].lower() for match in _WORD.finditer(text)]) is not None


def unlooped(text: str) -> str:
    """Returns a text in which no phrase is repeated as ``is_loop`` tells, but once."""
    while True:
        found = list(_WORD.finditer(text))
        loop = _loop([match[0].lower() for match in found])
        if loop is None:
            return text
        start, n, n_repeats = loop
        first_end = found[start + n - 1].end()
        last = start + n * n_repeats
        if last <= len(found):
            text = (text[:first_end] + text[found[last - 1].end() :]).strip()
        else:  # it ends in the middle of a phrase
            marks = _MARKS.match(text, first_end)
            text = text[: marks.end() if marks else first_end].strip()


def _loop(words: list[str]) -> tuple[int, int, int] | None:
    """Returns where a loop begins, its words and how often it comes; None without."""
    for n in range(1, len(words) // 2 + 1):
        n_times = math.ceil(len(words) / n)
        is_cycle = words == (words[:n] * n_times)[: len(words)]
        if n >= _MIN_LOOP_WORDS and is_cycle:
            return 0, n, n_times
        repeated = [a == b for a, b in zip(words, words[n:], strict=False)]
        start, length = _longest_run(repeated)
        if length >= n * (_MIN_REPEATS - 1):
            return start, n, length // n + 1
    return None


def _longest_run(flags: list[bool]) -> tuple[int, int]:
    """Returns where the longest run of true flags begins, and its length."""
    best = (0, 0)
    run = 0
    for at, flag in enumerate(flags):
        run = run + 1 if flag else 0
        if run > best[1]:
            best = (at - run + 1, run)
    return best
