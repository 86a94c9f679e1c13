"""What the words of a slot can be: normalised words in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from edge.normalise import words_of
from edge.number_words import number_at
from models.pack import RangeList, Value
from models.units import conversions

MAX_TEXT_WORDS = 20
MAX_TEXT_CHARS = 120
MAX_VALUES_TOLD = 6
"""Of a list, to the language model; its constraint holds all of them."""

Ending = tuple[int, Value | None]
"""Where a phrase ends, and its value: None where that is the words themselves."""


class SlotWords(Protocol):
    """The phrases and values of one list, as they are now."""

    @property
    def is_free(self) -> bool:
        """Whether any words do, so that they tell nothing about the intent."""

    def endings(self, words: Sequence[str], start: int) -> Iterable[Ending]:
        """Returns where phrases that begin at ``start`` end, shortest first."""

    def goes_on(self, words: Sequence[str], start: int) -> bool:
        """Returns whether a phrase begins with all words from ``start`` and goes on.

        True where in doubt.
        """

    def schema(self) -> dict[str, object] | None:
        """Returns the JSON schema of the values; None where there are none."""

    def accepts(self, value: object) -> bool:
        """Returns whether the schema allows a value."""

    @property
    def summary(self) -> str:
        """The values in a few words; empty where there are none."""


@dataclass(slots=True)
class _Step:
    below: dict[str, _Step] = field(default_factory=dict)
    value: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Phrases:
    """A few phrases, each with its value."""

    values: tuple[str, ...]
    _root: _Step

    @classmethod
    def build(cls, phrases: Iterable[tuple[str, str]]) -> Phrases:
        """Returns the words of (phrase, value) pairs; the first of two equals wins."""
        root = _Step()
        values: dict[str, None] = {}
        for phrase, value in phrases:
            step = root
            for word in words_of(phrase):
                step = step.below.setdefault(word, _Step())
            if step is not root:
                step.value = step.value or value
                values[value] = None
        return cls(tuple(values), root)

    @property
    def is_free(self) -> bool:
        """Returns False: only the phrases do."""
        return False

    def endings(self, words: Sequence[str], start: int) -> Iterable[Ending]:
        """Returns where phrases that begin at ``start`` end, shortest first."""
        found: list[Ending] = []
        step: _Step | None = self._root
        for at in range(start, len(words)):
            step = step.below.get(words[at]) if step else None
            if step is None:
                break
            if step.value is not None:
                found.append((at + 1, step.value))
        return found

    def goes_on(self, words: Sequence[str], start: int) -> bool:
        """Returns whether a phrase begins with all words from ``start`` and goes on."""
        step: _Step | None = self._root
        for word in words[start:]:
            step = step.below.get(word) if step else None
        return step is not None and bool(step.below)

    def schema(self) -> dict[str, object] | None:
        """Returns an enumeration."""
        return {"enum": list(self.values)} if self.values else None

    def accepts(self, value: object) -> bool:
        """Returns whether it is one of the values."""
        return value in self.values

    @property
    def summary(self) -> str:
        """Returns the first of the values."""
        more = "|..." if len(self.values) > MAX_VALUES_TOLD else ""
        return "|".join(self.values[:MAX_VALUES_TOLD]) + more


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A number within bounds, with or without a unit."""

    low: float
    high: float
    factors: Mapping[str, float]
    """Size of each unit that may be spoken; empty for a bare number."""

    @classmethod
    def build(cls, declared: RangeList) -> Numbers:
        """Returns the numbers of a range."""
        factors = conversions(declared.unit) if declared.unit else {}
        return cls(declared.low, declared.high, MappingProxyType(factors))

    @property
    def is_free(self) -> bool:
        """Returns False: only numbers do."""
        return False

    def endings(self, words: Sequence[str], start: int) -> Iterable[Ending]:
        """Returns where the longest number from ``start`` on ends, unit included."""
        sign = 1
        if self.low < 0 and words[start] in ("minus", "negative"):
            sign, start = -1, start + 1
        if self.factors:
            spoken = self._measured(words, start)
        else:
            number = number_at(words, start)
            spoken = [number] if number else []
        found: list[Ending] = []
        for end, value in spoken:
            rounded = round(sign * value, 6)
            if self.low <= rounded <= self.high:
                whole = int(rounded)
                found.append((end, whole if whole == rounded else rounded))
        return found

    def _measured(self, words: Sequence[str], start: int) -> list[tuple[int, float]]:
        """Ten metres, a metre, half a metre, a couple of metres, a metre and a half."""

        def word(at: int) -> str:
            return words[at] if at < len(words) else ""

        number = number_at(words, start)
        if number is None:
            if word(start) not in ("a", "an"):
                return []
            number = (start + 1, 1)
        end, value = number
        if word(end) == "of":
            end += 1
        if value < 1 and word(end) in ("a", "an"):
            end += 1
        factor = self.factors.get(word(end))
        if factor is None:
            return []
        found = [(end + 1, value * factor)]
        if word(end + 1) == "and" and word(end + 2) == "a":
            more = number_at(words, end + 2)
            if more and more[1] < 1:
                found.append((more[0], (value + more[1]) * factor))
        return found

    def goes_on(self, words: Sequence[str], start: int) -> bool:
        """Returns whether a number or its unit may still come to an end.

        Not where a unit was said, although a half may follow: people say it first.
        """
        if self.low < 0 and words[start] in ("minus", "negative"):
            start += 1
        if start == len(words) or list(words[start:]) in (["a"], ["an"]):
            return True
        number = number_at(words, start)
        return (
            number is not None
            and number[0] >= len(words) - 1
            and not any(word in self.factors for word in words[start:])
        )

    def schema(self) -> dict[str, object] | None:
        """Returns a number with its bounds."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def accepts(self, value: object) -> bool:
        """Returns whether it is a number within the bounds."""
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    @property
    def summary(self) -> str:
        """Returns the bounds."""
        return f"{self.low:g}-{self.high:g}"


@dataclass(frozen=True, slots=True, eq=False)
class AnyWords:
    """Whatever is said, up to a length."""

    @property
    def is_free(self) -> bool:
        """Returns True."""
        return True

    def endings(self, words: Sequence[str], start: int) -> Iterable[Ending]:
        """Returns every end from one word on."""
        last = min(len(words), start + MAX_TEXT_WORDS)
        return [(end, None) for end in range(start + 1, last + 1)]

    def goes_on(self, words: Sequence[str], start: int) -> bool:
        """Returns True: there can always be more."""
        del words, start
        return True

    def schema(self) -> dict[str, object] | None:
        """Returns a string of bounded length."""
        return {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS}

    def accepts(self, value: object) -> bool:
        """Returns whether it is a text of that length."""
        return isinstance(value, str) and 1 <= len(value) <= MAX_TEXT_CHARS

    @property
    def summary(self) -> str:
        """Returns what it is."""
        return "text"
