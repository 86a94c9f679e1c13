"""How words sound, as numbers: a word in, its sounds out."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.han import is_han
from edge.phonetics.costs import EditCosts, english_costs
from edge.phonetics.dictionary import Dictionary
from edge.phonetics.letters import pronounced
from edge.phonetics.mandarin import mandarin_costs, pronunciations

Form = npt.NDArray[np.int16]
"""(n,) sounds, as positions in ``EditCosts.symbols``."""
Indices = npt.NDArray[np.int32]
_MAX_KNOWN = 20_000
_SHORTEST_PART = 3
"""Letters; shorter parts of a compound are chance."""


def side_by_side(forms: Sequence[Form]) -> tuple[Form, Indices]:
    """Returns (n, longest) forms, -1 after their ends, and (n,) their lengths."""
    lengths = np.array([len(form) for form in forms], np.int32)
    table = np.full((len(forms), max(lengths, default=0)), -1, np.int16)
    for row, form in zip(table, forms, strict=True):
        row[: len(form)] = form
    return table, lengths


class Sounds:
    """The sounds of words, each looked up once.

    Args:
        dictionary: A file in CMUdict's format; without one, spelling alone decides.
        language: ISO 639-1; Chinese characters have sounds in Mandarin alone.
    """

    def __init__(self, dictionary: Path | None = None, language: str = "en") -> None:
        self._dictionary = Dictionary(dictionary) if dictionary else None
        self._speak(language)

    def speaking(self, language: str) -> Sounds:
        """Returns the sounds of another language, from the same dictionary."""
        if language == self.language:
            return self
        other = copy(self)
        other._speak(language)  # noqa: SLF001
        return other

    def _speak(self, language: str) -> None:
        self.language = language
        self.costs: EditCosts = english_costs()
        if language == "zh":  # with names and loanwords among it
            self.costs |= mandarin_costs()
        self._numbers = {symbol: n for n, symbol in enumerate(self.costs.symbols)}
        self._known: dict[str, tuple[Form, ...]] = {}

    def of(self, word: str) -> tuple[Form, ...]:
        """Returns the ways to say a normalised word, the usual one first."""
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[word] = tuple(
                np.array([self._numbers[symbol] for symbol in said], np.int16)
                for said in self._said(word)
                if said
            )
        return found

    def _said(self, word: str) -> tuple[tuple[str, ...], ...]:
        if is_han(word):
            return pronunciations(word) if self.language == "zh" else ()
        return self._listed(word) or self._compound(word) or (pronounced(word),)

    def _listed(self, word: str) -> tuple[tuple[str, ...], ...]:
        return self._dictionary.pronunciations(word) if self._dictionary else ()

    def _compound(self, word: str) -> tuple[tuple[str, ...], ...]:
        """Returns an unlisted word as two listed ones, the first as long as can be."""
        for at in range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
            first = self._listed(word[:at])
            second = self._listed(word[at:]) if first else ()
            if second:
                return ((*first[0], *second[0]),)
        return ()
