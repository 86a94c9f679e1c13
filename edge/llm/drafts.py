"""Guesses at how an answer goes on, which the model then checks many tokens at once.

A pass over eight tokens takes about twice the time of a pass over one. So where an
earlier answer, or the prompt, has the tokens that stand last, what followed them there
is read ahead (prompt lookup: Saxena 2023; Yang et al. 2023). A guessed token counts
only if the model chooses it itself, so guesses decide nothing.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_N_ANSWERS = 16
"""Remembered."""
_N_BEFORE = 16
"""Tokens of the prompt remembered before each, so that the same words are known."""
_N_MATCHED = (24, 12, 6, 3)
"""Tokens that must stand last in both, tried in turn."""
_FIRST_LENGTH = 8
_MAX_LENGTH = 24
_TYPECODE = "i"
_TOKEN_BYTES = array(_TYPECODE).itemsize


@dataclass(slots=True)
class Drafts:
    """What was answered before, and how well it foretold what came.

    Guesses grow while they are right and shrink where they are wrong, so that a model
    that says something new each time loses little.
    """

    max_length: int = _MAX_LENGTH
    """Tokens guessed at once, at most; 0 for no guesses."""
    n_drafted: int = field(init=False, default=0)
    """Guessed in this answer."""
    n_accepted: int = field(init=False, default=0)
    """Of them, those that the model chose itself so far."""
    _answers: deque[bytes] = field(
        init=False, default_factory=lambda: deque(maxlen=_N_ANSWERS)
    )
    _length: int = field(init=False, default=_FIRST_LENGTH)
    _at: int = field(init=False, default=0)
    """Tokens before the latest guess."""
    _n_guessed: int = field(init=False, default=0)
    _n_right: int = field(init=False, default=0)

    def begin(self) -> None:
        """Begins an answer: a guess is worth trying again."""
        self.n_drafted = self.n_accepted = self._n_guessed = 0
        self._length = max(self._length, _FIRST_LENGTH // 2)

    def guess(self, tokens: Sequence[int], n_room: int) -> list[int]:
        """Returns how prompt and answer so far may go on, ``n_room`` tokens at most."""
        self._learn()
        found = self._after(tokens, min(self._length, self.max_length, n_room))
        self._at, self._n_guessed, self._n_right = len(tokens), len(found), 0
        self.n_drafted += len(found)
        return found

    def confirm(self, n_tokens: int) -> None:
        """Takes note that so many tokens, from the prompt's first, were foretold."""
        n_right = max(0, min(n_tokens - self._at, self._n_guessed))
        self.n_accepted += n_right - self._n_right
        self._n_right = n_right

    def _learn(self) -> None:
        if not self._n_guessed:
            return
        if self._n_right == self._n_guessed:
            self._length = min(2 * self._length, self.max_length)
        else:
            self._length = max(self._n_right, self._length // 2)

    def _after(self, tokens: Sequence[int], n_wanted: int) -> list[int]:
        """Returns what followed the latest of the longest matches."""
        if n_wanted <= 0:
            return []
        said = array(_TYPECODE, tokens).tobytes()
        for n in _N_MATCHED:
            last = said[-n * _TOKEN_BYTES :]
            for text in (*reversed(self._answers), said[:-_TOKEN_BYTES]):
                if (at := _last_place(text, last)) >= 0:
                    found = array(_TYPECODE)
                    start = at + len(last)
                    found.frombytes(text[start : start + n_wanted * _TOKEN_BYTES])
                    if found:
                        return found.tolist()
        return []

    def remember(self, tokens: Sequence[int], answer_at: int) -> None:
        """Keeps an answer, given with its prompt, to guess later ones from."""
        start = max(0, answer_at - _N_BEFORE)
        self._answers.append(array(_TYPECODE, tokens[start:]).tobytes())


def _last_place(text: bytes, part: bytes) -> int:
    """Returns where some tokens last are among others, in bytes; -1 for nowhere."""
    at = text.rfind(part)
    while at >= 0 and at % _TOKEN_BYTES:
        at = text.rfind(part, 0, at + len(part) - 1)
    return at
