"""Several commands in one utterance, and commands that are taken back."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.asr import Transcript
from edge.grammar import Said, sentences_of, tokens_of
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.nearest import Candidate
from edge.parts import MAX_PARTS, in_parts, swallows_parts
from edge.phonetics.sounds import Sounds
from models.pack_file import load_pack

Meaning = tuple[str, dict[str, object]]


@cache
def explorer() -> Lexicon:
    pack = load_pack("explorer")
    return build_lexicon(pack, default_scene(pack), sounds=Sounds())


def parts(text: str) -> tuple[Candidate, ...]:
    return in_parts(explorer(), Transcript(text=text), by_sound=True)


def meant(text: str) -> list[Meaning]:
    return [(one.said.declared.name, dict(one.said.values)) for one in parts(text)]


NIGHT: Meaning = ("set_time", {"time": "night"})
QUIET: Meaning = ("stop_music", {})
DANCE: Meaning = ("dance", {})
LEFT: Meaning = ("turn", {"side": "left", "angle_deg": 90})


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("make it night and stop the music", [NIGHT, QUIET]),
        ("make it night, then stop the music", [NIGHT, QUIET]),
        ("Make it night. Stop the music!", [NIGHT, QUIET]),
        ("make it night and then stop the music please", [NIGHT, QUIET]),
        ("stop the music and make it night", [QUIET, NIGHT]),
        ("make it night, turn left and dance", [NIGHT, LEFT, DANCE]),
        (
            "make it night, turn left, dance, stop the music",
            [NIGHT, LEFT, DANCE, QUIET],
        ),
        (
            "paint the boat red and make the kite bigger",
            [
                ("paint", {"object": "boat", "colour": "red"}),
                ("resize", {"object": "kite", "size": "bigger"}),
            ],
        ),
        # A word that joins may stand within a command.
        ("start a storm and dance", [("set_weather", {"weather": "storm"}), DANCE]),
        (
            "bring on the thunder and lightning and dance",
            [("set_weather", {"weather": "storm"}), DANCE],
        ),
    ],
)
def test_each_part_is_a_command(text: str, commands: list[Meaning]) -> None:
    assert meant(text) == commands


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "and",
        "no no no",
        "and and and",
        "make it night",
        "make it night and",
        "make it night and tell me a joke",  # not all of it
        "the weather is nice and the sea is calm",
        "I went left, then right",
        "never mind, no, forget it",
    ],
)
def test_what_is_not_made_of_commands_has_no_parts(text: str) -> None:
    assert meant(text) == []


def test_there_are_only_so_many_parts() -> None:
    many = ", ".join(["dance"] * (MAX_PARTS + 1))

    assert meant(many) == []
    assert meant(", ".join(["dance"] * MAX_PARTS)) == [DANCE] * MAX_PARTS
    assert meant(", ".join(["dance"] * 50)) == []


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        (
            "paint the boat red, no, the kite",
            "paint",
            {"object": "kite", "colour": "red"},
        ),
        (
            "paint the boat red, no, blue",
            "paint",
            {"object": "boat", "colour": "blue"},
        ),
        ("turn the lights off, sorry, on", "set_light", {"light": "on"}),
        (
            "make the boat smaller, hang on, bigger",
            "resize",
            {"object": "boat", "size": "bigger"},
        ),
        (
            "push the chest left, sorry I meant right, two metres",
            "move_object",
            {"object": "chest", "direction": "right", "distance_m": 2},
        ),
        ("skip to noon, no, to the afternoon", "set_time", {"time": "afternoon"}),
        ("make it rain, no wait, make it snow", "set_weather", {"weather": "snow"}),
        ("make it rain, actually dance", "dance", {}),
        (
            "go forward two metres no three metres",
            "move",
            {"direction": "forward", "distance_m": 3},
        ),
        (
            "take me to the beach, I mean the cave please",
            "teleport",
            {"place": "cave"},
        ),
        (  # twice
            "paint the boat red, no, blue, no, green",
            "paint",
            {"object": "boat", "colour": "green"},
        ),
    ],
)
def test_the_last_word_counts(text: str, name: str, values: dict[str, object]) -> None:
    ((found, said),) = meant(text)

    assert found == name
    assert said == values


def test_what_was_put_together_is_less_certain() -> None:
    (mended,) = parts("paint the boat red, no, blue")
    (again,) = parts("make it rain, no wait, make it snow")

    assert 0.5 < mended.confidence < again.confidence == 1


def test_each_part_is_where_it_was_said() -> None:
    text = "Make it night, um, and then stop the music please."
    spans = []
    for part in parts(text):
        reading, tokens = part.said.reading, part.said.tokens
        within = tokens[reading.start : reading.end]
        spans.append(text[within[0].start : within[-1].end])

    assert spans == ["Make it night", "stop the music"]


@pytest.mark.parametrize(
    ("text", "swallows"),
    [
        ("call the boat Salt and Pepper", True),
        ("call the boat Salty", False),
        ("write beware of the crabs on the sign", False),
        ("paint the boat red", False),
    ],
)
def test_a_free_text_may_hold_what_tells_parts_apart(text: str, swallows: bool) -> None:
    lexicon = explorer()
    (said, *_) = sentences_of(lexicon, text, tokens_of(lexicon, text))

    assert swallows_parts(said) is swallows


FRAGMENTS = st.sampled_from(
    ["make it night", "and", "no", ",", "the kite", "paint the boat red", "sorry", "hm"]
)


@settings(max_examples=25)
@given(st.lists(FRAGMENTS, max_size=9).map(" ".join))
def test_parts_are_always_commands_of_the_pack(text: str) -> None:
    for one in parts(text):
        assert one.said.declared in explorer().intents
        assert one.confidence >= explorer().pack.confidence
        for token in one.said.tokens:
            assert 0 <= token.start < token.end <= len(text)


@pytest.mark.parametrize(
    "said", ["no ", "boat no the kite ", "make it night and ", "and "]
)
def test_who_cannot_decide_is_looked_at_no_longer(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_looked = 0

    def counted(*arguments: Any) -> list[Said]:
        nonlocal n_looked
        n_looked += 1
        return sentences_of(*arguments)

    monkeypatch.setattr("edge.parts.sentences_of", counted)
    looked_at = []
    for n in (20, 40):
        n_looked = 0
        parts("make it night " + n * said)
        looked_at.append(n_looked)

    assert looked_at[1] <= 1.1 * looked_at[0] + 10
