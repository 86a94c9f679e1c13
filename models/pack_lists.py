"""The ``[lists.NAME]`` of a pack: what a slot can be filled with."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from models.pack import (
    ListValue,
    RangeList,
    SceneList,
    SlotList,
    SpotList,
    TextList,
    Value,
    ValuesList,
)
from models.pack_table import MAX_TEXT_CHARS, Table, is_number, nearest
from models.pack_words import BUILT_IN, translated
from models.toml_lines import KeyPath
from models.units import UNITS

MAX_LISTS = 100
MAX_PHRASES = 2_000
_KINDS = ("values", "range", "from_scene", "type")
_SYNTAX = re.compile(r"[()\[\]{}<>|;\\]")


def read_lists(root: Table) -> dict[str, SlotList]:
    """Returns the lists by name; a list with a mistake is left out."""
    section = root.table("lists")
    lists = {}
    for name in section.names(what="a list", limit=MAX_LISTS):
        read = _read_list(name, section.table(name))
        if read is not None:
            lists[name] = read
    return lists


def read_translated_lists(
    root: Table, lists: Mapping[str, SlotList], *, language: str
) -> tuple[dict[str, SlotList], frozenset[str]]:
    """Returns a pack's lists in another language, and the names of those not in it.

    Args:
        root: The document of the language.
        lists: Those of ``pack.toml``; what they say of structure is taken over.
        language: ISO 639-1.
    """
    section = root.table("lists")
    found = dict(lists)
    silent: set[str] = set()
    for name, listed in lists.items():
        if isinstance(listed, ValuesList):
            values = translated(listed.values, language)
            if values is None:
                silent.add(name)
            else:
                found[name] = dataclasses.replace(listed, values=values)
    for name in section.names(what="a list", limit=MAX_LISTS):
        table = section.table(name).known("values")
        known = lists.get(name)
        if not isinstance(known, ValuesList):
            named = [n for n, other in lists.items() if isinstance(other, ValuesList)]
            table.error(
                (),
                "pack.toml has no such list of values.",
                nearest(name, named, what="lists of values"),
            )
            continue
        line = table.findings.lines.at(*table.path)
        values = _translated_values(table, known)
        found[name] = ValuesList(name=name, line=line, values=values)
        silent.discard(name)
    return found, frozenset(silent)


def _translated_values(table: Table, known: ValuesList) -> tuple[ListValue, ...]:
    if not isinstance(table.values.get("values"), dict):
        table.error((), "needs phrases.", 'Write value = ["..."] under values.')
        return ()
    values = [item.value for item in known.values]
    for value in table.table("values").values:
        if value not in values:
            table.error(
                ("values", value),
                f'"{value}" is no value of this list in pack.toml.',
                nearest(value, values, what="values"),
            )
    return _values(table)


def _read_list(name: str, table: Table) -> SlotList | None:
    table.known(*_KINDS, "pointing", "unit")
    kinds = [kind for kind in _KINDS if kind in table.values]
    line = table.findings.lines.at(*table.path)
    if len(kinds) != 1:
        table.error(
            (),
            f"has {' and '.join(kinds)}." if kinds else "says nothing.",
            f"A list has exactly one of: {', '.join(_KINDS)}.",
        )
        return None
    if "unit" in table.values and kinds != ["range"]:
        table.error("unit", '"unit" goes with "range" only.')
    if "pointing" in table.values and kinds != ["from_scene"]:
        table.error("pointing", '"pointing" goes with "from_scene" only.')
    match kinds[0]:
        case "values":
            values = _values(table)
            return ValuesList(name=name, line=line, values=values) if values else None
        case "range":
            return _range(name, table, line=line)
        case "from_scene":
            tag = table.table("from_scene").known("tag").text("tag")
            if not tag:
                table.error("from_scene", 'needs a tag: { tag = "..." }.')
                return None
            pointing = table.flag("pointing", default=False)
            return SceneList(name=name, line=line, tag=tag, pointing=pointing)
    kind = table.values["type"]
    if kind == "text":
        return TextList(name=name, line=line)
    if kind == "spot":
        return SpotList(name=name, line=line)
    if isinstance(kind, str) and kind in BUILT_IN:
        return ValuesList(name=name, line=line, values=BUILT_IN[kind])
    table.error(
        "type",
        f"unknown type {kind!r}.",
        nearest(str(kind), [*BUILT_IN, "spot", "text"], what="types"),
    )
    return None


def _range(name: str, table: Table, *, line: int) -> RangeList | None:
    numbers = table.numbers("range", n=2)
    unit = table.text("unit")
    if unit and unit not in UNITS:
        table.error(
            "unit", f'unknown unit "{unit}".', nearest(unit, UNITS, what="units")
        )
        return None
    if numbers is None:
        return None
    low, high = numbers
    if low > high:
        table.error("range", "the first number is above the second.")
        return None
    return RangeList(name=name, line=line, low=low, high=high, unit=unit)


def _values(table: Table) -> tuple[ListValue, ...]:
    if isinstance(table.values["values"], list):
        listed = [(path, text, [(path, text)]) for path, text in table.texts("values")]
    else:
        values = table.table("values")
        listed = [
            (("values", value), value, _below("values", values.texts(value)))
            for value in values.values
        ]
    if sum(len(phrases) for _, _, phrases in listed) > MAX_PHRASES:
        table.error("values", f"more than {MAX_PHRASES} phrases.")
        return ()
    owners: dict[str, str] = {}
    for path, value, phrases in listed:
        if not phrases:
            table.error(path, f'"{value}" has no phrases.', 'Write value = ["..."].')
        if not value.strip() or len(value) > MAX_TEXT_CHARS:
            table.error(path, "a value must be a short text.")
        for phrase_path, phrase in phrases:
            _check_phrase(table, phrase_path, phrase)
            owner = owners.setdefault(phrase.casefold(), value)
            if owner != value:
                table.error(
                    phrase_path, f'"{phrase}" stands for "{owner}" and for "{value}".'
                )
    return tuple(
        ListValue(value=value, phrases=tuple(phrase for _, phrase in phrases))
        for _, value, phrases in listed
        if phrases
    )


def _below(key: str, texts: list[tuple[KeyPath, str]]) -> list[tuple[KeyPath, str]]:
    return [((key, *path), text) for path, text in texts]


def _check_phrase(table: Table, path: KeyPath, phrase: str) -> None:
    found = _SYNTAX.search(phrase)
    if found:
        table.error(
            path,
            f'"{phrase}" holds "{found.group()}".',
            "Phrases of a list are plain words; write each one out.",
        )
    elif not any(character.isalnum() for character in phrase):
        table.error(path, f'"{phrase}" holds no words.')


def value_problem(value: Value, slot_list: SlotList) -> tuple[str, str] | None:
    """Returns what is wrong with a slot's value, and a hint; None where it fits.

    Objects of the scene are not looked up: the game's scene is not the pack's.
    """
    match slot_list:
        case ValuesList():
            known = [item.value for item in slot_list.values]
            if value not in known:
                return f"{value!r} is not in list {slot_list.name}.", nearest(
                    str(value), known, what="values"
                )
        case RangeList():
            if not is_number(value) or not slot_list.low <= value <= slot_list.high:
                bounds = f"{slot_list.low:g} to {slot_list.high:g}"
                return f"{value!r} is not a number from {bounds}.", ""
        case SceneList() | SpotList() | TextList():
            if not isinstance(value, str):
                return f"{value!r} is not a text.", ""
    return None
