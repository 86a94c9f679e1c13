"""What a decoder is told before it listens: words that are likely to be said.

Whisper takes the text before its own as something that was said earlier, and spells
what it hears alike (Radford et al. 2022, 2.3). Phrases that bring a new word are told,
joined by commas, without the words that were there before. Where there is no room for
all, rare words come first: the decoder knows common ones. How rare a word is shows in
its tokens, since the vocabulary was made by joining what is frequent first (Sennrich et
al. 2016).
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from pathlib import Path

from edge.asr import Bias
from edge.backends.whisper_tokens import name_of, vocabulary

MAX_TOKENS = 96
"""Each makes every step of the decoder a little slower."""
_BEFORE = "<|startofprev|>"
_PIECE = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?\w+| ?[^\w\s]+")
_N_SPLIT = 50_000
"""Rarity of a word that takes two tokens; of one that takes one, its number."""


class BiasTokens:
    """Turns phrases into the decoder's tokens; what was asked last is remembered.

    Args:
        folder: Of the model.
    """

    def __init__(self, folder: Path) -> None:
        self._numbers = {name: n for n, name in enumerate(vocabulary(folder))}
        self.tokens = lru_cache(maxsize=8)(self._tokens)

    def _tokens(self, bias: Bias) -> tuple[int, ...]:
        """Returns what to put before a prompt; nothing where nothing is told."""
        if not bias:
            return ()
        written = [self._encoded(f" {told},") for told in _new(bias)]
        rarest_first = sorted(
            range(len(written)), key=lambda n: -max(map(self._rarity, written[n]))
        )
        told: set[int] = set()
        n_left = MAX_TOKENS
        for n in rarest_first:
            n_tokens = sum(map(len, written[n]))
            if n_tokens <= n_left:
                told.add(n)
                n_left -= n_tokens
        if not told:
            return ()
        tokens = [t for n in sorted(told) for piece in written[n] for t in piece]
        return (self._numbers[_BEFORE], *tokens[:-1], self._numbers["."])

    def _rarity(self, word: tuple[int, ...]) -> int:
        return _N_SPLIT * (len(word) - 1) + max(word)

    def _encoded(self, text: str) -> list[tuple[int, ...]]:
        """Returns the tokens of each word and mark of a text.

        Of all neighbours that are a token together, those are joined first that the
        vocabulary joined first, which is the order of its numbers.
        """
        return [self._joined(piece) for piece in _PIECE.findall(text)]

    def _joined(self, piece: str) -> tuple[int, ...]:
        parts = list(name_of(piece))
        while len(parts) > 1:
            pairs = [self._numbers.get(a + b) for a, b in itertools.pairwise(parts)]
            known = [
                (number, n) for n, number in enumerate(pairs) if number is not None
            ]
            if not known:
                break
            _, at = min(known)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return tuple(self._numbers[part] for part in parts)


def _new(bias: Bias) -> list[str]:
    """Returns phrases that bring a word, without the words before and after it."""
    known: set[str] = set()
    told: list[str] = []
    for phrase in bias:
        words = phrase.split()
        new = [n for n, word in enumerate(words) if word.lower() not in known]
        if new:
            known.update(word.lower() for word in words)
            told.append(" ".join(words[new[0] : new[-1] + 1]))
    return told
