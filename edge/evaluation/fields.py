"""JSON from anywhere: values in, typed values out, or what is wrong with them.

Everything here raises ``Mistake`` where a value is not what it should be.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator, Mapping
from typing import NoReturn

from edge.scene import Vector

_MAX_NUMBER = 1e12


class Mistake(Exception):  # noqa: N818 - it is told, not raised further
    """What is wrong with one label, and what to do about it."""


def object_of(value: object, what: str, keys: tuple[str, ...]) -> Mapping[str, object]:
    """Returns an object that has no other keys; they are mostly misspelt."""
    if not isinstance(value, dict):
        fail(f"{what} must be an object.", f"Its keys are {', '.join(keys)}.")
    unknown = sorted(value.keys() - set(keys))
    if unknown:
        fail(
            f"{what} has an unknown key {unknown[0]!r}.",
            f"Its keys are {', '.join(keys)}.",
        )
    return value


def array_of(
    fields: Mapping[str, object], key: str, *, required: bool = False
) -> list[object]:
    """Returns the list under a key; an empty one where it is absent, or null."""
    value = fields.get(key)
    if value is None and not required:
        return []
    if key not in fields:
        fail(f"{key} is missing.", f'Write "{key}": [].')
    if not isinstance(value, list):
        fail(f"{key} must be a list.", f'Write "{key}": [].')
    return value


def text_of(fields: Mapping[str, object], key: str, default: str | None = None) -> str:
    """Returns the text under a key; the default where it is absent, or null."""
    value = fields.get(key)
    if value is None and default is not None:
        return default
    if key not in fields:
        fail(f"{key} is missing.", f'Write "{key}": "...".')
    return plain(value, key)


def plain(value: object, what: str, *, may_be_empty: bool = False) -> str:
    """Returns a text that can be written down again."""
    if not isinstance(value, str) or not (value or may_be_empty):
        fail(f"{what} must be a text.", 'Write it in quotes: "...".')
    try:
        value.encode()
    except UnicodeEncodeError:
        fail(f"{what} holds half a character.", "Write surrogates in pairs.")
    return value


def number(value: object, what: str) -> int | float:
    """Returns a number that is not too large to compute with."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not -_MAX_NUMBER <= value <= _MAX_NUMBER
    ):
        fail(f"{what} must be a number.", "Write it without quotes, as 10 or 2.5.")
    return value


def vector(value: object, what: str) -> Vector:
    """Returns three numbers."""
    if not isinstance(value, list) or len(value) != 3:
        fail(f"{what} must be three numbers.", "Write [x, y, z], in metres.")
    x, y, z = (float(number(found, what)) for found in value)
    return (x, y, z)


def fail(message: str, hint: str) -> NoReturn:
    """Raises what is wrong, and what to do about it."""
    raise Mistake(message, hint)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


JSON = json.JSONDecoder(parse_constant=_no_constant)
"""Raises ``ValueError`` for NaN and infinities, which are no JSON."""
_SPACE = r"[ \t\n\r]*"


def entries(text: str) -> Iterator[tuple[int, str, object]]:
    """Yields line, key and value of each entry of the JSON object that is the text.

    Raises:
        ValueError: It is not one.
    """
    ends = [found.start() for found in re.finditer("\n", text)]
    at = _after(text, 0, "{")
    is_open = text[at : at + 1] != "}"
    while is_open:
        start = at
        key, at = JSON.raw_decode(text, at)
        if not isinstance(key, str):
            raise json.JSONDecodeError("Expecting a name in quotes", text, start)
        value, at = JSON.raw_decode(text, _after(text, at, ":"))
        yield bisect.bisect_left(ends, start) + 1, key, value
        at = _after(text, at, "")
        is_open = text[at : at + 1] != "}"
        if is_open:
            at = _after(text, at, ",")
    end = _after(text, at, "}")
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _after(text: str, at: int, mark: str) -> int:
    """Returns where the text goes on after a mark and the space around it."""
    found = re.compile(f"{_SPACE}{re.escape(mark)}{_SPACE}").match(text, at)
    if found is None:
        raise json.JSONDecodeError(f"Expecting '{mark}'", text, at)
    return found.end()
