"""Every line for machines is one JSON object that keeps to the published schema."""

from __future__ import annotations

import io
import json
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.asr import Transcript
from edge.build import RuntimeOptions, build_runtime
from edge.commands.events import (
    SCHEMA_FILE,
    error_line,
    event_line,
    recording_line,
    result_line,
    silence_line,
    summary_line,
)
from edge.commands.run import play
from edge.commands.show import JsonShow
from edge.dialogue import Reply
from edge.engines import ECHO
from edge.intent import Intent, Slot, Tier
from edge.pipeline import Stage, StageTiming, Turn, TurnEvent
from edge.tiers import Clarify
from models.errors import ModelError
from models.pack_file import load_pack
from models.store import Store

SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = Draft202012Validator(SCHEMA)

texts = st.text() | st.text('\n\r\t\0"\\\u2028\x85\U0001f600\ud83d')
shares = st.floats(0, 1)
times = st.floats(0, 1e5)
intents = st.builds(
    Intent,
    name=texts,
    slots=st.lists(
        st.builds(
            Slot,
            name=texts,
            value=texts | st.integers() | st.floats(-1e9, 1e9),
            text=texts,
        ),
        max_size=3,
    ).map(tuple),
    confidence=shares,
    tier=st.sampled_from(Tier),
    span=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    confirm=texts,
)
transcripts = st.builds(
    Transcript, text=texts, language=st.just("en"), confidence=shares
)
turns = st.builds(
    Turn,
    start_s=times,
    transcript=transcripts,
    intents=st.lists(intents, max_size=2).map(tuple),
    reply=st.builds(Reply, text=texts),
    timings=st.lists(
        st.builds(
            StageTiming, stage=st.sampled_from(Stage), start_s=times, seconds=times
        ),
        max_size=4,
    ).map(tuple),
)


def parsed(line: str) -> dict[str, Any]:
    """Returns a line, which must be one line and keep to the schema."""
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    found: dict[str, Any] = json.loads(line)
    VALIDATOR.validate(found)
    return found


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(transcripts)
def test_what_was_heard(transcript: Transcript) -> None:
    found = parsed(event_line(transcript))

    assert found["type"] == "transcript"
    assert found["text"] == transcript.text
    assert found["confidence"] == pytest.approx(transcript.confidence, abs=1e-4)


@given(intents)
def test_what_is_to_be_done(intent: Intent) -> None:
    found = parsed(event_line(intent))

    assert found["type"] == "intent"
    assert found["name"] == intent.name
    assert found["slots"] == intent.values
    assert found["tier"] == intent.tier
    assert found["confirm"] == intent.confirm
    assert tuple(found["span"]) == intent.span


@given(
    st.builds(
        Clarify,
        options=st.lists(intents, min_size=2, max_size=3).map(tuple),
        question=texts,
    )
)
def test_what_is_asked_back(clarify: Clarify) -> None:
    found = parsed(event_line(clarify))

    assert found["type"] == "clarify"
    assert found["question"] == clarify.question
    assert found["options"] == [
        {
            key: value
            for key, value in parsed(event_line(option)).items()
            if key != "type"
        }
        for option in clarify.options
    ]


@given(texts)
def test_what_is_answered(text: str) -> None:
    assert parsed(event_line(Reply(text=text))) == {"type": "reply", "text": text}


@given(turns)
def test_the_whole_turn(turn: Turn) -> None:
    found = parsed(event_line(turn))

    assert found["type"] == "turn"
    assert found["transcript"] == turn.transcript.text
    assert found["reply"] == turn.reply.text
    assert [each["name"] for each in found["intents"]] == [i.name for i in turn.intents]
    assert [each["stage"] for each in found["timings"]] == [
        timing.stage for timing in turn.timings
    ]


@given(name=texts, text=texts, said=st.lists(intents, max_size=2))
def test_everything_else(name: str, text: str, said: list[Intent]) -> None:
    result = result_line(name=name, word_error=1.5, intents=said, reply=text, ok=False)
    summary = summary_line(n_turns=3, peak_memory_mb=512.34, threads=2)
    error = ModelError("model_missing", text, name)

    assert parsed(silence_line(name)) == {"type": "no_speech", "source": name}
    assert parsed(recording_line(name, text))["reference"] == text
    assert len(parsed(result)["intents"]) == len(said)
    assert parsed(summary) == {
        "type": "summary",
        "turns": 3,
        "peak_memory_mb": 512.3,
        "threads": 2,
    }
    assert parsed(error_line(error)) == {
        "type": "error",
        "code": "model_missing",
        "message": text,
        "hint": name,
    }


INTENT = Intent(name="move", tier=Tier.GRAMMAR)
EVENTS: list[TurnEvent] = [
    Transcript(text="go up"),
    INTENT,
    Clarify(options=(INTENT, INTENT), question="Which?"),
    Reply(text="Up."),
    Turn(
        start_s=0,
        transcript=Transcript(text="go up"),
        intents=(INTENT,),
        reply=Reply(text="Up."),
        timings=(),
    ),
]
LINES = [
    *map(event_line, EVENTS),
    silence_line("x.wav"),
    summary_line(n_turns=1, peak_memory_mb=1, threads=1),
    recording_line("x", "go up"),
    result_line(name="x", word_error=0, intents=[INTENT], reply="Up.", ok=True),
    error_line(ModelError("code", "It failed.")),
]


def test_a_question_back_has_options() -> None:
    found = parsed(event_line(Clarify(options=(INTENT, INTENT), question="Which?")))

    assert not VALIDATOR.is_valid({**found, "options": found["options"][:1]})
    assert not VALIDATOR.is_valid({**found, "options": [{"name": "move"}] * 2})


@pytest.mark.parametrize("line", LINES)
def test_the_schema_allows_nothing_else(line: str) -> None:
    found = parsed(line)

    assert not VALIDATOR.is_valid({**found, "more": 1})
    assert not VALIDATOR.is_valid({**found, "type": "unheard_of"})
    for name in found:
        without = {key: value for key, value in found.items() if key != name}
        assert not VALIDATOR.is_valid(without), name


def test_every_kind_of_line_is_written_by_something() -> None:
    described = {kind["properties"]["type"]["const"] for kind in SCHEMA["oneOf"]}

    assert {parsed(line)["type"] for line in LINES} == described


def test_a_run_is_written_line_by_line() -> None:
    options = RuntimeOptions(vad=ECHO, asr=ECHO, llm=ECHO)
    runtime = build_runtime(load_pack("explorer"), Store.default(), options)
    out = io.StringIO()
    show = JsonShow(out)

    play(runtime.read("go forward ten metres", Event()), show)
    play(runtime.read("my \u201cCaf\u00e9\u201d is\nclosed", Event()), show)
    show.summary(n_turns=2, threads=1)

    lines = [parsed(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == [
        *("transcript", "intent", "reply", "turn"),
        *("transcript", "reply", "turn"),
        "summary",
    ]
    assert lines[1]["slots"] == {"direction": "forward", "distance_m": 10}
    assert lines[4]["text"] == "my \u201cCaf\u00e9\u201d is\nclosed"
