"""What an utterance asks for: one thing, several, a question, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from edge.asr import Transcript, Word
from edge.grammar import Completeness
from edge.intent import Tier
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.phonetics.sounds import Sounds
from edge.referents import Referents
from edge.scene import Ray, RaySource, Scene, SceneObject
from edge.understanding import NOTHING, Understanding, completeness, settles, understand
from models.pack import SceneList
from models.pack_file import load_pack

NIGHT = ("set_time", {"time": "night"})
QUIET: tuple[str, dict[str, object]] = ("stop_music", {})
NOBODY = Referents()


@cache
def explorer() -> Lexicon:
    pack = load_pack("explorer")
    return build_lexicon(pack, default_scene(pack), sounds=Sounds())


def with_confidence(confidence: float) -> Lexicon:
    lexicon = explorer()
    return replace(lexicon, pack=replace(lexicon.pack, confidence=confidence))


def heard(text: str, *others: str, confidence: float = 0.8) -> Understanding:
    transcript = Transcript(text=text, alternatives=others, confidence=confidence)
    return understand(explorer(), transcript, NOBODY)


def meant(text: str, *others: str) -> list[tuple[str, object]]:
    return [(intent.name, intent.values) for intent in heard(text, *others).intents]


@pytest.mark.parametrize(
    ("text", "intents"),
    [
        ("make it night", [NIGHT]),
        ("make it knight", [NIGHT]),
        ("make it knight and stop the music", [NIGHT, QUIET]),
        ("make it night, stop the muse ick and dance", [NIGHT, QUIET, ("dance", {})]),
        (
            "paint the bote red and make the kite bigger",
            [
                ("paint", {"object": "boat", "colour": "red"}),
                ("resize", {"object": "kite", "size": "bigger"}),
            ],
        ),
        (
            "paint the bowt red, no, the kite",
            [("paint", {"object": "kite", "colour": "red"})],
        ),
        # Free text stays whole, whatever it holds.
        (
            "call the boat Salt and Pepper",
            [("name_object", {"object": "boat", "label": "Salt and Pepper"})],
        ),
        (
            "write closed and gone on the sign",
            [("write_sign", {"text": "closed and gone"})],
        ),
        (
            "call the boat No Sorry",
            [("name_object", {"object": "boat", "label": "No Sorry"})],
        ),
        # But what follows it may be a command, too.
        (
            "call the boat Salty and stop the music",
            [("name_object", {"object": "boat", "label": "Salty"}), QUIET],
        ),
        ("bring on the thunder and lightning", [("set_weather", {"weather": "storm"})]),
        ("", []),
        ("...", []),
        ("my arms are so tired already", []),
        ("make it night and tell me a joke", []),
        ("I was thinking about the lighthouse and the beach", []),
    ],
)
def test_an_utterance_asks_for(text: str, intents: list[object]) -> None:
    assert meant(text) == intents


def test_nothing_was_understood_of_silence() -> None:
    assert heard("") == NOTHING
    assert heard("", "") == NOTHING


def test_intents_come_from_the_grammar_with_their_span() -> None:
    text = "Wren, make it knight, and then stop the music please!"
    first, second = heard(text).intents

    assert first.tier is second.tier is Tier.GRAMMAR
    assert text[slice(*first.span)] == "make it knight"
    assert text[slice(*second.span)] == "stop the music"
    assert first.slots[0].text == "knight"
    assert 0.5 <= first.confidence < 1
    assert second.confidence == 1


def test_slots_hold_what_was_heard() -> None:
    (intent,) = heard("take me to the peach please").intents
    (slot,) = intent.slots

    assert (slot.value, slot.text) == ("beach", "peach")


def test_what_follows_the_last_word_belongs_to_no_slot() -> None:
    text = "could you please take me to the beach mhuh"
    found = heard(text)

    for intent in found.intents:
        assert intent.values == {"place": "beach"}
        assert intent.slots[0].text.startswith("beach")


def test_a_span_is_within_the_transcript() -> None:
    (intent,) = heard("hello there", "paint the boat red", confidence=0.5).intents

    assert 0 <= intent.span[0] < intent.span[1] <= len("hello there")


def test_a_further_hypothesis_may_be_the_command() -> None:
    assert meant("paint the vote rad", "paint the boat red") == [
        ("paint", {"object": "boat", "colour": "red"})
    ]


def test_the_pack_says_how_sure_is_sure() -> None:
    transcript = Transcript(text="take me to the peach", confidence=0.8)
    (candidate, *_) = understand(explorer(), transcript, NOBODY).candidates
    assert 0 < candidate.confidence < 1

    below = with_confidence(candidate.confidence - 0.01)
    above = with_confidence(min(1.0, candidate.confidence + 0.01))

    assert [i.name for i in understand(below, transcript, NOBODY).intents]
    assert understand(above, transcript, NOBODY).intents == ()
    exact = Transcript(text="take me to the beach")
    assert understand(with_confidence(1.0), exact, NOBODY).intents


def test_what_was_looked_at_is_told_even_where_nothing_was_understood() -> None:
    found = heard("shop")

    assert found.intents == ()
    assert "stop" in [candidate.words for candidate in found.candidates]


@pytest.mark.parametrize(
    ("text", "confidence", "does"),
    [
        ("", 0.0, True),
        ("go forward", 0.1, True),  # a sentence, whatever the recogniser thinks
        ("go forward and dance", 0.1, False),
        ("everybody enjoys chocolate vanilla pudding", 0.95, True),  # surely talk
        ("everybody enjoys chocolate vanilla pudding", 0.5, False),
        ("paint the bought read", 0.95, False),  # may become a command
    ],
)
def test_a_draft_will_do(text: str, confidence: float, does: bool) -> None:
    draft = Transcript(text=text, confidence=confidence, is_draft=True)

    assert settles(explorer(), draft, sure=0.9) is does


@pytest.mark.parametrize(
    ("text", "is_draft", "how"),
    [
        ("make it night", False, Completeness.CLOSED),
        ("go forward", False, Completeness.COMPLETE),  # ten metres
        ("go", False, Completeness.OPEN),
        ("take me to the peach", False, Completeness.COMPLETE),
        ("take me to the peach", True, Completeness.OPEN),
        ("my arms are so tired already", False, Completeness.OPEN),
    ],
)
def test_completeness(text: str, is_draft: bool, how: Completeness) -> None:
    said = Transcript(text=text, is_draft=is_draft, confidence=0.8)

    assert completeness(explorer(), said) is how


# Words that point -------------------------------------------------------------------


def pointing() -> tuple[Lexicon, Scene]:
    pack = load_pack("explorer")
    lists = {
        name: replace(found, pointing=True) if isinstance(found, SceneList) else found
        for name, found in pack.lists.items()
    }
    things = tuple(
        SceneObject(
            id=name,
            name=name,
            tags=frozenset({"thing"}),
            position=(x, 0, -5),
            size=(1, 1, 1),
        )
        for name, x in (("boat", 0), ("kite", 5))
    )
    rays = tuple(
        Ray(
            source=RaySource.RIGHT_HAND,
            time_s=n / 30,
            origin=(0, 0, 0),
            # At the boat for the first second, then at the kite.
            direction=(0, 0, -1) if n < 30 else (0.70710678, 0, -0.70710678),
        )
        for n in range(90)
    )
    scene = Scene(objects=things, rays=rays)
    return build_lexicon(replace(pack, lists=lists), scene, sounds=Sounds()), scene


@pytest.mark.parametrize(
    "text",
    [
        "paint that red and paint that blue",
        "paint that red and pent that blue",  # the second part is misheard
    ],
)
def test_each_word_that_points_is_looked_up_at_its_own_time(text: str) -> None:
    lexicon, scene = pointing()
    words = [
        Word(text=word, start_s=0.35 * n, end_s=0.35 * n + 0.3, confidence=1)
        for n, word in enumerate(text.split())
    ]
    asked: list[str] = []

    def times(said: str) -> Sequence[Word]:
        asked.append(said)
        return words

    transcript = Transcript(text=text, confidence=0.5)
    found = understand(lexicon, transcript, Referents(scene=scene, times=times))

    assert [intent.values.get("object") for intent in found.intents] == ["boat", "kite"]
    # Only what was heard can be found in the sound.
    assert set(asked) == {text}


def test_one_part_that_is_unclear_leaves_all_to_a_question() -> None:
    lexicon, scene = pointing()
    twin = replace(scene.objects[1], id="kite_2", position=(9, 0, -5))
    scene = replace(scene, objects=(*scene.objects, twin), rays=())
    lexicon = build_lexicon(lexicon.pack, scene, previous=lexicon)

    text = Transcript(text="make it night and paint the kite blue")
    found = understand(lexicon, text, Referents(scene=scene))

    assert found.intents == ()
    assert [intent.values["object"] for intent in found.options] == ["kite", "kite_2"]


def test_a_part_that_means_nothing_undoes_none_of_the_others_by_halves() -> None:
    lexicon, scene = pointing()
    scene = replace(scene, rays=())

    text = Transcript(text="make it night and paint that blue")
    found = understand(lexicon, text, Referents(scene=scene))

    assert found.intents == ()
    assert found.options == ()
