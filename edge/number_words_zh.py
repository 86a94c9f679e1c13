"""Numbers as Mandarin says them: digits to characters, characters to values.

Characters stand alone, one token each, as ``edge.normalise`` writes them: 三百零五 is
five tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_DIGITS = "零一二三四五六七八九"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)} | {"两": 2, "幺": 1}
_PLACES = {"千": 1_000, "百": 100, "十": 10}
_GROUPS = {"亿": 100_000_000, "万": 10_000}
_MAX_DIGITS = 9
"""Longer strings of digits are read out one by one, as people do."""
_MAX_UNIT_CHARS = 3
_BEFORE_COUNTED = frozenset("个倍米步圈次只艘张条棵朵把盏秒度小分公里厘英下块头点")
"""What a single 2 is read 两 before, not 二: measures, and what they begin with."""


def spell(number: str, followed_by: str = "") -> list[str]:
    """Returns the characters of a number in digits, e.g. of ``2.5``: 二 点 五.

    Args:
        number: Digits, with at most one decimal point among them.
        followed_by: The character after it; 2 is 两 before a measure.
    """
    if number == "2" and followed_by in _BEFORE_COUNTED and followed_by:
        return ["两"]
    whole, _, decimals = number.partition(".")
    spoken = _spell_whole(whole or "0")
    return [*spoken, "点", *_read_out(decimals)] if decimals else spoken


def _read_out(text: str) -> list[str]:
    return [_DIGITS[int(digit)] for digit in text]


def _spell_whole(text: str) -> list[str]:
    if len(text) > _MAX_DIGITS or (text[0] == "0" and len(text) > 1):
        return _read_out(text)
    rest = int(text)
    spoken: list[str] = []
    for word, size in _GROUPS.items():
        group, rest = divmod(rest, size)
        if group:
            spoken += [*_spell_group(group, spoken), word]
    if rest or not spoken:
        spoken += _spell_group(rest, spoken)
    # 十五, not 一十五, at the very start.
    return spoken[1:] if spoken[:2] == ["一", "十"] else spoken


def _spell_group(value: int, before: Sequence[str]) -> list[str]:
    """Returns a number below 10,000, with 零 where a place was passed over."""
    if value == 0:
        return ["零"]
    spoken: list[str] = []
    passed_over = bool(before) and value < 1_000
    for word, size in (*_PLACES.items(), ("", 1)):
        digit, value = divmod(value, size)
        if digit:
            spoken += ["零"] if passed_over else []
            spoken += [_DIGITS[digit], *([word] if word else [])]
            passed_over = False
        elif spoken:
            passed_over = True
    return spoken


def number_at(words: Sequence[str], start: int) -> tuple[int, float] | None:
    """Returns where the longest number from ``start`` on ends, and its value.

    Understands 十五, 两, 三百零五, 三百五 (350), 一万二 (12,000), 二零二四, 一点五, 半,
    一半, 四分之三, and 百 after 百分之; None where no number begins.
    """
    if _word(words, start) == "半":
        return start + 1, 0.5
    if _word(words, start) == "百":
        whole = start >= 3 and tuple(words[start - 3 : start]) == ("百", "分", "之")
        return (start + 1, 100) if whole else None
    read = _digits_at(words, start) or _whole_at(words, start)
    if read is None:
        return None
    end, value = read
    if _word(words, end) == "点":
        return _decimals_at(words, end + 1, value) or read
    if value == 1 and _word(words, end) == "半":
        return end + 1, 0.5
    if tuple(words[end : end + 2]) == ("分", "之") and value:
        parts = _whole_at(words, end + 2)
        return (parts[0], parts[1] / value) if parts else read
    return read


def measured_at(
    words: Sequence[str], start: int, factors: Mapping[str, float]
) -> list[tuple[int, float]]:
    """Returns where measures that begin at ``start`` end, and their values.

    Understands 三米, 半米, 两个小时, 半个小时, 一个半小时, 三米半, 百分之五十.

    Args:
        words: What was said, one character a token.
        start: First token.
        factors: Size of each unit, as ``models.units.conversions`` returns them.
    """
    if tuple(words[start : start + 3]) == ("百", "分", "之"):
        number = number_at(words, start + 3)
        factor = factors.get("百分之")
        return [(number[0], number[1] * factor)] if number and factor else []
    number = number_at(words, start)
    if number is None:
        return []
    end, value = number
    if _word(words, end) == "个":
        end += 1
        if _word(words, end) == "半" and value >= 1:
            end, value = end + 1, value + 0.5
    unit = _unit_at(words, end, factors)
    if unit is None:
        return []
    end, factor = unit
    found = [(end, value * factor)]
    if _word(words, end) == "半" and value >= 1:
        found.append((end + 1, (value + 0.5) * factor))
    return found


def _word(words: Sequence[str], at: int) -> str:
    return words[at] if at < len(words) else ""


def _unit_at(
    words: Sequence[str], at: int, factors: Mapping[str, float]
) -> tuple[int, float] | None:
    for n in range(_MAX_UNIT_CHARS, 0, -1):
        factor = factors.get("".join(words[at : at + n]))
        if factor is not None and at + n <= len(words):
            return at + n, factor
    return None


def _digits_at(words: Sequence[str], start: int) -> tuple[int, float] | None:
    """Returns digits that are read out, as in 二零二四.

    There are three at least, or a zero: 三四米 is three metres or four.
    """
    end = start
    while _word(words, end) in _VALUES:
        end += 1
    digits = words[start:end]
    if _word(words, end) in _PLACES or _word(words, end) in _GROUPS:
        return None
    if len(digits) < 2 or (len(digits) < 3 and "零" not in digits):
        return None
    return end, int("".join(str(_VALUES[digit]) for digit in digits))


def _decimals_at(
    words: Sequence[str], at: int, whole: float
) -> tuple[int, float] | None:
    end = at
    while _word(words, end) in _VALUES:
        end += 1
    if end == at:
        return None
    digits = "".join(str(_VALUES[digit]) for digit in words[at:end])
    return end, float(f"{whole:.0f}.{digits}")


def _whole_at(words: Sequence[str], start: int) -> tuple[int, float] | None:
    if _word(words, start) == "零":
        return start + 1, 0
    total = 0
    at = start
    last_size = 0
    for word, size in _GROUPS.items():
        group = _group_at(words, at, last_size=last_size)
        if group and _word(words, group[0]) == word:
            at, total, last_size = group[0] + 1, total + group[1] * size, size
    rest = _group_at(words, at, last_size=last_size)
    if rest:
        return rest[0], total + rest[1]
    return (at, total) if last_size else None


def _group_at(
    words: Sequence[str], start: int, *, last_size: int
) -> tuple[int, int] | None:
    """Returns where a number below 10,000 ends, and its value.

    Args:
        words: What was said.
        start: First token.
        last_size: Size of the place before it, 0 at the start: the 二 of 一万二 is two
            thousand, unless a 零 stands between.
    """
    total = 0
    at = start
    found = False
    for word, size in _PLACES.items():
        after_zero = at + 1 if last_size and _word(words, at) == "零" else at
        digit = _VALUES.get(_word(words, after_zero), 0)
        if digit and _word(words, after_zero + 1) == word:
            at, total, last_size = after_zero + 2, total + digit * size, size
            found = True
        elif size == 10 and _word(words, after_zero) == "十":
            at, total, last_size = after_zero + 1, total + 10, size
            found = True
    has_zero = bool(last_size) and _word(words, at) == "零"
    digit = _VALUES.get(_word(words, at + has_zero), 0)
    if not digit:
        return (at, total) if found else None
    size = 1 if has_zero or last_size <= 10 else last_size // 10
    if _word(words, at + has_zero + 1) in _GROUPS:
        size = 1
    return at + has_zero + 1, total + digit * size
