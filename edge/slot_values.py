"""What the words of a slot can be: normalised words in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

from edge import number_words_zh
from edge.deixis import Mark
from edge.normalise import words_of
from edge.number_graph import number_graph
from edge.number_graph_zh import number_graph_zh
from edge.number_words import number_at
from edge.word_graph import WordGraph
from models.pack import RangeList, Value
from models.units import conversions

_NEGATIVE = ("minus", "negative", "负")
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


_words_of = lru_cache(maxsize=8192)(words_of)
"""A scene that changes holds mostly what it held before."""


@dataclass(slots=True)
class _Step:
    below: dict[str, _Step] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Phrases:
    """A few phrases, each with its value."""

    values: tuple[str, ...]
    """Without marks, which stand for one of them."""
    phrases: tuple[tuple[str, ...], ...]
    """In normalised words."""
    told: tuple[str, ...]
    """The same as they are written, without those that stand for a mark."""
    _pairs: tuple[tuple[str, str], ...]
    _root: _Step = field(compare=False, repr=False)

    @classmethod
    def build(cls, phrases: Iterable[tuple[str, str]]) -> Phrases:
        """Returns the words of (phrase, value) pairs; a value may be a mark."""
        pairs = tuple(phrases)
        root = _Step()
        values: dict[str, None] = {}
        spelled: dict[tuple[str, ...], None] = {}
        told: list[str] = []
        for phrase, value in pairs:
            step = root
            words = _words_of(phrase)
            for word in words:
                step = step.below.setdefault(word, _Step())
            if words and value not in step.values:
                step.values.append(value)
                spelled[words] = None
                if not isinstance(value, Mark):
                    values[value] = None
                    told.append(phrase)
        return cls(tuple(values), tuple(spelled), tuple(told), pairs, root)

    def meanings(self, words: Sequence[str]) -> tuple[str, ...]:
        """Returns all values that a phrase may mean, in order."""
        step: _Step | None = self._root
        for word in words:
            step = step.below.get(word) if step else None
        return tuple(step.values) if step else ()

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
            if step.values:
                found.append((at + 1, step.values[0]))
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


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number within bounds, with or without a unit."""

    low: float
    high: float
    factors: Mapping[str, float]
    """Size of each unit that may be spoken; empty for a bare number."""
    language: str = "en"

    @classmethod
    def build(cls, declared: RangeList, language: str = "en") -> Numbers:
        """Returns the numbers of a range."""
        factors = conversions(declared.unit, language) if declared.unit else {}
        return cls(declared.low, declared.high, MappingProxyType(factors), language)

    @property
    def spoken(self) -> WordGraph:
        """How the numbers and their units are said; some are out of bounds."""
        smallest = min(self.factors.values(), default=1.0)
        most = max(abs(self.low), abs(self.high)) / smallest
        graph = number_graph_zh if self.language == "zh" else number_graph
        return graph(most, signed=self.low < 0, units=tuple(sorted(self.factors)))

    @property
    def is_free(self) -> bool:
        """Returns False: only numbers do."""
        return False

    def endings(self, words: Sequence[str], start: int) -> Iterable[Ending]:
        """Returns where the longest number from ``start`` on ends, unit included."""
        sign = 1
        if self.low < 0 and words[start] in _NEGATIVE:
            sign, start = -1, start + 1
        spoken = self._spoken_zh(words, start) if self.language == "zh" else []
        if not spoken and self.factors:
            spoken = self._measured(words, start)
        elif not spoken:
            number = number_at(words, start)
            spoken = [number] if number else []
        found: list[Ending] = []
        for end, value in spoken:
            rounded = round(sign * value, 6)
            if self.low <= rounded <= self.high:
                whole = int(rounded)
                found.append((end, whole if whole == rounded else rounded))
        return found

    def _spoken_zh(self, words: Sequence[str], start: int) -> list[tuple[int, float]]:
        if self.factors:
            return number_words_zh.measured_at(words, start, self.factors)
        number = number_words_zh.number_at(words, start)
        return [number] if number else []

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
        if self.low < 0 and words[start] in _NEGATIVE:
            start += 1
        if self.language == "zh":
            number = number_words_zh.number_at(words, start)
            return start == len(words) or (
                number is not None and number[0] >= len(words) - 1
            )
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
