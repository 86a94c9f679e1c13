"""The form of an answer: written as it is read, read as it grows, held by a schema."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.intent import Intent, Slot, Tier
from edge.lexicon import build_lexicon, default_scene
from edge.llm.model import LlmError
from edge.llm.output import (
    DECIDED,
    MAX_INTENTS,
    ReplyText,
    WrittenIntent,
    build_choices,
    read_answer,
    reply_prefix,
    write_answer,
)
from models.pack_file import load_pack

values = st.text() | st.integers(-1000, 1000) | st.floats(allow_nan=False, width=32)
intents = st.lists(
    st.builds(
        lambda name, slots: Intent(
            name=name,
            slots=tuple(Slot(name=slot, value=value) for slot, value in slots.items()),
            tier=Tier.GRAMMAR,
        ),
        st.text(min_size=1),
        st.dictionaries(st.text(min_size=1), values, max_size=3),
    ),
    max_size=MAX_INTENTS,
)
SPEECHES = st.text() | st.text('"\\/{}[]u,d83\U0001f600\u0130 \n\t\x00')
MOVE = Intent(
    name="move", slots=(Slot(name="direction", value="up"),), tier=Tier.GRAMMAR
)


def read(pieces: Iterable[str], prefix: str = "") -> tuple[list[object], str]:
    """Returns the intents of an answer and its reply."""
    items = list(read_answer(pieces, prefix))
    written = [item.found for item in items if isinstance(item, WrittenIntent)]
    texts = [item.text for item in items if isinstance(item, ReplyText)]
    assert items[: len(written)] == [WrittenIntent(found=found) for found in written]
    return written, "".join(texts)


def cut(text: str, places: list[int]) -> list[str]:
    """Returns a text in pieces."""
    bounds = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(bounds)]


@given(said=intents, reply=SPEECHES, places=st.lists(st.integers(0, 10_000)))
def test_what_is_written_is_read_however_it_arrives(
    said: list[Intent], reply: str, places: list[int]
) -> None:
    answer = write_answer(said, reply)
    expected = [{"name": intent.name, "slots": intent.values} for intent in said]

    assert read([answer]) == (expected, reply)
    assert read(answer) == (expected, reply)
    assert read(cut(answer, places)) == (expected, reply)
    assert json.loads(answer) == {"intents": expected, "reply": reply}


@given(said=intents, reply=SPEECHES, places=st.lists(st.integers(0, 10_000)))
def test_what_stands_in_the_prefix_is_not_read_again(
    said: list[Intent], reply: str, places: list[int]
) -> None:
    prefix = reply_prefix(said)
    rest = write_answer(said, reply).removeprefix(prefix)

    assert read(cut(rest, places), prefix) == ([], reply)


@given(reply=SPEECHES, places=st.lists(st.integers(0, 10_000)))
def test_escapes_are_read_however_they_are_cut(reply: str, places: list[int]) -> None:
    answer = json.dumps({"intents": [], "reply": reply}, separators=(",", ":"))

    assert read(cut(answer, places)) == ([], reply)
    assert read(answer) == ([], reply)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\ud83d", "\ufffd"),
        (r"\ude00", "\ufffd"),
        (r"\ud83d!", "\ufffd!"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ud83d\n", "\ufffd\n"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_half_a_character_is_never_spoken(written: str, spoken: str) -> None:
    answer = f'{{"intents":[],"reply":"{written}"}}'

    assert read([answer]) == ([], spoken)
    assert read(answer) == ([], spoken)


def test_an_intent_is_known_when_its_object_closes() -> None:
    answer = write_answer([MOVE, MOVE], "Up.")
    pieces = iter(answer)
    items = read_answer(pieces, "")

    assert next(items) == WrittenIntent(
        found={"name": "move", "slots": {"direction": "up"}}
    )
    assert "".join(pieces).startswith(',{"name"')


def test_a_reply_is_spoken_as_it_grows() -> None:
    pieces = iter(['{"intents":[],"reply":"Mind', " the step", '."}'])
    items = read_answer(pieces, "")

    assert next(items) == ReplyText(text="Mind")
    assert next(items) == ReplyText(text=" the step")


def test_what_follows_the_end_is_not_read() -> None:
    assert read(['{"intents":[],"reply":"Yes."}', "and so on"]) == ([], "Yes.")


@pytest.mark.parametrize(
    "unfinished", ['{"int', '{"intents":[{"na', '{"intents":[],"rep', ""]
)
def test_an_answer_that_stops_early_has_no_reply(unfinished: str) -> None:
    assert read(unfinished) == ([], "")


def test_a_reply_that_stops_early_is_read_to_there() -> None:
    assert read([r'{"intents":[],"reply":"Mind the \ud8']) == ([], "Mind the ")


@pytest.mark.parametrize(
    "malformed",
    [
        "Mind the step.",
        '{"reply":"Mind the step."}',
        '{ "intents": []',
        '{"intents":["move"],"reply":""}',
        '{"intents":[],"speech":"Mind the step."}',
        '{"intents":[]}',
        '{"intents":[1],"reply":""}',
        r'{"intents":[],"reply":"Mind the \step."}',
        r'{"intents":[],"reply":"\u12"}',
        "\x00",
    ],
)
def test_what_is_no_answer_is_an_error(malformed: str) -> None:
    for pieces in ([malformed], list(malformed)):
        with pytest.raises(LlmError) as caught:
            read(pieces)
        assert caught.value.code == "answer_form"


def test_an_error_does_not_repeat_what_was_said() -> None:
    with pytest.raises(LlmError) as caught:
        read(["My secret is"])

    assert "secret" not in str(caught.value)


def action(name: str, **slots: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of one intent."""
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            "slots": {
                "type": "object",
                "properties": slots,
                "additionalProperties": False,
            },
        },
        "required": ["name", "slots"],
        "additionalProperties": False,
    }


