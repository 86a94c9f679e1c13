"""What was said: utterance in, transcript out."""

from __future__ import annotations

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
