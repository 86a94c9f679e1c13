"""A chain through a game: players, characters, scenes and packs that change."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from types import MappingProxyType

import numpy as np
import pytest

from edge import template_graph
from edge.asr import Bias, Transcript
from edge.backends.echo import EchoRecogniser
from edge.build import RuntimeOptions, build_runtime
from edge.dialogue import CUT, Outcome
from edge.engines import ECHO
from edge.grammar import Completeness
from edge.intent import Intent, Tier
from edge.llm.model import Role
from edge.llm.output import reply_prefix
from edge.pipeline import SURE, Runtime, Turn
from edge.scene import Scene, SceneObject
from edge.vad import Utterance
from models.pack import PackError
from models.pack_file import load_pack
from models.store import Store
from tests.edge.test_pipeline import PACK, ScriptedModel, told, turn_of, written

MORE = """
[character.Tom]
persona = "Fisherman."
fallback = ["Eh?"]
[lists.thing]
from_scene = { tag = "thing" }
[intents.take]
say = ["take the {thing}"]
reply = ["You have {thing}."]
[intents.open]
say = ["open the gate"]
when = "gate.near"
[intents.hold]
say = ["hold on [tight]"]
"""


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(answer=written(reply="Aye."))


@pytest.fixture
def runtime(tmp_path: Path, model: ScriptedModel) -> Runtime:
    (tmp_path / "pack.toml").write_text(PACK + MORE)
    options = RuntimeOptions(vad=ECHO, asr=ECHO, llm=ECHO)
    runtime = build_runtime(load_pack(str(tmp_path)), Store.default(), options)
    runtime.model = model
    return runtime


def intents(runtime: Runtime, words: str) -> list[str]:
    """Returns the names of the intents that the grammar finds."""
    return [
        intent.name
        for intent in turn_of(told(runtime, words)).intents
        if intent.tier is Tier.GRAMMAR
    ]


def scene(*names: str, **facts: bool) -> Scene:
    """Returns a scene of things that can be taken."""
    return Scene(
        objects=tuple(
            SceneObject(id=f"id-{name}", name=name, tags=frozenset(["thing"]))
            for name in names
        ),
        facts=MappingProxyType(
            {key.replace("_", "."): value for key, value in facts.items()}
        ),
    )


# Players -----------------------------------------------------------------------------


def test_players_remember_their_own_conversations(
    runtime: Runtime, model: ScriptedModel
) -> None:
    other = runtime.join()
    told(runtime, "one")
    told(other, "two")
    told(runtime, "three")

    def players() -> list[str]:
        messages = model.asked[-1].prompt.messages
        return [each.text for each in messages if each.role is Role.USER]

    assert players() == ["one", "three"]
    told(other, "four")
    assert players() == ["two", "four"]
    assert other.model is runtime.model
    assert other.recogniser is runtime.recogniser


def test_players_live_in_scenes_of_their_own(runtime: Runtime) -> None:
    other = runtime.join()

    other.set_scene(scene("anchor"))

    assert intents(other, "take the anchor") == ["take"]
    assert intents(runtime, "take the anchor") == []


# Scenes ------------------------------------------------------------------------------


def test_a_scene_changes_what_can_be_said(runtime: Runtime) -> None:
    runtime.set_scene(scene("anchor"))
    assert intents(runtime, "take the anchor") == ["take"]
    assert intents(runtime, "open the gate") == []

    runtime.set_scene(scene("net", gate_near=True))
    assert intents(runtime, "take the anchor") == []
    assert intents(runtime, "take the net") == ["take"]
    assert intents(runtime, "open the gate") == ["open"]


def test_where_only_looks_change_the_words_stay(runtime: Runtime) -> None:
    runtime.set_scene(scene("anchor"))
    before = runtime.lexicon

    runtime.set_scene(dataclasses.replace(runtime.scene, revision=7))

    assert runtime.lexicon is before
    assert runtime.scene.revision == 7


def test_a_scene_that_is_refused_changes_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.set_scene(scene("anchor"))
    before = runtime.scene, runtime.lexicon
    wider = scene("net", gate_near=True)
    with monkeypatch.context() as patch:
        patch.setattr(template_graph, "MAX_SPELLINGS", 0)
        with pytest.raises(PackError):
            runtime.set_scene(wider)
    assert (runtime.scene, runtime.lexicon) == before

    runtime.set_scene(wider)

    assert intents(runtime, "take the net") == ["take"]


# Packs and characters ----------------------------------------------------------------


def test_another_pack_begins_anew_with_the_same_scene(
    runtime: Runtime, tmp_path: Path, model: ScriptedModel
) -> None:
    runtime.set_scene(scene("anchor"))
    runtime.address("Tom")
    told(runtime, "one")
    folder = tmp_path / "other"
    folder.mkdir()
    listen = "[listen]\nendpoint_ms = [300, 600]\ninstant = false\n"
    (folder / "pack.toml").write_text(
        (PACK + MORE).replace('say = ["wave"]', 'say = ["salute"]') + listen
    )

    runtime.set_pack(load_pack(str(folder)))

    assert intents(runtime, "wave") == []
    assert intents(runtime, "salute") == ["wave"]
    assert intents(runtime, "take the anchor") == ["take"]
    assert runtime.conversation.character.name == "Tom"
    assert "one" not in [each.player for each in runtime.conversation.exchanges]
    assert (runtime.endpointing.complete_s, runtime.endpointing.instant) == (0.3, False)


def test_a_character_who_is_gone_is_replaced(runtime: Runtime, tmp_path: Path) -> None:
    runtime.address("Tom")
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "pack.toml").write_text(PACK)

    runtime.set_pack(load_pack(str(folder)))

    assert runtime.conversation.character.name == "Mara"


def test_each_character_remembers_what_was_said_to_them(
    runtime: Runtime, model: ScriptedModel
) -> None:
    told(runtime, "one")
    runtime.address("Tom")
    told(runtime, "two")
    system = [e.text for e in model.asked[-1].prompt.messages if e.role is Role.SYSTEM]
    assert system[-1] == "Fisherman."
    assert [each.player for each in runtime.conversation.exchanges] == ["two"]

    runtime.address("Mara")

    assert [each.player for each in runtime.conversation.exchanges] == ["one"]
    runtime.address("Tom")
    assert [each.player for each in runtime.conversation.exchanges] == ["two"]


def test_each_character_has_lines_of_their_own(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer = written(reply="")
    runtime.address("Tom")

    assert turn_of(told(runtime, "hm")).reply.text == "Eh?"


def test_whoever_is_not_there_cannot_be_addressed(runtime: Runtime) -> None:
    with pytest.raises(PackError):
        runtime.address("Nobody")

    assert runtime.conversation.character.name == "Mara"


def test_what_is_prepared_is_how_every_prompt_begins(
    runtime: Runtime, model: ScriptedModel
) -> None:
    runtime.prepare()
    (prepared,) = model.prepared

    for words in ("one", "two"):
        told(runtime, words)
        messages = model.asked[-1].prompt.messages
        assert messages[: len(prepared.messages)] == prepared.messages
    assert prepared.messages[-1].keep


# What the game did -------------------------------------------------------------------


def refuse(found: Sequence[Intent]) -> list[Outcome]:
    """The game does nothing."""
    return [Outcome(intent=each, ok=False, reason="it is stuck") for each in found]


def test_what_the_game_did_not_do_is_told_and_not_claimed(
    runtime: Runtime, model: ScriptedModel
) -> None:
    runtime.outcomes = refuse
    model.answer = 'It is now bright. It is stuck."}'

    turn = turn_of(told(runtime, "make it bright"))

    assert [intent.name for intent in turn.intents] == ["set_light"]
    assert turn.reply.text == "Say again? It is stuck."
    (request,) = model.asked
    assert request.prompt.prefix == reply_prefix([])
    assert "[not done: set_light: it is stuck]" in request.prompt.messages[-1].text


def test_a_line_of_its_own_is_for_what_was_done(
    runtime: Runtime, model: ScriptedModel
) -> None:
    runtime.outcomes = refuse
    model.answer = 'I cannot."}'

    assert turn_of(told(runtime, "wave")).reply.text == "I cannot."


def test_what_the_model_chose_in_vain_is_spoken_of_anew(
    runtime: Runtime, model: ScriptedModel
) -> None:
    runtime.outcomes = refuse
    dim = {"name": "set_light", "slots": {"light": "dim"}}
    model.answer = written(dim, reply="It is now dim.")

    said = turn_of(told(runtime, "my eyes hurt"))

    assert len(model.asked) == 2
    assert "not done" in model.asked[1].prompt.messages[-1].text
    assert [intent.name for intent in said.intents] == ["set_light"]


def test_a_turn_that_was_cut_says_so_and_is_remembered_so(
    runtime: Runtime, model: ScriptedModel
) -> None:
    model.answer = written(reply="One. Two. Three.")
    cancel = Event()
    last = None
    for event in runtime.read("hello", cancel):
        last = event
        if not isinstance(event, Turn):
            cancel.set()

    assert isinstance(last, Turn)
    assert last.was_cut
    assert runtime.conversation.exchanges[-1].reply.endswith(CUT)


# Words that were recognised before ---------------------------------------------------


class Unsure(EchoRecogniser):
    """Mishears at first."""

    def __init__(self, first: str, then: str, *, confidence: float = 0.5) -> None:
        super().__init__(first)
        self.then = then
        self.confidence = confidence
        self.n_looks = 0

    def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        draft = super().draft(utterance, bias)
        return dataclasses.replace(draft, confidence=self.confidence, is_draft=True)

    def transcribe(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        self.n_looks += 1
        return Transcript(text=self.then)


UTTERANCE = Utterance(samples=np.zeros(16_000, np.float32), start_s=3, speech_end_s=3.7)


def test_a_draft_will_do_where_it_is_a_command(runtime: Runtime) -> None:
    runtime.recogniser = unsure = Unsure("wave", "waves")

    turn = turn_of(list(runtime.hear(UTTERANCE, Event())))

    assert turn.transcript.text == "wave"
    assert unsure.n_looks == 0
    assert turn.start_s == 3


@pytest.mark.parametrize("confidence", [0.5, 1.0])
def test_a_draft_that_may_be_a_command_gets_a_better_look(
    runtime: Runtime, confidence: float
) -> None:
    runtime.recogniser = unsure = Unsure("wafe", "wave", confidence=confidence)

    turn = turn_of(list(runtime.hear(UTTERANCE, Event())))

    assert turn.transcript.text == "wave"
    assert unsure.n_looks == 1


@pytest.mark.parametrize(("confidence", "n_looks"), [(0.5, 1), (SURE, 0), (1.0, 0)])
def test_of_talk_a_draft_will_do_where_it_is_sure(
    runtime: Runtime, confidence: float, n_looks: int
) -> None:
    said = "my uncle is a plumber"
    runtime.recogniser = unsure = Unsure(said, said, confidence=confidence)

    list(runtime.hear(UTTERANCE, Event()))

    assert unsure.n_looks == n_looks


@pytest.mark.parametrize(("confidence", "n_looks"), [(0.5, 1), (SURE, 0)])
def test_without_the_grammar_a_draft_will_do_only_where_it_is_sure(
    runtime: Runtime, confidence: float, n_looks: int
) -> None:
    runtime.tiers = frozenset({Tier.LLM})
    runtime.recogniser = unsure = Unsure("wave", "wave", confidence=confidence)

    list(runtime.hear(UTTERANCE, Event()))

    assert unsure.n_looks == n_looks
    assert runtime.completeness(Transcript(text="wave")) is Completeness.OPEN


def test_what_was_heard_before_is_answered(runtime: Runtime) -> None:
    transcript = Transcript(text="wave")

    turn = turn_of(list(runtime.answer(transcript, 5.0, Event())))

    assert (turn.start_s, turn.transcript) == (5.0, transcript)
    assert [intent.name for intent in turn.intents] == ["wave"]


def heard(text: str) -> Transcript:
    return Transcript(text=text, is_draft=True)


def test_an_ear_has_the_words_of_the_moment(runtime: Runtime) -> None:
    ear = runtime.ear()
    assert ear.completeness(heard("hold on")) is Completeness.COMPLETE
    assert ear.completeness(heard("take the anchor")) is Completeness.OPEN

    runtime.set_scene(scene("anchor", "anchor chain"))

    assert ear.completeness(heard("take the anchor")) is Completeness.COMPLETE
    assert ear.completeness(heard("take the anchor chain")) is Completeness.CLOSED
