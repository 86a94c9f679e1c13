"""One lexicon says what can be done now, to the grammar and to the language model."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from edge.grammar import match
from edge.intent import Slot, Tier, fill_line, read_intent
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.scene import Scene, SceneObject
from models.pack import Pack
from models.pack_file import load_pack


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack("explorer")


@pytest.fixture(scope="module")
def lexicon(pack: Pack) -> Lexicon:
    return build_lexicon(pack, default_scene(pack))


def shapes(lexicon: Lexicon) -> dict[str, Any]:
    """Returns the schema of the slots of each intent, by name."""
    schema: Any = lexicon.schema()
    return {
        shape["properties"]["name"]["const"]: shape["properties"]["slots"]
        for shape in schema["anyOf"]
    }


def test_the_scene_of_a_pack_is_a_scene(pack: Pack) -> None:
    scene = default_scene(pack)
    boat = next(thing for thing in scene.objects if thing.id == "boat")
    assert (boat.name, boat.position) == ("boat", (-22.0, 0.3, -33.0))
    assert "thing" in boat.tags
    sized = (replace(pack.objects[0], size=(8.0, 24.0, 8.0)), *pack.objects[1:])
    assert default_scene(replace(pack, objects=sized)).objects[0].size == (8, 24, 8)
    assert scene.facts["tide.low"] is False


def test_the_schema_holds_the_values_that_can_be_said(lexicon: Lexicon) -> None:
    move = shapes(lexicon)["move"]
    assert move["properties"]["direction"]["enum"][:3] == ["forward", "back", "left"]
    assert move["properties"]["distance_m"] == {
        "type": "number",
        "minimum": 0.1,
        "maximum": 100,
    }
    assert move["required"] == []
    paint = shapes(lexicon)["paint"]
    assert "boat" in paint["properties"]["object"]["enum"]
    assert sorted(paint["required"]) == ["colour", "object"]
    assert shapes(lexicon)["write_sign"]["properties"]["text"]["maxLength"] == 120
    assert all(
        shape["additionalProperties"] is False for shape in shapes(lexicon).values()
    )
    json.dumps(lexicon.schema())


def test_the_language_model_is_offered_no_risky_intent(lexicon: Lexicon) -> None:
    assert "remove" not in shapes(lexicon)
    assert "remove(" not in lexicon.actions
    assert match(lexicon, "remove the statue") is not None


def test_nobody_is_offered_what_cannot_be_done_now(pack: Pack) -> None:
    scene = default_scene(pack)
    assert "open_gate" not in shapes(build_lexicon(pack, scene))
    ebb = replace(scene, facts=MappingProxyType({"tide.low": True}))
    assert "open_gate" in shapes(build_lexicon(pack, ebb))


def test_actions_are_the_schema_in_words(lexicon: Lexicon) -> None:
    lines = lexicon.actions.splitlines()
    assert [line.partition("(")[0] for line in lines] == list(shapes(lexicon))
    assert "set_light(light: on|off|bright|dim)" in lines
    assert "write_sign(text: text)" in lines
    assert "follow()" in lines
    (painted,) = (line for line in lines if line.startswith("paint("))
    assert "object: thing that is near" in painted
    assert len(painted) < 120


def test_what_is_told_of_actions_stays_while_objects_come_and_go(
    pack: Pack, lexicon: Lexicon
) -> None:
    first, *others = default_scene(pack).objects
    fewer = build_lexicon(pack, Scene(revision=1, objects=tuple(others)))

    assert first.tags
    assert fewer.actions == lexicon.actions
    assert fewer.version != lexicon.version


def test_new_objects_can_be_named_and_old_ones_no_longer(
    pack: Pack, lexicon: Lexicon
) -> None:
    submarine = SceneObject(
        id="sub_7", name="submarine", aliases=("sub",), tags=frozenset({"thing"})
    )
    later = build_lexicon(pack, Scene(revision=1, objects=(submarine,)))
    intent = match(later, "paint the sub yellow")
    assert intent is not None
    assert intent.values == {"object": "sub_7", "colour": "yellow"}
    assert match(later, "paint the boat yellow") is None
    assert shapes(later)["paint"]["properties"]["object"]["enum"] == ["sub_7"]
    assert "teleport" not in shapes(later)
    assert "sight" not in shapes(later)["take_photo"]["properties"]
    assert later.version != lexicon.version


def test_a_lexicon_taken_over_from_the_one_before_is_the_same(pack: Pack) -> None:
    scene = default_scene(pack)
    first = build_lexicon(pack, scene)
    for facts in ({"tide.low": True}, {}):
        changed = replace(
            scene, facts=MappingProxyType(facts), objects=scene.objects[:8]
        )
        fresh = build_lexicon(pack, changed)
        taken_over = build_lexicon(pack, changed, previous=first)
        assert taken_over.version == fresh.version
        assert taken_over.schema() == fresh.schema()
        for sentence in ("open the gate", "paint the boat red", "paint the kite red"):
            assert match(taken_over, sentence) == match(fresh, sentence)


def test_the_version_tells_whether_anything_has_changed(pack: Pack) -> None:
    scene = default_scene(pack)
    moved = tuple(replace(thing, position=(0.0, 0.0, 0.0)) for thing in scene.objects)
    first = build_lexicon(pack, scene).version
    assert build_lexicon(pack, replace(scene, objects=moved)).version == first
    renamed = (replace(scene.objects[0], name="tower of light"), *scene.objects[1:])
    assert build_lexicon(pack, replace(scene, objects=renamed)).version != first


def test_an_object_of_the_schema_becomes_an_intent(lexicon: Lexicon) -> None:
    intent = read_intent(
        lexicon, {"name": "spawn", "slots": {"item": "crab", "colour": "red"}}
    )
    assert intent is not None
    assert (intent.name, intent.tier) == ("spawn", Tier.LLM)
    assert intent.values == {"item": "crab", "colour": "red", "count": 1}


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        "wave",
        {"name": "wave"},
        {"name": "wave", "slots": []},
        {"name": "wave", "slots": {}, "more": 1},
        {"name": 7, "slots": {}},
        {"name": "fly", "slots": {}},
        {"name": "remove", "slots": {"object": "boat"}},
        {"name": "open_gate", "slots": {}},
        {"name": "wave", "slots": {"object": "boat"}},
        {"name": "paint", "slots": {"object": "boat"}},
        {"name": "paint", "slots": {"object": "Boat", "colour": "red"}},
        {"name": "paint", "slots": {"object": "boat", "colour": ["red"]}},
        {"name": "set_volume", "slots": {"volume": 101}},
        {"name": "set_volume", "slots": {"volume": "50"}},
        {"name": "set_volume", "slots": {"volume": True}},
        {"name": "set_volume", "slots": {"volume": float("nan")}},
        {"name": "write_sign", "slots": {"text": ""}},
        {"name": "write_sign", "slots": {"text": "x" * 121}},
    ],
)
def test_whatever_does_not_keep_to_the_schema_is_no_intent(
    lexicon: Lexicon, found: object
) -> None:
    assert read_intent(lexicon, found) is None


def test_lines_are_filled_with_what_was_said_or_with_names(lexicon: Lexicon) -> None:
    slots = (
        Slot(name="object", value="chest", text="treasure"),
        Slot(name="colour", value="light blue", text="sky blue"),
        Slot(name="distance_m", value=2.5),
    )
    line = fill_line(lexicon, "{object}: {colour}, {distance_m}{gone}.", slots)
    assert line == "treasure chest: sky blue, 2.5."
