"""What was misheard becomes the sentence that sounds like it; other talk does not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.grammar import MAX_WORDS
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.nearest import Candidate, by_sound, candidates
from edge.phonetics.sounds import Sounds
from models.pack import PackModels
from models.pack_file import load_pack
from models.store import State, Store

pytestmark = pytest.mark.models


@cache
def pronounced() -> Sounds:
    store, name = Store.default(), PackModels().pronunciations
    if store.state(name) is not State.READY:
        from models.fetch import fetch

        fetch(store, name)
    (path,) = store.path(name).glob("*.dict")
    return Sounds(path)


@cache
def lexicon_of(pack: str) -> Lexicon:
    loaded = load_pack(pack)
    return build_lexicon(loaded, default_scene(loaded), sounds=pronounced())


def found(pack: str, *texts: str, confidence: float = 0.8) -> list[Candidate]:
    return candidates(lexicon_of(pack), list(texts), confidence)


def sure(pack: str, *texts: str) -> Candidate | None:
    lexicon = lexicon_of(pack)
    best = next(iter(found(pack, *texts)), None)
    return best if best and best.confidence >= lexicon.pack.confidence else None


@pytest.mark.parametrize(
    ("pack", "text", "values"),
    [
        (
            "barista",
            "can I get a light rose A town's ice mocha",
            {
                "size": "eight ounce",
                "roast": "light roast",
                "coffeeDrink": "iced mocha",
            },
        ),
        (
            "barista",
            "may I have a large dark rose coffee with soya milk",
            {
                "size": "large",
                "roast": "dark roast",
                "coffeeDrink": "coffee",
                "milkAmount": "soy milk",
            },
        ),
        (
            "barista",
            "can I get a medium rose to Americano with allmond milk",
            {
                "roast": "medium roast",
                "coffeeDrink": "americano",
                "milkAmount": "almond milk",
            },
        ),
        ("explorer", "paint the bought read", {"object": "boat", "colour": "red"}),
        (
            "explorer",
            "go four word ten meat hers",
            {"direction": "forward", "distance_m": 10},
        ),
        ("explorer", "take me to the light hows", {"place": "lighthouse"}),
        ("explorer", "make it knight", {"time": "night"}),
        ("explorer", "remove the bote", {"object": "boat"}),
        ("explorer", "turn off the lied", {"light": "off"}),
    ],
)
def test_misheard_words_fill_the_right_slots(
    pack: str, text: str, values: dict[str, object]
) -> None:
    best = sure(pack, text)

    assert best is not None
    assert best.said.values == values
    assert 0 <= best.cost < 0.2
    assert best.said.text == text


@pytest.mark.parametrize("text", ["way", "shop", "weave", "chance", "yelp", "breeze"])
def test_a_short_command_is_not_every_word_that_is_near(text: str) -> None:
    assert sure("explorer", text) is None


@pytest.mark.parametrize(
    "text", ["wave", "stop", "dance", "help", "freeze", "Stop!", "please wave"]
)
def test_a_short_command_is_certain_in_its_own_words(text: str) -> None:
    best = sure("explorer", text)

    assert best is not None
    assert (best.cost, best.confidence) == (0, 1)


@pytest.mark.parametrize(
    ("pack", "text"),
    [
        ("barista", "we should get coffee some time"),
        ("barista", "I like coffee"),
        ("barista", "my sister works in a coffee shop in town"),
        ("explorer", "I was thinking about the lighthouse yesterday"),
        ("explorer", "my arms are so tired already"),
        ("explorer", "what is the capital of France"),
        ("explorer", "I think the boat is red and the kite is blue"),
        ("explorer", "order me a pizza"),
        ("explorer", "you know the other day it rained on my way home"),
    ],
)
def test_other_talk_is_no_command(pack: str, text: str) -> None:
    assert sure(pack, text) is None


def test_what_must_not_be_understood_is_not_even_when_misheard() -> None:
    for lexicon in map(lexicon_of, ("barista", "explorer")):
        for line in lexicon.pack.never[::4]:
            assert by_sound(lexicon, [line.text], 0.8) == [], line.text


def test_exact_words_are_certain() -> None:
    (best, *_) = found("explorer", "Paint the boat red, please!")

    assert (best.cost, best.confidence) == (0, 1)
    assert best.words == "paint the boat red please"


def test_an_exact_best_hypothesis_is_not_doubted() -> None:
    (best, *_) = found("explorer", "paint the boat red", "paint the boat blue")

    assert best.said.values["colour"] == "red"


def test_a_further_hypothesis_is_taken_where_the_best_says_nothing() -> None:
    (best, *_) = found("explorer", "pane the boh bread", "paint the boat red")

    assert best.said.values == {"object": "boat", "colour": "red"}
    assert best.said.text == "paint the boat red"


def test_confidence_falls_with_the_cost() -> None:
    texts = [
        "paint the boat red",
        "paint the boat rid",
        "paint the boot rid",
        "pint a moot rid",
        "pint a moot bid him",
    ]
    shown = [
        next((one for one in found("explorer", text) if one.words == texts[0]), None)
        for text in texts
    ]
    known = [one for one in shown if one is not None]
    assert len(known) >= 3
    costs = [one.cost for one in known]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]
    confidences = [one.confidence for one in known]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] == 1
    assert confidences[-1] < confidences[1] < 1


def test_longer_sentences_may_differ_more() -> None:
    short = found("explorer", "wade")
    long = found("explorer", "could you please paint the wooden wench dark red")

    assert [one for one in short if one.confidence >= 0.5] == []
    assert long[0].confidence > 0.5
    assert long[0].said.values["object"] == "bench"


def test_candidates_come_nearest_first_and_each_thing_once() -> None:
    several = found("explorer", "paint the boat rat")

    assert [one.cost for one in several] == sorted(one.cost for one in several)
    meanings = [(one.said.declared.name, repr(one.said.values)) for one in several]
    assert len(meanings) == len(set(meanings))
    assert all(0 <= one.confidence <= 1 for one in several)


def test_words_are_found_where_they_were_heard() -> None:
    text = "okay, paint the bought read please"
    (best, *_) = found("explorer", text)
    heard_as = {token.text: text[token.start : token.end] for token in best.said.tokens}

    assert heard_as["boat"] == "bought"
    assert heard_as["red"] == "read"
    assert heard_as["paint"] == "paint"


@pytest.mark.parametrize(
    "text", ["", "...", "um", "\u0431\u043e\u0442", "\U0001f6a4", "paint \u0431"]
)
def test_what_has_no_sounds_is_nothing(text: str) -> None:
    assert [one for one in found("explorer", text) if one.confidence > 0.5] == []


def test_long_talk_is_nothing() -> None:
    long = " ".join(["paint the bought read and so on"] * MAX_WORDS)

    assert by_sound(lexicon_of("explorer"), [long], 0.8) == []


def test_a_new_name_is_heard_as_soon_as_it_is_there() -> None:
    before = lexicon_of("explorer")
    scene = default_scene(before.pack)
    thing = replace(scene.objects[0], id="k1", name="Kraken", aliases=())
    thing = replace(thing, tags=frozenset(["thing"]))
    after = build_lexicon(
        before.pack,
        replace(scene, objects=(*scene.objects, thing)),
        previous=before,
    )

    (best, *_) = by_sound(after, ["paint the cracken red"], 0.8)

    assert best.said.values == {"object": "k1", "colour": "red"}
    others = by_sound(before, ["paint the cracken red"], 0.8)
    assert "k1" not in [one.said.values.get("object") for one in others]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=3))
def test_any_text_gives_candidates_in_order(texts: list[str]) -> None:
    several = found("barista", *texts)

    assert [one.cost for one in several] == sorted(one.cost for one in several)
    for one in several:
        assert 0 <= one.confidence <= 1
        assert one.said.text in texts
        for token in one.said.tokens:
            assert 0 <= token.start <= token.end <= len(one.said.text)
