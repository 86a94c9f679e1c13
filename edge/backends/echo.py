"""Stand-ins for every model: for tests, and for developers without models.

They understand nothing: speech is what is loud, words are what they are told, and the
character repeats the player.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import numpy as np

from edge.asr import Transcript
from edge.audio import Samples
from edge.llm.model import Generation
from edge.llm.output import reply_prefix
from edge.vad import Utterance

_LOUD = 0.01
"""Root mean square of a frame; -40 dB below full scale."""


class EchoDetector:
    """Takes everything loud for speech."""

    def probabilities(self, frames: Samples) -> Samples:
        """Returns 1 for each loud frame and 0 for the others, (n, 512) -> (n,)."""
        loudness = np.sqrt(np.square(frames).mean(axis=1))  # (n,)
        flags: Samples = (loudness >= _LOUD).astype(np.float32)
        return flags

    def reset(self) -> None:
        """Does nothing: there is no state."""


class EchoRecogniser:
    """Hears the same words in every utterance."""

    def __init__(self, text: str = "hello") -> None:
        self._text = text

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Returns the words it was made with, whatever the utterance."""
        del utterance
        return Transcript(text=self._text)

    def close(self) -> None:
        """Does nothing: there is no model."""


class EchoModel:
    """Answers with the player's own words, and chooses no action."""

    def generate(self, request: Generation, cancel: Event) -> Iterator[str]:
        """Yields the answer word by word."""
        words = request.prompt.messages[-1].text.replace("\\", " ").replace('"', " ")
        spoken = [f"{word} " for word in ("You said:", *words.split())]
        begin = [] if request.prompt.prefix else [reply_prefix(())]
        for piece in (*begin, *spoken, '"}'):
            if cancel.is_set():
                return
            yield piece

    def fits(self, request: Generation) -> bool:
        """Returns True: there is no context to fill."""
        del request
        return True

    def close(self) -> None:
        """Does nothing: there is no model."""
