"""Messages: what the schema allows goes through, anything else is told kindly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.serve.actions import MAX_OPTIONS
from edge.serve.wire import (
    MAX_RAYS_AT_ONCE,
    SCHEMA_FILE,
    Side,
    WireError,
    client_side,
    server_side,
)

SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
MESSAGES = [
    (side, kind)
    for side, messages in (("client", SCHEMA["client"]), ("server", SCHEMA["server"]))
    for kind in messages
]
SIDES = {"client": client_side(), "server": server_side()}

TEXT = {"type": "text", "id": 1, "text": "hello"}
BOXES = [
    {"type": kind, "id": 1, "rev": 2, **more, "objects": [box], "set": [box]}
    for kind, more in (("scene.set", {}), ("scene.patch", {"base": 1}))
    for size in ([1, 0, 1], [1, -1, 1], [1, 1, 1001], [1, 1], [1] * 4, 1, None)
    for box in [{"id": "b", "name": "box", "size": size}]
]


def values(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Returns what a rule of the schema allows."""
    if "$ref" in rule:
        return values(SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]])
    if "const" in rule:
        return st.just(rule["const"])
    if "enum" in rule:
        return st.sampled_from(rule["enum"])
    if "oneOf" in rule:
        return st.one_of(*map(values, rule["oneOf"]))
    kinds: dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]] = {
        "object": objects,
        "array": arrays,
        "string": strings,
        "integer": integers,
        "number": numbers,
        "boolean": lambda _: st.booleans(),
        "null": lambda _: st.none(),
    }
    return kinds[rule["type"]](rule)


