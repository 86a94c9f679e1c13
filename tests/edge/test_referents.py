"""What "that", "it" and a shared name mean, by pointing and by what was spoken of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.asr import Transcript, Word
from edge.backends.echo import EchoEncoder
from edge.deixis import Mark, deictic_spots, deictic_things
from edge.intent import Tier
from edge.lexicon import Lexicon, build_lexicon
from edge.paraphrase import Paraphrases
from edge.referents import MAX_MEANT, Referents
from edge.scene import Ray, RaySource, Scene, SceneObject, Vector
from edge.tiers import Understood, understood
from models.pack_file import load_pack

PACK = """\
format = 1
name = "test"
[character.Mara]
persona = "x"
[lists]
thing = { from_scene = { tag = "thing" }, pointing = true }
boat = { from_scene = { tag = "boat" }, pointing = true }
spot = { type = "spot" }
[intents.grab]
say = ["grab [the] {thing}"]
like = ["I would love to hold {thing}"]
[intents.sink]
say = ["sink [the] {boat}"]
[intents.put]
say = ["put {thing} {spot}"]
[intents.swap]
say = ["swap {thing:one} with {thing:other}"]
"""
AHEAD: Vector = (0.0, 0.0, -1.0)
RIGHT: Vector = (1.0, 0.0, 0.0)
UP: Vector = (0.0, 1.0, 0.0)
DOWN: Vector = (0.0, -0.70710678, -0.70710678)


def a_thing(
    name: str, at: Vector | None = None, *, called: str = "", tag: str = "thing"
) -> SceneObject:
    return SceneObject(
        id=name,
        name=called or name,
        tags=frozenset({tag, "thing"}),
        position=at,
        size=(1, 1, 1),
    )


LAMP = a_thing("lamp", (0, 0, -5))
KRAKEN = a_thing("kraken", (5, 0, 0), tag="boat")
DRESSER = a_thing("dresser")
THINGS = (LAMP, KRAKEN, DRESSER)


def pointed(*directions: Vector, origin: Vector = (0, 0, 0)) -> tuple[Ray, ...]:
    """Returns rays of a hand that point one second in each direction."""
    return tuple(
        Ray(
            source=RaySource.RIGHT_HAND,
            time_s=second + n / 30,
            origin=origin,
            direction=direction,
        )
        for second, direction in enumerate(directions)
        for n in range(30)
    )


@pytest.fixture
def lexicon(tmp_path: Path) -> Lexicon:
    (tmp_path / "pack.toml").write_text(PACK, encoding="utf-8")
    return build_lexicon(load_pack(tmp_path), Scene(objects=THINGS))


def spoken(text: str, each_s: float = 0.5) -> tuple[Word, ...]:
    return tuple(
        Word(text=word, start_s=n * each_s, end_s=(n + 1) * each_s, confidence=1)
        for n, word in enumerate(text.split())
    )


def said(
    lexicon: Lexicon,
    text: str,
    scene: Scene,
    *focus: str,
    tier: Tier = Tier.GRAMMAR,
    each_s: float = 0.5,
) -> Understood:
    lexicon = build_lexicon(lexicon.pack, scene, previous=lexicon)
    found = understood(
        lexicon,
        Transcript(text=text),
        Referents(scene=scene, focus=focus, times=lambda said: spoken(said, each_s)),
        tiers=frozenset({tier}),
        paraphrases=Paraphrases.build(lexicon.pack, EchoEncoder()),
    )
    options = found.clarify.options if found.clarify else ()
    for intent in (*found.intents, *options):
        for slot in intent.slots:
            assert not isinstance(slot.value, Mark)
    return found


def values(found: Understood) -> list[dict[str, object]]:
    return [dict(intent.values) for intent in found.intents]


def test_that_is_what_is_pointed_at_when_it_is_said(lexicon: Lexicon) -> None:
    scene = Scene(objects=THINGS, rays=pointed(AHEAD, AHEAD, RIGHT, RIGHT))

    early = said(lexicon, "grab that", scene)  # from 0.5 s on
    late = said(lexicon, "please grab that", scene, each_s=1.2)  # from 2.4 s on

    assert values(early) == [{"thing": "lamp"}]
    assert values(late) == [{"thing": "kraken"}]
    assert early.intents[0].slots[0].text == "that"


def test_two_words_point_at_two_things(lexicon: Lexicon) -> None:
    scene = Scene(objects=THINGS, rays=pointed(AHEAD, AHEAD, RIGHT, RIGHT))

    found = said(lexicon, "swap that with this one", scene, each_s=0.8)

    assert values(found) == [{"one": "lamp", "other": "kraken"}]


def test_what_is_pointed_at_goes_before_what_was_spoken_of(lexicon: Lexicon) -> None:
    scene = Scene(objects=THINGS, rays=pointed(AHEAD, AHEAD))

    assert values(said(lexicon, "grab that", scene, "dresser")) == [{"thing": "lamp"}]
    assert values(said(lexicon, "grab it", scene, "dresser")) == [{"thing": "dresser"}]


def test_each_is_what_the_other_means_where_there_is_nothing_else(
    lexicon: Lexicon,
) -> None:
    silent = Scene(objects=THINGS)
    scene = replace(silent, rays=pointed(AHEAD, AHEAD))

    assert values(said(lexicon, "grab that", silent, "dresser")) == [
        {"thing": "dresser"}
    ]
    assert values(said(lexicon, "grab it", scene)) == [{"thing": "lamp"}]


def test_only_what_the_slot_takes_can_be_meant(lexicon: Lexicon) -> None:
    scene = Scene(objects=THINGS, rays=pointed(AHEAD, AHEAD))

    assert values(said(lexicon, "sink it", scene, "dresser", "kraken")) == [
        {"boat": "kraken"}
    ]
    assert values(said(lexicon, "sink it", scene, "dresser", "gone")) == []
    assert values(said(lexicon, "sink that", scene)) == []


@pytest.mark.parametrize("text", ["grab that", "grab it", "put that there"])
def test_where_nothing_is_meant_nothing_is_done(lexicon: Lexicon, text: str) -> None:
    for rays in ((), pointed(UP, UP, UP)):
        scene = Scene(objects=THINGS, rays=rays)
        for tier in (Tier.GRAMMAR, Tier.SEMANTIC):
            found = said(lexicon, text, scene, tier=tier)
            assert found.intents == ()
            assert found.clarify is None


def test_there_is_the_spot_that_is_pointed_at(lexicon: Lexicon) -> None:
    rays = pointed(AHEAD, DOWN, DOWN, origin=(0, 2, 0))
    at_eye_level = replace(LAMP, position=(0.0, 2.0, -5.0))
    scene = Scene(objects=(at_eye_level,), rays=rays)

    (found,) = values(said(lexicon, "put that there", scene, each_s=0.55))

    assert found["thing"] == "lamp"
    x, y, z = map(float, str(found["spot"]).split())
    assert (x, y, z) == pytest.approx((0, 0, -2), abs=0.1)


TWINS = (
    a_thing("left", (0, 0, -5), called="buoy"),
    a_thing("right", (5, 0, 0), called="buoy"),
    a_thing("other", (-5, 0, 0)),
)


def test_a_shared_name_means_the_one_that_is_pointed_at(lexicon: Lexicon) -> None:
    ahead = Scene(objects=TWINS, rays=pointed(AHEAD, AHEAD))
    aside = Scene(objects=TWINS, rays=pointed(RIGHT, RIGHT))

    assert values(said(lexicon, "grab the buoy", ahead, "right")) == [{"thing": "left"}]
    assert values(said(lexicon, "grab the buoy", aside)) == [{"thing": "right"}]


def test_a_shared_name_means_the_one_that_was_spoken_of(lexicon: Lexicon) -> None:
    scene = Scene(objects=TWINS)

    assert values(said(lexicon, "grab the buoy", scene, "other", "right")) == [
        {"thing": "right"}
    ]


def test_a_shared_name_is_asked_about(lexicon: Lexicon) -> None:
    many = tuple(a_thing(f"b{n}", called="buoy") for n in range(MAX_MEANT + 3))
    for things in (TWINS, many):
        found = said(lexicon, "grab the buoy", Scene(objects=things))
        called = [one.id for one in things if one.name == "buoy"]

        assert found.intents == ()
        assert found.clarify is not None
        options = [option.values["thing"] for option in found.clarify.options]
        assert options == called[:MAX_MEANT]
        assert found.clarify.question == "Which buoy do you mean?"


def test_two_things_at_which_is_pointed_are_asked_about(lexicon: Lexicon) -> None:
    things = (a_thing("lamp", (-0.8, 0, -5)), a_thing("vase", (0.8, 0, -5)))
    scene = Scene(objects=things, rays=pointed(AHEAD, AHEAD))

    found = said(lexicon, "grab that", scene)

    assert found.intents == ()
    assert found.clarify is not None
    options = {str(option.values["thing"]) for option in found.clarify.options}
    assert options == {"lamp", "vase"}
    assert all(name in found.clarify.question for name in options)


def test_the_second_tier_looks_up_words_in_the_same_way(lexicon: Lexicon) -> None:
    scene = Scene(objects=THINGS, rays=pointed(AHEAD, AHEAD, AHEAD, AHEAD))
    text = "I would love to hold that"

    found = said(lexicon, text, scene, tier=Tier.SEMANTIC)
    nothing = said(lexicon, text, Scene(objects=THINGS), tier=Tier.SEMANTIC)

    assert found.tier is Tier.SEMANTIC
    assert values(found) == [{"thing": "lamp"}]
    assert nothing.intents == ()
    assert nothing.clarify is None


def test_a_phrase_is_found_among_the_words_that_were_heard(lexicon: Lexicon) -> None:
    scene = Scene(objects=THINGS, rays=pointed(AHEAD, RIGHT))
    words = (
        Word(text="Grab", start_s=0.0, end_s=0.1, confidence=1),
        Word(text="that,", start_s=1.3, end_s=1.5, confidence=1),
        Word(text="thing!", start_s=1.5, end_s=1.7, confidence=1),
    )
    lexicon = build_lexicon(lexicon.pack, scene, previous=lexicon)
    found = understood(
        lexicon,
        Transcript(text="Grab that, thing!"),
        Referents(scene=scene, times=lambda _text: words),
        tiers=frozenset({Tier.GRAMMAR}),
        paraphrases=None,
    )

    assert values(found) == [{"thing": "kraken"}]


def test_without_times_the_last_ray_counts(lexicon: Lexicon) -> None:
    scene = Scene(objects=THINGS, rays=pointed(AHEAD, RIGHT))
    lexicon = build_lexicon(lexicon.pack, scene, previous=lexicon)

    found = understood(
        lexicon,
        Transcript(text="grab that"),
        Referents(scene=scene),
        tiers=frozenset({Tier.GRAMMAR}),
        paraphrases=None,
    )

    assert values(found) == [{"thing": "kraken"}]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_phrase_that_points_has_one_mark(language: str) -> None:
    phrases = [*deictic_things(language), *deictic_spots(language)]

    assert len({phrase for phrase, _ in phrases}) == len(phrases)
    assert {mark for _, mark in phrases} == set(Mark)
