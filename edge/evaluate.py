"""How well something was recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.normalise import words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WordErrors:
    """Words that were substituted, left out or put in, of those really said."""

    n_errors: int
    n_words: int
    """In the reference."""

    @property
    def rate(self) -> float:
        """Word error rate; above 1 where more was heard than was said."""
        return self.n_errors / max(1, self.n_words)


def word_errors(reference: str, heard: str) -> WordErrors:
    """Returns the word errors after normalisation, which makes "10" "ten"."""
    said = words_of(reference)
    return WordErrors(n_errors=_distance(said, words_of(heard)), n_words=len(said))


def _distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Returns the least number of edits between two sequences (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, wanted in enumerate(a, 1):
        above, row = row, [i]
        for j, found in enumerate(b, 1):
            row.append(
                min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (wanted != found))
            )
    return row[-1]
