"""What Whisper's tokens say, from their names alone.

CTranslate2 gives a token as the text that stands for its bytes in GPT-2's vocabulary.
To read that takes a table of 256 characters, where the library that also writes tokens
takes 0.2 s to load, and as long holds up every other thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

_SPECIAL = re.compile(r"<\|.*\|>")
_BEGINS, _TRANSCRIBES = "<|startoftranscript|>", "<|transcribe|>"
_WITHOUT_TIMES = "<|notimestamps|>"
_N_SHIFTED = 256


class SpecialTokens:
    """The tokens that tell a model what to do.

    Args:
        folder: Of the model; holds ``vocabulary.json``, or ``vocabulary.txt``.
        language: ISO 639-1; None for a model that knows only one.
    """

    def __init__(self, folder: Path, language: str | None) -> None:
        numbers = {
            token: number
            for number, token in enumerate(vocabulary(folder))
            if _SPECIAL.fullmatch(token)
        }
        told = [f"<|{language}|>", _TRANSCRIBES] if language else []
        self.begin: list[int] = [numbers[token] for token in (_BEGINS, *told)]
        """What a transcript begins with."""
        self.prompt: list[int] = [*self.begin, numbers[_WITHOUT_TIMES]]
        """The same, for one without times."""


def text_of(tokens: Iterable[str]) -> str:
    """Returns what tokens say, without special ones."""
    said = (token for token in tokens if not _SPECIAL.fullmatch(token))
    return _bytes_of("".join(said)).decode(errors="replace")


def words_of_tokens(tokens: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yields words as a reader sees them, each with the number of its tokens.

    A full stop belongs to the word before, and the space to the one after it.
    """
    word: list[str] = []
    for token in tokens:
        if word and text_of([token])[:1].isspace():
            yield text_of(word), len(word)
            word = []
        word.append(token)
    if word:
        yield text_of(word), len(word)


@lru_cache(maxsize=1)
def vocabulary(folder: Path) -> tuple[str, ...]:
    """Returns the names of a model's tokens, in order of their numbers; read once."""
    listed = folder / "vocabulary.json"
    if listed.is_file():
        return tuple(json.loads(listed.read_bytes()))
    text = (folder / "vocabulary.txt").read_text(encoding="utf-8")
    return tuple(text.split("\n"))


def name_of(text: str) -> str:
    """Returns a text as tokens spell it: a character for each of its bytes."""
    names = {value: character for character, value in _byte_values().items()}
    return "".join(names[value] for value in text.encode())


def _bytes_of(name: str) -> bytes:
    values = _byte_values()
    return bytes(values[character] for character in name if character in values)


@cache
def _byte_values() -> dict[str, int]:
    """Returns the byte for each character of a name.

    As in GPT-2 (Radford et al. 2019, ``bytes_to_unicode``): what can be printed stands
    for itself, and the rest, in order, for the characters from U+0100 on.
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [value for value in range(256) if value not in shown]
    return {chr(value): value for value in shown} | {
        chr(_N_SHIFTED + n): value for n, value in enumerate(hidden)
    }
