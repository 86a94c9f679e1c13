"""Words as they are compared: without case and marks, numbers as their digits.

Recognisers write one word in several ways ("Five five", "5, 5", "55"); none of them is
an error. English number words are known; of other languages, digits alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_WORD = re.compile(r"[0-9]|[^\W\d_]+(?:'[^\W\d_]+)*")
_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight"),
    *("nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"),
    *("sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: str(n) for n, word in enumerate(_UNITS)}
_BY_TEN = {word: n for n, word in enumerate(_TENS, start=2)}
_MIN_LOOP_WORDS, _MIN_REPEATS = 3, 4


def normalised(text: str) -> list[str]:
    """Returns the words of a text as they are compared.

    "Twelve-ounce, 25!" is 1, 2, ounce, 2, 5.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    found = _WORD.findall(plain)
    words: list[str] = []
    for at, word in enumerate(found):
        if word in _BY_TEN:
            follows = _NUMBERS.get(found[at + 1], "") if at + 1 < len(found) else ""
            is_begun = len(follows) == 1 and follows != "0"
            words += str(_BY_TEN[word]) if is_begun else str(10 * _BY_TEN[word])
        else:
            words += list(_NUMBERS[word]) if word in _NUMBERS else [word]
    return words


def has_loop(text: str) -> bool:
    """Returns whether a text looks like a decoder that repeats itself.

    True where all of it is a phrase of three words or more said again and again, or
    where any phrase is said four times in a row.
    """
    words = normalised(text)
    for n in range(1, len(words) // 2 + 1):
        whole = (words[:n] * (len(words) // n + 1))[: len(words)]
        if n >= _MIN_LOOP_WORDS and whole == words:
            return True
        run = 0
        for one, later in zip(words, words[n:], strict=False):
            run = run + 1 if one == later else 0
            if run >= n * (_MIN_REPEATS - 1) and n > 1:
                return True
            # Digits of one number repeat: a thousand is no loop.
            if n == 1 and run >= _MIN_REPEATS - 1 and not one.isdigit():
                return True
    return False


class _Step(IntEnum):
    """How the alignment of two lists goes on."""

    SAME, OTHER, MISSING, ADDED = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """Two lists of words, one laid along the other at the least number of edits."""

    same: tuple[tuple[int, int], ...]
    """Places of words that both have."""
    n_substituted: int
    n_deleted: int
    """In the reference only."""
    n_inserted: int
    """In the other only."""

    @property
    def n_errors(self) -> int:
        """Edits, all together."""
        return self.n_substituted + self.n_deleted + self.n_inserted


def align(reference: Sequence[object], other: Sequence[object]) -> Aligned:
    """Returns how two lists of words lie along each other (Levenshtein, 1966)."""
    steps: list[list[_Step]] = [[_Step.ADDED] * (len(other) + 1)]
    costs = list(range(len(other) + 1))
    for row, word in enumerate(reference, start=1):
        above, costs = costs, [row]
        line = [_Step.MISSING]
        for column, heard in enumerate(other, start=1):
            ways = (
                (above[column - 1] + (word != heard), _Step.OTHER),
                (above[column] + 1, _Step.MISSING),
                (costs[column - 1] + 1, _Step.ADDED),
            )
            cost, step = min(ways)
            costs.append(cost)
            line.append(_Step.SAME if step is _Step.OTHER and word == heard else step)
        steps.append(line)
    counts = dict.fromkeys(_Step, 0)
    same: list[tuple[int, int]] = []
    row, column = len(reference), len(other)
    while row or column:
        step = steps[row][column]
        counts[step] += 1
        row -= step is not _Step.ADDED
        column -= step is not _Step.MISSING
        if step is _Step.SAME:
            same.append((row, column))
    return Aligned(
        same=tuple(reversed(same)),
        n_substituted=counts[_Step.OTHER],
        n_deleted=counts[_Step.MISSING],
        n_inserted=counts[_Step.ADDED],
    )
