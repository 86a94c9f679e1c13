"""Stand-ins for every model: for tests, and for developers without models.

They understand nothing: speech is what is loud, words are what they are told, and the
character repeats the player.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Sequence
from threading import Event

import numpy as np

from edge.asr import Bias, Transcript, Word
from edge.audio import Samples
from edge.llm.model import Generation, Prompt, Usage
from edge.llm.output import reply_prefix
from edge.semantic import Vectors
from edge.vad import Utterance

_LOUD = 0.01
"""Root mean square of a frame; -40 dB below full scale."""
_N_DIMENSIONS = 128
"""Of sentence vectors; enough for different words to be nearly at right angles."""
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

    def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        """Returns the words it was made with, whatever the utterance."""
        del utterance, bias
        return Transcript(text=self._text)

    def transcribe(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        """Returns the words it was made with, whatever the utterance."""
        return self.draft(utterance, bias)

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

    def speaking(self, language: str) -> EchoRecogniser:
        """Returns itself: the words are the same in every language."""
        del language
        return self

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


class EchoEncoder:
    """Finds sentences as near to each other as they share words."""

    @property
    def fingerprint(self) -> str:
        """Its name: the same sentence always gets the same vector."""
        return "echo"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Returns a vector of length 1 for each text, whatever the order of words."""
        vectors = np.zeros((len(texts), _N_DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().split() or [""]:
                vectors[row] += _direction(word)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # (n, 1)
        found: Vectors = vectors / np.maximum(lengths, np.float32(1e-6))
        return found

    def close(self) -> None:
        """Does nothing: there is no model."""


def _direction(word: str) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    signs = np.random.default_rng(seed).integers(0, 2, _N_DIMENSIONS) * 2 - 1
    return signs.astype(np.float32)