def objects(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    properties = rule.get("properties", {})
    required = {name: values(properties[name]) for name in rule.get("required", ())}
    optional = {n: values(r) for n, r in properties.items() if n not in required}
    if not properties and "additionalProperties" in rule:
        keys = st.text("abcdefghijklm._", min_size=1, max_size=64)
        most = min(8, rule["maxProperties"])
        return st.dictionaries(
            keys, values(rule["additionalProperties"]), max_size=most
        )
    return st.fixed_dictionaries(required, optional=optional)


def arrays(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    fewest = rule.get("minItems", 0)
    most = min(rule["maxItems"], max(fewest, 4))
    return st.lists(values(rule["items"]), min_size=fewest, max_size=most)


def strings(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "pattern" in rule:
        return st.from_regex(rule["pattern"], fullmatch=True).filter(str.isalnum)
    return st.text(min_size=rule.get("minLength", 0), max_size=rule["maxLength"])


def integers(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.integers(rule["minimum"], rule["maximum"])


def numbers(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.floats(rule["minimum"], rule["maximum"], allow_nan=False)


@pytest.mark.parametrize(("side", "kind"), MESSAGES)
def test_every_message_goes_through_and_back(side: str, kind: str) -> None:
    @settings(max_examples=15, deadline=None)
    @given(values(SCHEMA[side][kind]))
    def check(message: dict[str, Any]) -> None:
        assert SIDES[side].read(SIDES[side].write(message)) == message

    check()


@pytest.mark.parametrize(("side", "kind"), MESSAGES)
def test_every_message_needs_its_fields(side: str, kind: str) -> None:
    rules = SCHEMA[side][kind]

    @settings(max_examples=3, deadline=None)
    @given(values(rules))
    def check(message: dict[str, Any]) -> None:
        for name in rules["required"]:
            less = {key: value for key, value in message.items() if key != name}
            with pytest.raises(WireError):
                SIDES[side].read(json.dumps(less))

    check()


@pytest.mark.parametrize(("side", "kind"), MESSAGES)
def test_every_text_list_and_number_has_a_bound(side: str, kind: str) -> None:
    def check(rule: dict[str, Any], where: str) -> None:
        if rule.get("type") == "string" and "pattern" not in rule:
            assert "maxLength" in rule, where
        if rule.get("type") in {"integer", "number"}:
            assert {"minimum", "maximum"} <= rule.keys(), where
        if rule.get("type") == "array":
            assert "maxItems" in rule, where
            check(rule["items"], f"{where}[]")
        if "additionalProperties" in rule:
            assert "maxProperties" in rule, where
            check(rule["additionalProperties"], f"{where}.*")
        for other in rule.get("oneOf", ()):
            check(other, where)
        if "$ref" in rule:
            check(SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]], where)
        for name, each in rule.get("properties", {}).items():
            check(each, f"{where}.{name}")

    check(SCHEMA[side][kind], kind)


def test_the_code_and_the_schema_have_the_same_bounds() -> None:
    rays = SCHEMA["client"]["rays"]["properties"]["rays"]
    options = SCHEMA["server"]["clarify"]["properties"]["options"]
    chosen = SCHEMA["client"]["choose"]["properties"]["n"]

    assert rays["maxItems"] == MAX_RAYS_AT_ONCE
    assert options["maxItems"] == chosen["maximum"] + 1 == MAX_OPTIONS


def test_unknown_fields_are_ignored() -> None:
    later = {**TEXT, "mood": {"joy": [1, 2.5, None]}}

    assert client_side().read(json.dumps(later)) == later


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        '{"type":"text","id":1,"text":"hello"} more',
        '{"type":"frame","id":1,"late":NaN}',
        '{"type":"frame","id":1,"late":Infinity}',
        '{"type":"frame","id":1,"late":-Infinity}',
        '{"type":"frame","id":1,"late":1e999}',
        '{"type":"frame","id":1,"late":1,"else":-1e999}',
        '{"type":"cancel","id":' + "9" * 5000 + "}",
        '{"type":"text","id":1,"text":"\\ud800"}',
        '{"type":"text","id":1,"text":"x","\\udfff":1}',
        '{"type":"fact","id":1,"key":"a","value":' + "[" * 9 + "]" * 9 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_what_is_no_plain_object_is_refused(text: str) -> None:
    with pytest.raises(WireError) as refused:
        client_side().read(text)

    assert refused.value.code == "frame_json"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": ["text"]},
        {"type": "ready"},
        {"type": "Text", "id": 1, "text": "hello"},
    ],
)
def test_what_has_no_known_type_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(WireError) as refused:
        client_side().read(json.dumps(message))

    assert refused.value.code == "frame_type"


@pytest.mark.parametrize(
    "message",
    [
        {**TEXT, "text": ""},
        {**TEXT, "text": "x" * 1001},
        {**TEXT, "id": 0},
        {**TEXT, "id": 1.5},
        {**TEXT, "id": True},
        {**TEXT, "id": 2**53},
        {**TEXT, "id": 10**400},
        {**TEXT, "t": -1},
        {"type": "rays", "id": 1, "rays": [{"source": "gaze"}]},
        {"type": "fact", "id": 1, "key": "a", "value": None},
        {"type": "fact", "id": 1, "key": "a", "value": 1e13},
        {"type": "fact", "id": 1, "key": "k" * 65, "value": 1},
        {"type": "played", "id": 1, "utterance": 1, "characters": 9, "ended": "yes"},
        {"type": "hello", "version": 2, "role": "game", "nonce": "0" * 64},
        {"type": "hello", "version": 1, "role": "admin", "nonce": "0" * 64},
        {"type": "hello", "version": 1, "role": "game", "nonce": "0" * 64 + "\n"},
        {"type": "proof", "proof": "\u0660" * 64},
        *BOXES,
    ],
)
def test_what_breaks_a_rule_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(WireError) as refused:
        client_side().read(json.dumps(message))

    assert refused.value.code == "frame_invalid"


def test_a_refusal_does_not_repeat_what_was_said() -> None:
    with pytest.raises(WireError) as refused:
        client_side().read(json.dumps({**TEXT, "text": ["my own secret"]}))

    assert "secret" not in str(refused.value)
    assert "text" in refused.value.message


def test_a_whole_number_may_be_written_with_a_point() -> None:
    text = '{"type":"played","id":1.0,"utterance":2.0,"characters":3.0,"ended":true}'

    message = client_side().read(text)

    assert [type(message[name]) for name in ("id", "utterance", "characters")] == [
        int
    ] * 3


@settings(deadline=None)
@given(st.one_of(st.text(), st.binary()))
def test_nothing_else_gets_out_of_a_frame(frame: str | bytes) -> None:
    for side in (client_side(), server_side()):
        assert isinstance(side, Side)
        with pytest.raises(WireError):
            side.read(frame)
