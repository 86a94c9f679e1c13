"""Where several things can be meant the player chooses, or points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.serve.actions import MAX_OPTIONS
from edge.serve.wire import server_side
from models.pack_file import load_pack
from tests.edge.serve.conftest import (
    Event,
    Model,
    Rig,
    Serving,
    Stranger,
    build,
    drained,
    wait_for,
)

PACK = """
format = 1
name = "attic"
[listen]
mode = "open_mic"
[understand]
tiers = ["grammar"]
[character.Mara]
persona = "Caretaker."
fallback = ["Say again?"]
[lists]
thing = { from_scene = { tag = "thing" }, pointing = true }
[intents.identify]
say = ["what is {thing}"]
reply = ["That is the {thing}."]
[intents.take]
say = ["take the {thing}"]
reply = ["Taken."]
when = "attic.open"
[intents.burn]
say = ["burn the {thing}"]
risk = "high"
confirm = "Burn the {thing}. Sure?"
[intents.wave]
say = ["wave"]
reply = ["Ahoy!"]
[scene.facts]
"attic.open" = true
"""

OLD = {
    "id": "lamp-old",
    "name": "lamp",
    "tags": ["thing"],
    "position": [-1, 1, -3],
    "size": [0.4, 0.8, 0.4],
}
NEW = {**OLD, "id": "lamp-new", "position": [1, 1, -3]}
BOX = {**OLD, "id": "box", "name": "box", "position": [0, 1, -3]}

Serve = Callable[..., Serving]


def ray(at_s: float, to: list[float], source: str = "right_hand") -> dict[str, Any]:
    """Returns a ray from the player's chest."""
    origin = [0.0, 1.0, 0.0]
    direction = [there - here for there, here in zip(to, origin, strict=True)]
    return {"source": source, "t": at_s, "origin": origin, "direction": direction}


@pytest.fixture
def pack_file(tmp_path: Path) -> Path:
    path = tmp_path / "pack.toml"
    path.write_text(PACK)
    return path


@pytest.fixture
def lamps(pack_file: Path) -> Rig:
    """A session whose scene has two lamps and a box."""
    rig = Rig(build(pack_file, Model()).join())
    rig.send("scene.set", rev=1, objects=[OLD, NEW, BOX], facts={"attic.open": True})
    rig.work()
    return rig


def ask(rig: Rig, text: str) -> Event:
    """Returns the question that words lead to."""
    rig.send("text", text=text)
    rig.work()
    (*_, asked) = rig.of("clarify")
    return asked


def errors(rig: Rig) -> list[tuple[str, int]]:
    return [(error["code"], error["of"]) for error in rig.of("error")]


# Choosing -------------------------------------------------------------------------


def test_two_things_by_one_name_are_asked_about(lamps: Rig) -> None:
    asked = ask(lamps, "take the lamp")

    assert asked["utterance"] == 1
    assert asked["options"] == [
        {"n": 0, "name": "take", "slots": {"thing": "lamp-old"}},
        {"n": 1, "name": "take", "slots": {"thing": "lamp-new"}},
    ]
    assert lamps.of("intent") == []
    assert [e["text"] for e in lamps.of("reply.delta")] == [asked["question"]]
    kinds = [event["type"] for event in lamps.events if "utterance" in event]
    assert kinds == [
        "speech.end",
        "transcript",
        "clarify",
        "reply.delta",
        "reply.end",
        "turn",
    ]
    assert lamps.ends() == [(1, "turn", "")]


def test_the_choice_is_an_intent_like_others(lamps: Rig) -> None:
    lamps.send("text", text="wave")
    asked = ask(lamps, "take the lamp")
    lamps.send("choose", utterance=asked["utterance"], n=1)
    lamps.work()

    wave, taken = lamps.of("intent")
    assert (taken["name"], taken["slots"]) == ("take", {"thing": "lamp-new"})
    assert taken["intent"] == wave["intent"] + 1
    assert taken["utterance"] == asked["utterance"]
    assert (taken["tier"], taken["scene_rev"]) == ("grammar", 1)
    lamps.send("result", intent=taken["intent"], ok=True)
    assert errors(lamps) == []


def test_what_was_chosen_was_spoken_of(lamps: Rig) -> None:
    asked = ask(lamps, "what is lamp")
    lamps.send("choose", utterance=asked["utterance"], n=1)
    lamps.send("text", text="take the lamp")  # the one of which we speak
    lamps.work()

    first, second = lamps.of("intent")
    assert first["slots"] == second["slots"] == {"thing": "lamp-new"}


