"""A session: every utterance ends once, and what the game tells is heeded."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from edge.asr import Bias, Transcript
from edge.backends.echo import EchoRecogniser
from edge.llm.model import Generation
from edge.pipeline import Runtime
from edge.scene import Scene
from edge.serve.actions import RESULT_WAIT_S
from edge.serve.tasks import MAX_CALLS, MAX_WAITING
from edge.serve.wire import WireError
from models.pack import PackError
from models.pack_file import load_pack
from tests.edge.serve.conftest import PACK, PATIENCE_S, Hears, Model, Rig, build

BOAT = {"id": "b1", "name": "Marigold", "tags": ["boat"]}


def runtime_of(rig: Rig) -> Runtime:
    return rig.session.runtime


def remembered(rig: Rig) -> list[str]:
    """Returns what the character remembers having said."""
    exchanges = runtime_of(rig).conversation.exchanges
    return [exchange.reply for exchange in exchanges]


def rig_with(pack_file: Path, listen: str, model: Model, heard: str) -> Rig:
    """Returns a session of a pack that listens in another way, and hears this."""
    pack_file.write_text(PACK.replace('mode = "open_mic"', listen))
    runtime = build(pack_file, model)
    runtime.recogniser = Hears(heard)
    return Rig(runtime.join())


# Turns ---------------------------------------------------------------------------


def test_typed_words_are_answered(rig: Rig) -> None:
    rig.send("text", text="make it bright")
    rig.work()

    kinds = [event["type"] for event in rig.events]
    assert kinds == [
        "speech.end",
        "transcript",
        "intent",
        "reply.delta",
        "reply.end",
        "turn",
    ]
    assert [event["id"] for event in rig.events] == list(range(1, 7))
    (intent,) = rig.of("intent")
    assert intent["slots"] == {"light": "bright"}
    assert "span_s" not in intent
    assert rig.of("reply.delta")[0]["text"] == "It is now bright."
    assert rig.of("reply.end")[0]["cut_at"] is None
    assert rig.ends() == [(1, "turn", "")]


def test_spoken_words_are_answered_with_times(rig: Rig) -> None:
    runtime_of(rig).recogniser = EchoRecogniser("wave")
    rig = Rig(runtime_of(rig).join())
    rig.say()
    rig.work()

    assert rig.of("speech.start")[0]["at"] == 0
    (ended,) = rig.of("speech.end")
    assert ended["at"] == pytest.approx(0.5, abs=0.05)
    (intent,) = rig.of("intent")
    start_s, end_s = intent["span_s"]
    assert 0 <= start_s < end_s <= 1.5
    assert rig.ends() == [(1, "turn", "")]


def test_silence_and_clicks_are_no_utterances(rig: Rig) -> None:
    rig.speak(1, loud=False)
    rig.speak(0.05)
    rig.speak(1, loud=False)
    rig.work()

    assert rig.events == []


def test_what_has_no_words_is_dropped(pack_file: Path, model: Model) -> None:
    rig = rig_with(pack_file, 'mode = "open_mic"', model, "")
    rig.say()
    rig.work()

    assert rig.ends() == [(1, "dropped", "no_words")]


def test_a_partial_has_the_number_of_its_utterance(
    pack_file: Path, model: Model
) -> None:
    rig = rig_with(pack_file, 'mode = "open_mic"', model, "hello there")
    rig.speak(1)
    rig.work()
    rig.send("say", text="Ahoy.")
    rig.work()
    rig.say()
    rig.work()

    numbers = {event["utterance"] for event in rig.of("partial")}
    (spoken,) = [e for e in rig.of("speech.end") if e["why"] != "typed"]
    assert numbers == {spoken["utterance"]}


def test_a_message_that_came_before_is_ignored(rig: Rig) -> None:
    rig.send("text", text="wave")
    rig.session.receive({"type": "text", "id": 1, "text": "wave"})
    rig.work()

    assert len(rig.of("turn")) == 1


# What can go wrong ----------------------------------------------------------------


class Broken(Model):
    """Fails in the middle of a sentence."""

    def generate(
        self, request: Generation, cancel: threading.Event
    ) -> Generator[str, None, None]:
        yield "One. Tw"
        raise RuntimeError("out of order")


def test_a_failing_model_ends_the_utterance_and_nothing_else(pack_file: Path) -> None:
    rig = Rig(build(pack_file, Broken()).join())
    rig.send("text", text="hello")
    rig.send("text", text="wave")
    rig.work()

    assert rig.ends() == [(1, "dropped", "failed"), (2, "turn", "")]
    (error,) = rig.of("error")
    assert error["code"] == "internal"
    assert "out of order" not in error["message"]


def test_a_failing_recogniser_ends_the_utterance(rig: Rig) -> None:
    class Deaf(Hears):
        def draft(self, utterance: object, bias: Bias = ()) -> Transcript:
            raise RuntimeError("deaf")

    runtime_of(rig).recogniser = Deaf("")
    rig = Rig(runtime_of(rig).join())
    rig.say()
    rig.work()

    assert {event["code"] for event in rig.of("error")} == {"internal"}
    rig.ends()


def test_an_unusable_scene_is_told_and_the_words_are_answered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Runtime.set_scene

    def picky(runtime: Runtime, scene: Scene) -> None:
        if len(scene.objects) > 1:
            raise PackError("pack_spellings", "Too many words.")
        take(runtime, scene)

    monkeypatch.setattr(Runtime, "set_scene", picky)
    rig.send("scene.set", rev=1, objects=[BOAT, {**BOAT, "id": "b2"}])
    rig.send("text", text="wave")
    rig.send("rays", rays=[])
    rig.work()
    rig.send("pause")
    rig.work()

    assert rig.ends() == [(1, "turn", "")]
    assert rig.of("scene.ack")[-1]["errors"] == ["Too many words."]
    rig.send("scene.set", rev=2, objects=[BOAT])
    rig.work()
    assert rig.of("scene.ack")[-1]["errors"] == []


def test_the_oldest_words_make_room(rig: Rig) -> None:
    for _ in range(MAX_WAITING + 3):
        rig.send("text", text="wave")
    rig.work()

    assert rig.ends() == [
        *((n, "dropped", "queue_full") for n in (1, 2, 3)),
        *((n, "turn", "") for n in range(4, 4 + MAX_WAITING)),
    ]


def test_speech_that_found_no_room_is_counted(rig: Rig) -> None:
    for _ in range(MAX_WAITING + 2):
        rig.say()
    rig.work()

    overruns = rig.of("overrun")
    assert [event["count"] for event in overruns] == [1, 2]
    assert {event["what"] for event in overruns} == {"utterance"}
    assert len(rig.ends()) == MAX_WAITING


def test_messages_that_wait_are_bounded(rig: Rig) -> None:
    for _ in range(MAX_CALLS):
        rig.send("confirm", intent=1, yes=True)
    with pytest.raises(WireError) as refused:
        rig.send("confirm", intent=1, yes=True)

    assert refused.value.code == "too_much"
    rig.work()
    assert len(rig.of("error")) == MAX_CALLS
    assert [event["of"] for event in rig.of("error")][:2] == [1, 2]


# Cancelling and barge-in ----------------------------------------------------------


def answering(rig: Rig, model: Model) -> threading.Thread:
    """Has the character say one sentence of two, and hold."""
    model.waits_after = 1
    rig.send("text", text="hello")
    thread = rig.works()
    assert model.waiting.wait(PATIENCE_S)
    return thread


def test_cancelling_ends_what_is_said_and_drops_what_waits(
    rig: Rig, model: Model
) -> None:
    thread = answering(rig, model)
    rig.send("cancel")
    thread.join(PATIENCE_S)

    assert rig.ends() == [(1, "cancelled", "cancel")]
    assert model.n_said == 1
    assert [event["text"] for event in rig.of("reply.delta")] == ["One."]


def test_cancelling_drops_what_waits(rig: Rig) -> None:
    rig.send("text", text="wave")
    rig.send("text", text="make it dim")
    rig.say()
    rig.send("cancel")
    rig.work()

    assert rig.ends() == [(1, "cancelled", "cancel"), (2, "cancelled", "cancel")]
    assert rig.of("intent") == []


@pytest.mark.parametrize("how", ["speech", "button", "words"])
def test_speaking_while_the_character_answers_cuts_it_short(
    rig: Rig, model: Model, how: str
) -> None:
    thread = answering(rig, model)
    rig.send("played", utterance=1, characters=2, ended=False)
    match how:
        case "speech":
            rig.session.capture.become(
                runtime_of(rig).endpointing.segmenter(), is_open_mic=True, barge_in=True
            )
            rig.speak()
        case "button":
            rig.send("ptt", down=True)
        case "words":
            model.waits_after = None
            rig.send("text", text="wave")
    thread.join(PATIENCE_S)

    (end,) = [event for event in rig.of("reply.end") if event["utterance"] == 1]
    assert end["cut_at"] == 2
    assert rig.ends()[0] == (1, "cancelled", "barge_in")
    assert model.n_said == 1
    assert remembered(rig)[0] == "One.\u2014"


def test_the_character_remembers_what_was_heard_of_it(rig: Rig, model: Model) -> None:
    model.lines = ["One two three. ", "Four."]
    rig.send("text", text="hello")
    rig.work()
    rig.send("played", utterance=1, characters=7, ended=True)
    rig.work()

    assert remembered(rig) == ["One two\u2014"]


def test_a_reply_that_was_heard_to_its_end_stays_whole(rig: Rig) -> None:
    rig.send("text", text="hello")
    rig.work()
    rig.send("played", utterance=1, characters=9, ended=True)
    rig.work()

    assert remembered(rig) == ["One. Two."]


def test_another_characters_memory_is_left_alone(rig: Rig) -> None:
    rig.send("character", name="Odd")
    rig.send("text", text="hello")
    rig.send("character", name="Mara")
    rig.send("text", text="hello")
    rig.send("character", name="Odd")
    rig.work()
    rig.send("played", utterance=2, characters=3, ended=True)
    rig.work()

    assert remembered(rig) == ["One. Two."]
    runtime_of(rig).address("Mara")
    assert remembered(rig) == ["One\u2014"]


def test_words_that_are_looked_for_are_cancelled_too(
    pack_file: Path, model: Model
) -> None:
    rig = rig_with(pack_file, 'mode = "open_mic"', model, "wave")

    class Interrupted(Hears):
        def transcribe(self, utterance: object, bias: Bias = ()) -> Transcript:
            rig.send("cancel")
            return super().transcribe(utterance, bias)

        def draft(self, utterance: object, bias: Bias = ()) -> Transcript:
            return self.transcribe(utterance, bias)

    rig.session._ear.recogniser = Interrupted("wave")
    rig.say()
    rig.work()

    assert [end[1:] for end in rig.ends()] == [("cancelled", "cancel")]
    assert rig.of("intent") == []


def test_the_end_of_a_session_ends_its_utterances(rig: Rig, model: Model) -> None:
    thread = answering(rig, model)
    is_done = rig.session.end()
    thread.join(PATIENCE_S)
    rig.send("text", text="wave")
    rig.work()

    assert is_done.is_set()
    assert rig.ends() == [(1, "cancelled", "bye"), (2, "cancelled", "bye")]


# What the game answers ------------------------------------------------------------


@pytest.fixture
def telling(pack_file: Path, model: Model) -> Rig:
    """A session of a game that tells what became of intents."""
    return Rig(build(pack_file, model).join(), wants_results=True)


def test_a_refusal_reaches_the_character_before_it_speaks(
    telling: Rig, model: Model
) -> None:
    model.lines = ["It is now bright. ", "The fuse is gone."]
    telling.send("text", text="make it bright")
    thread = telling.works()
    number = telling.wait("intent")["intent"]
    telling.send("result", intent=number, ok=False, reason="the fuse is gone")
    thread.join(PATIENCE_S)

    (request,) = model.asked
    assert "[not done: set_light: the fuse is gone]" in request.prompt.messages[-1].text
    said = [event["text"] for event in telling.of("reply.delta")]
    assert said == ["Say again?", "The fuse is gone."]


def test_a_game_that_does_not_answer_is_not_waited_for_long(telling: Rig) -> None:
    telling.send("text", text="make it bright")
    telling.work()

    assert RESULT_WAIT_S < 1
    assert telling.of("reply.delta")[0]["text"] == "It is now bright."
    assert telling.ends() == [(1, "turn", "")]


def test_cancelling_does_not_wait_for_the_game(telling: Rig) -> None:
    telling.send("text", text="make it bright")
    thread = telling.works()
    telling.wait("intent")
    telling.send("cancel")
    thread.join(PATIENCE_S)

    assert telling.ends()[0][0] == 1


def test_results_are_of_intents_that_were_told(rig: Rig) -> None:
    with pytest.raises(WireError) as refused:
        rig.send("result", intent=1, ok=True)

    assert refused.value.code == "result_unknown"


def test_a_fact_is_known_in_the_next_turn(pack_file: Path, model: Model) -> None:
    pack_file.write_text(
        PACK + '\n[intents.dive]\nsay = ["dive"]\nreply = ["Splash."]\n'
        'when = "sea.calm"\n[scene.facts]\n"sea.calm" = false\n'
    )
    rig = Rig(build(pack_file, model).join())
    rig.send("text", text="dive")
    rig.work()
    assert rig.of("intent") == []

    rig.send("fact", key="sea.calm", value=True)
    rig.send("text", text="dive")
    rig.work()
    assert [intent["name"] for intent in rig.of("intent")] == ["dive"]


def test_a_risky_intent_waits_for_the_player(rig: Rig) -> None:
    rig.send("text", text="sink the boat")
    rig.work()
    (asked,) = rig.of("confirm")
    assert asked["question"] == "Sink it. Sure?"
    assert rig.of("intent") == []

    rig.send("confirm", intent=asked["intent"], yes=True)
    rig.work()
    (intent,) = rig.of("intent")
    assert (intent["intent"], intent["name"]) == (asked["intent"], "scuttle")


def test_a_no_does_nothing_and_a_question_is_answered_once(rig: Rig) -> None:
    rig.send("text", text="sink the boat")
    rig.work()
    number = rig.of("confirm")[0]["intent"]
    rig.send("confirm", intent=number, yes=False)
    last = rig.send("confirm", intent=number, yes=True)
    rig.work()

    assert rig.of("intent") == []
    (error,) = rig.of("error")
    assert (error["code"], error["of"]) == ("nothing_to_confirm", last)


def test_a_question_does_not_wait_for_a_result(telling: Rig) -> None:
    waits: list[float | None] = []

    class Waiting(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return True

    telling.session._lock = Waiting()
    telling.send("text", text="sink the boat")
    telling.work()

    assert telling.of("confirm")
    assert waits == []


# Scene, characters, lines of the game ---------------------------------------------


def test_the_scene_brings_words(rig: Rig) -> None:
    rig.send("text", text="board the Marigold")
    rig.work()
    assert rig.of("intent") == []

    rig.send("scene.set", rev=1, objects=[BOAT])
    rig.send("text", text="board the Marigold")
    rig.work()
    assert rig.of("intent")[0]["slots"] == {"boat": "b1"}
    assert rig.of("intent")[0]["scene_rev"] == 1


def test_many_patches_are_acknowledged_by_the_latest(rig: Rig) -> None:
    rig.send("scene.set", rev=1, objects=[BOAT])
    for n in range(1, 50):
        rig.send("scene.patch", base=n, rev=n + 1, set=[BOAT])
    rig.work()

    (ack,) = rig.of("scene.ack")
    assert ack["rev"] == 50


def test_another_character_answers(rig: Rig) -> None:
    rig.send("character", name="Odd")
    rig.send("text", text="wave")
    bad = rig.send("character", name="Nobody")
    rig.work()

    assert rig.of("reply.delta")[0]["character"] == "Odd"
    (error,) = rig.of("error")
    assert (error["code"], error["of"]) == ("character_unknown", bad)


def test_a_line_of_the_games_is_remembered(rig: Rig) -> None:
    rig.send("say", text="Storm ahead.", character="Odd")
    rig.work()

    (line,) = rig.of("reply.delta")
    assert (line["text"], line["character"]) == ("Storm ahead.", "Odd")
    assert remembered(rig) == ["Storm ahead."]
    assert rig.ends() == [(1, "turn", "")]


def test_a_line_of_nobodys_is_no_utterance(rig: Rig) -> None:
    rig.send("say", text="Boo.", character="Nobody")
    rig.work()

    assert rig.ends() == []
    assert rig.of("error")[0]["code"] == "character_unknown"


# Listening ------------------------------------------------------------------------


def test_a_headset_that_is_off_hears_nothing(rig: Rig) -> None:
    rig.send("text", text="wave")
    rig.send("pause")
    rig.say()
    rig.work()
    assert rig.ends() == [(1, "cancelled", "pause")]

    rig.send("resume")
    rig.say()
    rig.work()
    assert [end[1] for end in rig.ends()] == ["cancelled", "turn"]


def test_a_characters_own_words_are_not_answered(pack_file: Path, model: Model) -> None:
    listen = 'mode = "open_mic"\nbarge_in = true'
    rig = rig_with(pack_file, listen, model, "two three")
    model.lines = ["One, two. ", "Three, four."]
    rig.send("text", text="hello")
    rig.work()
    rig.send("played", utterance=1, characters=1, ended=False)
    rig.say()
    rig.work()
    rig.send("played", utterance=1, characters=22, ended=True)
    rig.speak(1, loud=False)
    rig.say()
    rig.work()

    assert rig.ends() == [(1, "turn", ""), (2, "dropped", "echo"), (3, "turn", "")]


def test_who_holds_the_button_may_repeat_the_character(
    pack_file: Path, model: Model
) -> None:
    rig = rig_with(pack_file, 'mode = "push_to_talk"', model, "wave")
    model.lines = ["Shall I wave?"]
    rig.send("text", text="hello")
    rig.work()
    rig.send("played", utterance=1, characters=1, ended=False)
    rig.send("ptt", down=True)
    rig.speak()
    rig.send("ptt", down=False)
    rig.work()

    assert [intent["name"] for intent in rig.of("intent")] == ["wave"]


def test_a_button_in_hand_is_needed_where_the_pack_says_so(
    pack_file: Path, model: Model
) -> None:
    rig = rig_with(pack_file, 'mode = "push_to_talk"', model, "hello")
    rig.say()
    rig.send("ptt", down=True)
    rig.speak()
    rig.send("ptt", down=False)
    rig.say()
    rig.work()

    (ended,) = rig.of("speech.end")
    assert ended["why"] == "released"


def test_a_wake_phrase_lets_words_in_and_others_go_no_further(
    pack_file: Path, model: Model
) -> None:
    listen = 'mode = "wake_phrase"\nwake = ["hey Mara"]'
    rig = rig_with(pack_file, listen, model, "wave")
    heard = runtime_of(rig).recogniser
    assert isinstance(heard, Hears)
    rig.say()
    rig.work()
    assert rig.ends() == [(1, "dropped", "no_wake_phrase")]
    assert not any("wave" in str(event) for event in rig.events)

    heard.text = "Hey Mara, wave"
    rig.say()
    rig.work()
    assert [intent["name"] for intent in rig.of("intent")] == ["wave"]

    heard.text = "make it dim"  # still awake
    rig.say()
    rig.work()
    assert [i["name"] for i in rig.of("intent")] == ["wave", "set_light"]


def test_a_gap_in_the_sound_ends_what_was_said(rig: Rig) -> None:
    rig.speak()
    rig.send("audio", at=160_000)
    rig.work()

    (ended,) = rig.of("speech.end")
    assert ended["at"] == pytest.approx(0.5, abs=0.05)
    assert rig.session.capture.n_samples == 160_000


# Packs ----------------------------------------------------------------------------


def test_a_new_pack_listens_and_answers_anew(rig: Rig, pack_file: Path) -> None:
    new = PACK.replace('["Ahoy!"]', '["Hello!"]').replace("open_mic", "push_to_talk")
    rig.send("text", text="wave")
    rig.work()
    pack_file.write_text(new)
    rig.session.set_pack(load_pack(str(pack_file.parent)))
    rig.send("text", text="wave")
    rig.say()
    rig.work()

    assert [e["text"] for e in rig.of("reply.delta")] == ["Ahoy!", "Hello!"]
    assert rig.ends() == [(1, "turn", ""), (2, "turn", "")]
