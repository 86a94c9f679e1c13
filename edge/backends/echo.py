"""Stand-ins for every model: for tests, and for developers without models.

They understand nothing: speech is what is loud, words are what they are told, and the
character repeats the player.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from threading import Event

import numpy as np

from edge.asr import Transcript, Word
from edge.audio import Samples
from edge.llm.model import Generation, Prompt, Usage
from edge.llm.output import reply_prefix
from edge.vad import Utterance

_LOUD = 0.01
"""Root mean square of a frame; -40 dB below full scale."""
_SITUATION = re.compile(r"\A(?:\[(?:near|not done): .*\]\n)+")
"""What stands before the player's words, as ``edge.dialogue`` writes it."""


class EchoDetector:
    """Takes everything loud for speech."""

    def probabilities(self, frames: Samples) -> Samples:
        """Returns 1 for each loud frame and 0 for the others, (n, 512) -> (n,)."""
        loudness = np.sqrt(np.square(frames).mean(axis=1))  # (n,)
        flags: Samples = (loudness >= _LOUD).astype(np.float32)
        return flags

    def reset(self) -> None:
        """Does nothing: there is no state."""

    def fresh(self) -> EchoDetector:
        """Returns itself: there is no state."""
        return self


class EchoRecogniser:
    """Hears the same words in every utterance."""

    def __init__(self, text: str = "hello") -> None:
        self._text = text

    def draft(self, utterance: Utterance) -> Transcript:
        """Returns the words it was made with, whatever the utterance."""
        del utterance
        return Transcript(text=self._text)

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Returns the words it was made with, whatever the utterance."""
        return self.draft(utterance)

    def words(self, utterance: Utterance, transcript: Transcript) -> tuple[Word, ...]:
        """Returns the words, spread evenly over the utterance."""
        words = transcript.text.split()
        each_s = utterance.seconds / max(1, len(words))
        return tuple(
            Word(
                text=word,
                start_s=utterance.start_s + n * each_s,
                end_s=utterance.start_s + (n + 1) * each_s,
                confidence=1.0,
            )
            for n, word in enumerate(words)
        )

    def close(self) -> None:
        """Does nothing: there is no model."""


class EchoModel:
    """Answers with the player's own words, and chooses no action."""

    def generate(
        self, request: Generation, cancel: Event
    ) -> Generator[str, None, None]:
        """Yields the answer word by word."""
        said = _SITUATION.sub("", request.prompt.messages[-1].text)
        words = said.replace("\\", " ").replace('"', " ")
        spoken = [f"{word} " for word in ("You said:", *words.split())]
        begin = [] if request.prompt.prefix else [reply_prefix(())]
        for piece in (*begin, *spoken, '"}'):
            if cancel.is_set():
                return
            yield piece

    @property
    def usage(self) -> Usage:
        """Nothing: it costs nothing."""
        return Usage()

    def prepare(self, prompt: Prompt) -> None:
        """Does nothing: there is nothing to read."""
        del prompt

    def fits(self, request: Generation) -> bool:
        """Returns True: there is no context to fill."""
        del request
        return True

    def close(self) -> None:
        """Does nothing: there is no model."""