def test_what_is_risky_is_confirmed_once_it_is_chosen(lamps: Rig) -> None:
    asked = ask(lamps, "burn the lamp")
    assert lamps.of("confirm") == []
    lamps.send("choose", utterance=asked["utterance"], n=0)
    lamps.work()

    assert lamps.of("intent") == []
    (sure,) = lamps.of("confirm")
    assert sure["slots"] == {"thing": "lamp-old"}
    lamps.send("confirm", intent=sure["intent"], yes=True)
    lamps.work()
    (intent,) = lamps.of("intent")
    assert (intent["name"], intent["intent"]) == ("burn", sure["intent"])


def test_a_question_is_answered_once(lamps: Rig) -> None:
    asked = ask(lamps, "take the lamp")
    lamps.send("choose", utterance=asked["utterance"], n=0)
    again = lamps.send("choose", utterance=asked["utterance"], n=1)
    lamps.work()

    assert len(lamps.of("intent")) == 1
    assert errors(lamps) == [("nothing_to_choose", again)]


def test_there_is_no_choice_without_a_question(lamps: Rig) -> None:
    first = lamps.send("choose", utterance=1, n=0)
    lamps.send("text", text="wave")
    second = lamps.send("choose", utterance=1, n=0)
    lamps.work()

    assert errors(lamps) == [("nothing_to_choose", n) for n in (first, second)]


def test_a_number_that_was_not_offered_leaves_the_question_open(lamps: Rig) -> None:
    asked = ask(lamps, "take the lamp")
    wrong = lamps.send("choose", utterance=asked["utterance"], n=2)
    lamps.send("choose", utterance=asked["utterance"], n=1)
    lamps.work()

    assert errors(lamps) == [("option_unknown", wrong)]
    assert lamps.of("intent")[0]["slots"] == {"thing": "lamp-new"}


@pytest.mark.parametrize("what", ["text", "spoken", "cancel", "pause", "reload"])
def test_what_comes_later_ends_the_question(
    lamps: Rig, pack_file: Path, what: str
) -> None:
    number = ask(lamps, "take the lamp")["utterance"]
    match what:
        case "text":
            lamps.send("text", text="wave")
        case "spoken":
            lamps.say()
        case "reload":
            lamps.session.set_pack(load_pack(str(pack_file.parent)))
        case _:
            lamps.send(what)
    lamps.work()
    late = lamps.send("choose", utterance=number, n=0)
    lamps.work()

    assert errors(lamps) == [("nothing_to_choose", late)]
    assert not [i for i in lamps.of("intent") if i["name"] == "take"]


def test_another_question_takes_the_place_of_the_first(lamps: Rig) -> None:
    first = ask(lamps, "take the lamp")["utterance"]
    second = ask(lamps, "burn the lamp")["utterance"]
    late = lamps.send("choose", utterance=first, n=0)
    lamps.send("choose", utterance=second, n=0)
    lamps.work()

    assert errors(lamps) == [("nothing_to_choose", late)]
    assert [event["name"] for event in lamps.of("confirm")] == ["burn"]


def test_a_click_ends_no_question(lamps: Rig) -> None:
    number = ask(lamps, "take the lamp")["utterance"]
    lamps.speak(0.05)
    lamps.speak(1, loud=False)
    lamps.send("say", text="Well?")
    lamps.send("choose", utterance=number, n=0)
    lamps.work()

    assert len(lamps.of("intent")) == 1


def test_an_object_that_left_cannot_be_chosen_and_the_other_can(lamps: Rig) -> None:
    number = ask(lamps, "take the lamp")["utterance"]
    lamps.send("scene.patch", base=1, rev=2, remove=["lamp-old"])
    gone = lamps.send("choose", utterance=number, n=0)
    lamps.send("choose", utterance=number, n=1)
    lamps.work()

    assert errors(lamps) == [("option_gone", gone)]
    (intent,) = lamps.of("intent")
    assert (intent["slots"], intent["scene_rev"]) == ({"thing": "lamp-new"}, 2)


def test_what_a_fact_forbids_cannot_be_chosen(lamps: Rig) -> None:
    number = ask(lamps, "take the lamp")["utterance"]
    lamps.send("fact", key="attic.open", value=False)
    gone = lamps.send("choose", utterance=number, n=0)
    lamps.work()

    assert errors(lamps) == [("option_gone", gone)]
    assert lamps.of("intent") == []


