"""BERT's uncased WordPiece: text in, numbers of word pieces out.

The library that does it for any model takes 0.2 s to load and holds up every other
thread as long. This one differs in one point: a text is never more than text, so that
``[SEP]`` in it is three pieces and not the end of a sentence.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

MAX_WORD_CHARS = 100
"""A longer word is one unknown piece, as the model was trained."""
_UNKNOWN, _BEGIN, _END = "[UNK]", "[CLS]", "[SEP]"
_CONTINUES = "##"
_REPLACED = "\ufffd"
_SPACES = "\t\n\r"
_DROPPED = frozenset(("Cc", "Cf", "Co", "Cs"))
"""Control, format, private, surrogate; characters yet to be assigned stay."""
# Where no spaces stand between words: every character is a word.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPieces:
    """A vocabulary of word pieces.

    Args:
        pieces: In order of their numbers.

    Raises:
        KeyError: It lacks one of the special pieces.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self._numbers = {piece: number for number, piece in enumerate(pieces)}
        self._unknown = self._numbers[_UNKNOWN]
        self._begin = self._numbers[_BEGIN]
        self._end = self._numbers[_END]

    @classmethod
    def load(cls, path: Path) -> WordPieces:
        """Returns the vocabulary of a ``vocab.txt``.

        Raises:
            OSError: It cannot be read.
            ValueError: It is not UTF-8.
            KeyError: It lacks one of the special pieces.
        """
        return cls(path.read_text(encoding="utf-8").split("\n"))

    def __len__(self) -> int:
        return len(self._numbers)

    def encode(self, text: str, *, max_pieces: int) -> list[int]:
        """Returns the numbers of a text's pieces between those of beginning and end.

        Pieces beyond ``max_pieces``, these two included, are left out.
        """
        numbers = [self._begin]
        for word in _words(text):
            if len(numbers) >= max_pieces:
                break
            numbers += self._pieces(word)
        return [*numbers[: max_pieces - 1], self._end]

    def _pieces(self, word: str) -> list[int]:
        """Returns the longest piece the word begins with, then that of the rest."""
        if len(word) > MAX_WORD_CHARS:
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = _CONTINUES if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start = end
        return found


def _words(text: str) -> list[str]:
    """Returns words and marks of punctuation in lower case and without accents."""
    if not text.isascii():
        text = _plain(text)
    spaced = (f" {c} " if _is_mark(c) else c for c in text if not _is_dropped(c))
    # One by one: a word's last sigma is like any other.
    return "".join(map(str.lower, spaced)).split()


def _plain(text: str) -> str:
    """Returns the text without accents, ideographs standing alone."""
    kept = "".join(
        f" {c} " if _is_ideograph(c) else c for c in text if not _is_dropped(c)
    )
    decomposed = unicodedata.normalize("NFD", kept)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def _is_dropped(c: str) -> bool:
    return c == _REPLACED or (c not in _SPACES and unicodedata.category(c) in _DROPPED)


def _is_ideograph(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in _IDEOGRAPHS)


def _is_mark(c: str) -> bool:
    if c.isascii():
        return c.isprintable() and not c.isalnum() and c != " "
    return unicodedata.category(c).startswith("P")
