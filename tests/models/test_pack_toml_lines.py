"""Every key of a TOML document is found on its line."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.toml_lines import toml_lines

DOCUMENT = '''\
# [not.a.table]
title = "a = 1 # no comment ]"  # comment
dotted.key = [1,
  "]", # "
  [2,
   3],
]

[table."quoted.key"]
long = """
[no]
line "" ] """""
literal = \'\'\'
x = 1\'\'\'
inline = {p = {q = 1}, "r s" = [true, {t = 2}]} # }
when = 1979-05-27 07:32:00
[[item]]
n = 1
[item.sub]
m = 2
[[item]]
n = 3
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("dotted",), 3),
        (("dotted", "key", 0), 3),
        (("dotted", "key", 1), 4),
        (("dotted", "key", 2, 0), 5),
        (("dotted", "key", 2, 1), 6),
        (("table",), 9),
        (("table", "quoted.key", "long"), 10),
        (("table", "quoted.key", "literal"), 13),
        (("table", "quoted.key", "inline", "p", "q"), 15),
        (("table", "quoted.key", "inline", "r s", 1, "t"), 15),
        (("table", "quoted.key", "when"), 16),
        (("item", 0, "n"), 18),
        (("item", 0, "sub", "m"), 20),
        (("item", 1), 21),
        (("item", 1, "n"), 22),
    ],
)
def test_keys_are_found_on_their_lines(path: tuple[str | int, ...], line: int) -> None:
    assert toml_lines(DOCUMENT).at(*path) == line


def test_a_key_that_is_missing_is_placed_with_the_nearest_around_it() -> None:
    lines = toml_lines(DOCUMENT)
    assert lines.at("item", 1, "absent", "deeper") == 21
    assert lines.at("absent") == 1


def test_windows_line_ends_count_once() -> None:
    assert toml_lines("a = 1\r\n\r\nb = [\r\n2]\r\n").at("b", 0) == 4


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(st.integers(-99, 99), st.booleans(), texts)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=6,
)


def written(value: object) -> str:
    """Returns a value as TOML, arrays over several lines."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return str(value).lower()
        case list():
            return "[ # [\n" + "".join(f"{written(v)}, # ]\n" for v in value) + "]"
        case dict():
            pairs = (f"{written(k)} = {one_line(v)}" for k, v in value.items())
            return "{" + ", ".join(pairs) + "}"
    return str(value)


def one_line(value: object) -> str:
    """Returns a value as TOML without line ends of its own, as in inline tables."""
    if isinstance(value, list):
        return f"[{', '.join(map(one_line, value))}]"
    return written(value)


@given(st.dictionaries(texts, values, max_size=5))
def test_every_key_and_element_that_tomllib_reads_is_found(
    document: dict[str, Any],
) -> None:
    expected: dict[tuple[str | int, ...], int] = {}
    text = ""
    for key, value in document.items():
        expected[(key,)] = text.count("\n") + 1
        if isinstance(value, list):
            at = text.count("\n") + 2
            for index, item in enumerate(value):
                expected[(key, index)] = at
                at += written(item).count("\n") + 1
        text += f"{written(key)} = {written(value)}\n"
    assert tomllib.loads(text) == document
    found = toml_lines(text).lines
    assert expected.items() <= found.items()
    assert set(paths_of(document)) == set(found)


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> list[Any]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [
        found
        for key, inner in items
        for found in [(*path, key), *paths_of(inner, (*path, key))]
    ]