def test_a_question_that_was_cut_short_is_withdrawn(
    lamps: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_player = lamps.session._actions.ask

    def cancelled(*arguments: Any) -> None:
        lamps.send("cancel")
        ask_player(*arguments)

    monkeypatch.setattr(lamps.session._actions, "ask", cancelled)
    number = ask(lamps, "take the lamp")["utterance"]
    late = lamps.send("choose", utterance=number, n=0)
    lamps.work()

    assert lamps.ends() == [(1, "cancelled", "cancel")]
    assert errors(lamps) == [("nothing_to_choose", late)]


def test_options_are_no_more_than_the_schema_allows(lamps: Rig) -> None:
    many = [{**OLD, "id": f"lamp-{n}"} for n in range(MAX_OPTIONS + 5)]
    lamps.send("scene.set", rev=2, objects=many, facts={"attic.open": True})
    asked = ask(lamps, "take the lamp")

    assert 2 <= len(asked["options"]) <= MAX_OPTIONS
    assert server_side().write(asked)


# Pointing -------------------------------------------------------------------------


def test_what_is_pointed_at_is_meant(lamps: Rig) -> None:
    lamps.send("rays", rays=[ray(n / 72, [1, 1, -3]) for n in range(72)])
    lamps.send("text", text="what is this")
    lamps.work()

    (intent,) = lamps.of("intent")
    assert (intent["name"], intent["slots"]) == ("identify", {"thing": "lamp-new"})
    assert lamps.of("reply.delta")[0]["text"] == "That is the lamp."


def test_pointing_tells_two_things_by_one_name_apart(lamps: Rig) -> None:
    lamps.send("rays", rays=[ray(n / 72, [-1, 1, -3]) for n in range(72)])
    lamps.send("text", text="take the lamp")
    lamps.work()

    assert lamps.of("clarify") == []
    assert lamps.of("intent")[0]["slots"] == {"thing": "lamp-old"}


def test_the_latest_rays_count_whatever_order_they_come_in(lamps: Rig) -> None:
    late = [ray(10 + n / 72, [0, 1, -3]) for n in range(72)]
    early = [ray(5 + n / 72, [1, 1, -3]) for n in range(72)]
    lamps.send("rays", rays=late)
    lamps.send("rays", rays=early)
    lamps.send("text", text="what is this")
    lamps.work()

    assert lamps.of("intent")[0]["slots"] == {"thing": "box"}


def test_nothing_that_is_pointed_at_is_no_thing(lamps: Rig) -> None:
    lamps.send("rays", rays=[ray(n / 72, [0, 20, 3]) for n in range(72)])
    lamps.send("text", text="what is this")
    lamps.work()

    assert lamps.of("intent") == lamps.of("clarify") == []
    assert lamps.ends() == [(1, "turn", "")]


# Over a socket --------------------------------------------------------------------


def test_a_game_asks_its_player_over_the_wire(serve: Serve) -> None:
    with serve().client(results=True) as client:
        facts = {"attic.open": True}
        client.send("scene.set", rev=1, objects=[OLD, NEW, BOX], facts=facts)
        client.send("text", text="take the lamp")
        asked = wait_for(client, "clarify")
        wait_for(client, "turn")
        wrong = client.choose(asked["utterance"], 7)
        assert wait_for(client, "error")["of"] == wrong
        client.choose(asked["utterance"], asked["options"][1]["n"])
        intent = wait_for(client, "intent")
        client.send("result", intent=intent["intent"], ok=True)
        client.send("text", text="wave")
        wait_for(client, "turn")

        assert intent["slots"] == asked["options"][1]["slots"]
        assert not [e for e in drained(client) if e["type"] == "error"]


def test_a_question_outlives_its_connection(serve: Serve) -> None:
    serving = serve()
    first = Stranger(serving.port)
    name = first.enter()["session"]
    first.send("scene.set", id=1, rev=1, objects=[OLD, NEW])
    first.send("text", id=2, text="burn the lamp")
    last = first.wait("turn")["id"]
    first.connection.close()

    second = Stranger(serving.port)
    assert second.enter(resume=name, seen=last)["resumed"]
    second.send("choose", id=3, utterance=1, n=1)
    assert second.receive()["slots"] == {"thing": "lamp-new"}


def test_rays_come_before_the_words_over_the_wire(serve: Serve) -> None:
    with serve().client() as client:
        client.send("scene.set", rev=1, objects=[OLD, NEW, BOX])
        for n in range(0, 144, 12):
            x = 1 if n < 72 else 0
            rays = [ray((n + each) / 72, [x, 1, -3]) for each in range(12)]
            client.send("rays", rays=rays)
        client.send("text", text="what is this")

        assert wait_for(client, "intent")["slots"] == {"thing": "box"}
