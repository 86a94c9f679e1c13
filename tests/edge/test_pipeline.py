"""A turn from words to reply: what is known comes at once, nothing false is said."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import NoReturn

import numpy as np
import pytest

from edge.asr import Bias, Transcript
from edge.audio import AudioChunk
from edge.build import RuntimeOptions, build_runtime
from edge.dialogue import Reply
from edge.engines import ECHO
from edge.intent import Intent, Tier
from edge.llm.model import Generation, LlmError, Prompt, Role, Usage
from edge.llm.output import reply_prefix
from edge.pipeline import MAX_SENTENCES, Runtime, Stage, Turn, TurnEvent
from edge.vad import Utterance
from models.pack_file import load_pack
from models.store import Store

PACK = """
format = 1
name = "harbour"
[understand]
tiers = ["grammar", "llm"]
[character.Mara]
persona = "Harbour pilot."
fallback = ["Say again?", "The wind took that."]
[lists.light.values]
bright = ["bright"]
dim = ["dim"]
[intents.wave]
say = ["wave"]
reply = ["Ahoy!"]
[intents.set_light]
say = ["make it {light}"]
claims = ["it is now {light}"]
[intents.scuttle]
say = ["sink the boat"]
risk = "high"
confirm = "Sink it. Sure?"
"""


@dataclass
class ScriptedModel:
    """Answers what it is told to, and keeps what it was asked."""

    answer: str = ""
    max_messages: int = 1000
    """More do not fit."""
    asked: list[Generation] = field(default_factory=list)
    prepared: list[Prompt] = field(default_factory=list)
    n_pieces: int = 0
    """Pulled so far."""

    def generate(
        self, request: Generation, cancel: Event
    ) -> Generator[str, None, None]:
        self.asked.append(request)
        for character in self.answer:
            if cancel.is_set():
                return
            self.n_pieces += 1
            yield character

    @property
    def usage(self) -> Usage:
        return Usage()

    def prepare(self, prompt: Prompt) -> None:
        self.prepared.append(prompt)

    def fits(self, request: Generation) -> bool:
        return len(request.prompt.messages) <= self.max_messages

    def close(self) -> None:
        self.answer = ""


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def runtime(tmp_path: Path, model: ScriptedModel) -> Runtime:
    (tmp_path / "pack.toml").write_text(PACK)
    pack = load_pack(str(tmp_path))
    options = RuntimeOptions(vad=ECHO, asr=ECHO, llm=ECHO)
    runtime = build_runtime(pack, Store.default(), options)
    runtime.model = model
    return runtime


def written(*intents: object, reply: str) -> str:
    """Returns an answer as a model writes it."""
    answer = {"intents": intents, "reply": reply}
    return json.dumps(answer, separators=(",", ":"))


def told(runtime: Runtime, words: str) -> list[TurnEvent]:
    """Returns the events of a turn, which come in the order they should."""
    events = list(runtime.read(words, Event()))
    kinds = (Transcript, Intent, Reply, Turn)
    order = [kinds.index(type(event)) for event in events]
    assert order == sorted(order)
    assert (order.count(0), order.count(3)) == (1, 1)
    return events


def turn_of(events: Sequence[TurnEvent]) -> Turn:
    """Returns the turn, which holds what its events said."""
    turn = events[-1]
    assert isinstance(turn, Turn)
    assert list(turn.intents) == [e for e in events if isinstance(e, Intent)]
    replies = [event.text for event in events if isinstance(event, Reply)]
    assert turn.reply.text == " ".join(replies)
    return turn


def test_a_command_with_a_line_of_its_own_needs_no_model(
    runtime: Runtime, model: ScriptedModel
) -> None:
    turn = turn_of(told(runtime, "Wave!"))

    assert [intent.name for intent in turn.intents] == ["wave"]
    assert turn.intents[0].tier is Tier.GRAMMAR
    assert turn.reply.text == "Ahoy!"
    assert not model.asked


def test_a_command_without_one_is_answered_by_the_model(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer = 'It is now bright. Mind your eyes."}'

    turn = turn_of(told(runtime, "make it bright"))

    assert turn.intents[0].values == {"light": "bright"}
    assert turn.reply.text == "It is now bright. Mind your eyes."
    (request,) = model.asked
    assert request.prompt.prefix == reply_prefix(turn.intents)


def test_a_risky_command_is_asked_about(runtime: Runtime, model: ScriptedModel) -> None:
    turn = turn_of(told(runtime, "sink the boat"))

    assert [intent.name for intent in turn.intents] == ["scuttle"]
    assert turn.reply.text == "Sink it. Sure?"
    assert not model.asked


def test_other_words_may_be_understood_by_the_model(
    runtime: Runtime, model: ScriptedModel
) -> None:
    dim = {"name": "set_light", "slots": {"light": "dim"}}
    model.answer = written(dim, reply="It is now dim.")

    turn = turn_of(told(runtime, "my eyes hurt"))

    assert [intent.values for intent in turn.intents] == [{"light": "dim"}]
    assert turn.intents[0].tier is Tier.LLM
    assert turn.reply.text == "It is now dim."


def test_an_intent_comes_before_the_reply_is_written(
    runtime: Runtime, model: ScriptedModel
) -> None:
    dim = {"name": "set_light", "slots": {"light": "dim"}}
    model.answer = written(dim, reply="It is now dim.")

    for event in runtime.read("my eyes hurt", Event()):
        if isinstance(event, Intent):
            break

    assert model.answer[: model.n_pieces].endswith('"dim"}}')


def test_the_model_is_asked_for_intents_alone(
    runtime: Runtime, model: ScriptedModel
) -> None:
    dim = {"name": "set_light", "slots": {"light": "dim"}}
    sink = {"name": "scuttle", "slots": {}}  # high risk: never from a model
    model.answer = written(sink, dim, reply="It is now dim.")

    found = runtime.chosen("my eyes hurt", Event())

    assert found.is_whole
    assert [(intent.name, intent.tier) for intent in found.intents] == [
        ("set_light", Tier.LLM)
    ]
    assert "dim." not in model.answer[: model.n_pieces]
    assert not runtime.conversation.exchanges


@pytest.mark.parametrize(
    "found",
    [
        {"name": "scuttle", "slots": {}},
        {"name": "fly", "slots": {}},
        {"name": "set_light", "slots": {"light": "green"}},
        {"name": "set_light", "slots": {}},
        {"name": "wave", "slots": {"hand": "left"}},
        {"name": "wave"},
        {},
    ],
)
def test_the_model_may_not_do_what_it_is_not_offered(
    runtime: Runtime, model: ScriptedModel, found: object
) -> None:
    model.answer = written(found, reply="Aye.")

    turn = turn_of(told(runtime, "do it"))

    assert turn.intents == ()
    assert turn.reply.text == "Aye."


def test_the_model_may_not_say_what_was_not_done(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer = written(reply="It is now dim. Sleep well.")

    turn = turn_of(told(runtime, "my eyes hurt"))

    assert turn.reply.text == "Say again? Sleep well."


@pytest.mark.parametrize(
    "answer", ["", '{"intents":[', written(reply=""), written(reply=" ")]
)
def test_there_is_always_an_answer(
    runtime: Runtime, model: ScriptedModel, answer: str
) -> None:
    model.answer = answer

    assert turn_of(told(runtime, "hello")).reply.text == "Say again?"


def test_a_reply_is_kept_short(runtime: Runtime, model: ScriptedModel) -> None:
    model.answer = written(reply="One. Two. Three. Four.")

    turn = turn_of(told(runtime, "hello"))

    assert MAX_SENTENCES == 2
    assert turn.reply.text == "One. Two."
    assert model.n_pieces < len(model.answer)


def test_a_cancelled_turn_ends_where_it_is(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer = written(reply="One. Two. Three.")
    cancel = Event()
    events = []
    for event in runtime.read("hello", cancel):
        events.append(event)
        if isinstance(event, Reply):
            cancel.set()

    assert turn_of(events).reply.text == "One."
    assert not turn_of(list(runtime.read("hello", cancel))).reply.text


def test_without_its_tier_the_model_only_talks(
    runtime: Runtime, model: ScriptedModel
) -> None:
    runtime.tiers = frozenset({Tier.GRAMMAR})
    model.answer = 'Aye."}'

    turn = turn_of(told(runtime, "my eyes hurt"))

    assert turn.reply.text == "Aye."
    (request,) = model.asked
    assert request.prompt.prefix == reply_prefix([])
    assert "set_light" not in request.prompt.messages[0].text


def test_without_its_tier_the_grammar_is_not_asked(
    runtime: Runtime, model: ScriptedModel
) -> None:
    runtime.tiers = frozenset({Tier.LLM})
    model.answer = written(reply="Aye.")

    assert turn_of(told(runtime, "wave")).intents == ()


def test_the_model_is_told_what_was_said_before(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer = written(reply="Aye.")
    for words in ("wave", "hello", "and now?"):
        told(runtime, words)

    messages = model.asked[-1].prompt.messages
    shown = [each.text for each in messages if each.role is not Role.SYSTEM]
    assert shown[::2] == ["wave", "hello", "and now?"]
    assert "Ahoy!" in shown[1]
    assert '"wave"' in shown[1]
    assert "Aye." in shown[3]


def test_what_does_not_fit_is_forgotten_oldest_first(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer, model.max_messages = written(reply="Aye."), 5
    for words in ("one", "two", "three"):
        told(runtime, words)

    messages = model.asked[-1].prompt.messages
    players = [each.text for each in messages if each.role is Role.USER]
    assert players == ["two", "three"]


def test_speech_is_heard_and_timed(runtime: Runtime, model: ScriptedModel) -> None:
    model.answer = written(reply="Aye.")
    hum = np.full(16_000, 0.5, np.float32)
    quiet = np.zeros(16_000, np.float32)
    sound = [AudioChunk(samples=np.concatenate([quiet, hum, quiet]), start_s=0)]

    (utterance,) = runtime.listen(sound)
    turn = turn_of(list(runtime.hear(utterance, Event())))

    assert turn.transcript.text == "hello"
    assert turn.start_s == pytest.approx(0.7, abs=0.05)
    assert [timing.stage for timing in turn.timings] == list(Stage)
    end_s = 0.0
    for timing in turn.timings:
        assert timing.start_s == pytest.approx(end_s)
        assert timing.seconds >= 0
        end_s = timing.start_s + timing.seconds


def test_words_that_were_not_recognised_are_no_turn(runtime: Runtime) -> None:
    class Deaf:
        def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
            del utterance, bias
            return Transcript(text="")

        transcribe = draft

        def words(self, utterance: Utterance, transcript: Transcript) -> NoReturn:
            raise AssertionError((utterance, transcript))

        def speaking(self, language: str) -> Deaf:
            return self

        def close(self) -> None: ...

    runtime.recogniser = Deaf()
    sound = [AudioChunk(samples=np.full(16_000, 0.5, np.float32), start_s=0)]
    (utterance,) = runtime.listen(sound)

    assert list(runtime.hear(utterance, Event())) == []
    assert runtime.conversation.exchanges == ()


def test_an_answer_of_another_form_is_an_error(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer = "Aye, aye, Captain."

    with pytest.raises(LlmError):
        list(runtime.read("hello", Event()))
