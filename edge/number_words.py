"""Numbers as English says them: digits to words, words to values."""

from __future__ import annotations

from collections.abc import Sequence

# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
    "seventeen", "eighteen", "nineteen",
)
_TENS = (
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)
_ORDINALS = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh",
    "eighth", "ninth", "tenth", "eleventh", "twelfth",
)
# fmt: on
_MAX_DIGITS = 9
"""Longer strings of digits are read out one by one, as people do."""

_SMALL = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * (value + 2) for value, word in enumerate(_TENS)
}
_LARGE = {"million": 1_000_000, "thousand": 1_000}
_FRACTIONS = {"half": 0.5, "quarter": 0.25, "quarters": 0.25, "third": 1 / 3}
_COLLECTIVES = {"couple": 2, "dozen": 12}


def spell(number: str) -> list[str]:
    """Returns the words of a number in digits, e.g. of ``2.5``: two point five.

    Args:
        number: Digits, with at most one decimal point among them.
    """
    whole, _, decimals = number.partition(".")
    spoken = _spell_whole(whole or "0")
    return [*spoken, "point", *_digits(decimals)] if decimals else spoken


def spell_ordinal(number: str) -> str | None:
    """Returns the word of an ordinal, e.g. of ``2``: second; None above twelfth."""
    value = int(number) if number.isdecimal() and len(number) < _MAX_DIGITS else -1
    return _ORDINALS[value] if 0 <= value < len(_ORDINALS) else None


def _digits(text: str) -> list[str]:
    return [_ONES[int(digit)] for digit in text]


def _spell_whole(text: str) -> list[str]:
    if len(text) > _MAX_DIGITS or (text[0] == "0" and len(text) > 1):
        return _digits(text)
    rest = int(text)
    spoken: list[str] = []
    for word, size in _LARGE.items():
        if rest >= size:
            spoken += [*_spell_hundreds(rest // size), word]
            rest %= size
    if spoken and 0 < rest < 100:
        spoken.append("and")
    return spoken + _spell_hundreds(rest) if rest or not spoken else spoken


def _spell_hundreds(value: int) -> list[str]:
    spoken: list[str] = []
    if value >= 100:
        spoken = [_ONES[value // 100], "hundred"]
        value %= 100
        if not value:
            return spoken
        spoken.append("and")
    if value < len(_ONES):
        return [*spoken, _ONES[value]]
    spoken.append(_TENS[value // 10 - 2])
    return [*spoken, _ONES[value % 10]] if value % 10 else spoken


def number_at(words: Sequence[str], start: int) -> tuple[int, float] | None:
    """Returns where the longest number from ``start`` on ends, and its value.

    Understands "ten", "a hundred and five", "two and a half", "two point five",
    "half", "three quarters", "a couple"; None where no number begins.
    """
    fraction = _fraction_at(words, start)
    if fraction:
        return fraction
    at = start + 1 if _word(words, start) in ("a", "an", "one") else start
    collective = _COLLECTIVES.get(_word(words, at))
    if collective:
        return at + 1, collective
    whole = _whole_at(words, start)
    if whole is None:
        # "point five"; no number begins with "and a half".
        return _decimals_at(words, start, 0.0)
    end, value = whole
    decimals = _decimals_at(words, end, value)
    if decimals:
        return decimals
    if _word(words, end) == "and":
        fraction = _fraction_at(words, end + 1)
        if fraction:
            return fraction[0], value + fraction[1]
    return whole


def _word(words: Sequence[str], at: int) -> str:
    return words[at] if at < len(words) else ""


def _fraction_at(words: Sequence[str], at: int) -> tuple[int, float] | None:
    """Half, a half, one third, three quarters."""
    n_parts = 1
    first = _word(words, at)
    if first in ("a", "one"):
        at += 1
    elif first in ("two", "three"):
        n_parts = _SMALL[first]
        at += 1
    word = _word(words, at).removesuffix("s" if n_parts > 1 else "")
    # "Third" alone is a rank, not a share.
    if word in _FRACTIONS and (word != "third" or first in ("a", "one", "two")):
        return at + 1, n_parts * _FRACTIONS[word]
    return None


def _decimals_at(
    words: Sequence[str], at: int, whole: float
) -> tuple[int, float] | None:
    if _word(words, at) != "point":
        return None
    end = at + 1
    digits = ""
    while (value := _SMALL.get(_word(words, end))) is not None:
        digits += str(value)
        end += 1
    return (end, float(f"{whole:.0f}.{digits}")) if digits else None


def _whole_at(words: Sequence[str], start: int) -> tuple[int, float] | None:
    total = 0
    at = start
    found = False
    for word, size in (*_LARGE.items(), ("", 1)):
        # "A thousand and five": and joins only what follows a larger part.
        joined = at + 1 if found and _word(words, at) == "and" else at
        part = _hundreds_at(words, joined)
        if part and word and _word(words, part[0]) == word:
            at, total, found = part[0] + 1, total + part[1] * size, True
        elif part and not word:
            at, total, found = part[0], total + part[1], True
    return (at, total) if found else None


def _hundreds_at(words: Sequence[str], start: int) -> tuple[int, int] | None:
    first = _word(words, start)
    if first in ("a", *_LARGE, "hundred"):
        # "A hundred", "hundred" and "a thousand" begin with a one that is not said.
        at = start + 1 if first == "a" else start
        if _word(words, at) in _LARGE:
            return at, 1
        part: tuple[int, int] | None = (at, 1)
        if _word(words, at) != "hundred":
            return None
    else:
        part = _tens_at(words, start)
    if part is None or _word(words, part[0]) != "hundred":
        return part
    end, value = part[0] + 1, part[1] * 100
    rest = _tens_at(words, end + 1 if _word(words, end) == "and" else end)
    return (rest[0], value + rest[1]) if rest else (end, value)


def _tens_at(words: Sequence[str], at: int) -> tuple[int, int] | None:
    value = _SMALL.get(_word(words, at))
    if value is None:
        return None
    one = _SMALL.get(_word(words, at + 1), 0)
    if value >= 20 and 0 < one < 10:
        return at + 2, value + one
    return at + 1, value