def test_the_model_is_told_its_actions() -> None:
    choices = build_choices({"anyOf": [action("stop")]}, actions="stop()")

    head, *lines = choices.told.splitlines()
    assert "JSON" in head
    assert lines == ["stop()"]


def is_valid(schema: str, intents: list[object], reply: object = "Yes.") -> bool:
    """Returns whether a schema allows an answer."""
    validator = Draft202012Validator(json.loads(schema))
    valid: bool = validator.is_valid({"intents": intents, "reply": reply})
    return valid


def test_an_answer_may_hold_only_what_is_offered() -> None:
    move = {"name": "move", "slots": {"way": "up"}}
    offered = {"anyOf": [action("move", way={"enum": ["up", "down"]})]}
    choices = build_choices(offered, actions="move(way: up|down)")

    assert is_valid(choices.schema, [])
    assert is_valid(choices.schema, [move] * MAX_INTENTS)
    assert not is_valid(choices.schema, [move] * (MAX_INTENTS + 1))
    assert not is_valid(choices.schema, [{"name": "sink", "slots": {}}])
    assert not is_valid(choices.schema, [{"name": "move", "slots": {"way": "in"}}])
    assert not is_valid(choices.schema, [move], reply=None)
    assert not is_valid(choices.schema, [move], reply="x" * 10_000)


def test_an_answer_can_be_made_to_act() -> None:
    move = {"name": "move", "slots": {}}
    choices = build_choices(
        {"anyOf": [action("move")]}, actions="move()", min_intents=2
    )

    assert not is_valid(choices.schema, [])
    assert not is_valid(choices.schema, [move])
    assert is_valid(choices.schema, [move, move])


def test_with_nothing_to_choose_nothing_is_told_or_allowed() -> None:
    choices = build_choices({"anyOf": []}, actions="")

    assert choices.told == ""
    assert is_valid(choices.schema, [])
    assert not is_valid(choices.schema, [{"name": "move", "slots": {}}])


@pytest.mark.parametrize("name", ["explorer", "barista"])
def test_the_actions_of_a_pack_are_all_told(name: str) -> None:
    pack = load_pack(name)
    lexicon = build_lexicon(pack, default_scene(pack))
    choices = build_choices(lexicon.schema(), actions=lexicon.actions)

    told = [line.partition("(")[0] for line in choices.told.splitlines()[1:]]
    assert told == [intent.name for intent in lexicon.llm_intents()]
    Draft202012Validator.check_schema(json.loads(choices.schema))


def test_decided_intents_fit_the_schema_of_an_answer() -> None:
    answer = json.loads(write_answer([MOVE], "Up we go."))

    assert is_valid(DECIDED.schema, answer["intents"], answer["reply"])
