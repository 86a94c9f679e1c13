"""The scene as the game tells it: revisions in order, changes whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge.scene import RaySource, Scene, SceneObject
from edge.serve.wire import WireError
from edge.serve.world import MAX_FACTS, MAX_OBJECTS, MAX_RAYS, RAYS_S, World

LAMP = {"id": "l1", "name": "lamp", "aliases": ["light"], "tags": ["thing"]}
CHAIR = {"id": "c1", "name": "chair", "position": [1, 2.5, -3], "size": [0.5, 1, 0.6]}


def ray(time_s: float) -> dict[str, Any]:
    return {
        "source": "gaze",
        "t": time_s,
        "origin": [0, 1.6, 0],
        "direction": [0, 0, -1],
    }


@pytest.fixture
def world() -> World:
    world = World(Scene())
    world.set_all({"rev": 3, "objects": [LAMP], "facts": {"open": True}})
    return world


def test_a_scene_is_taken_over_whole(world: World) -> None:
    world.set_all({"rev": 4, "objects": [CHAIR]})

    assert [thing.name for thing in world.scene.objects] == ["chair"]
    assert world.scene.objects[0].position == (1.0, 2.5, -3.0)
    assert world.scene.objects[0].size == (0.5, 1.0, 0.6)
    assert world.scene.facts == {}
    assert world.scene.revision == 4


def test_a_patch_changes_what_it_names(world: World) -> None:
    dark = {**LAMP, "name": "dark lamp"}
    world.patch({"base": 3, "rev": 5, "set": [CHAIR, dark], "facts": {"n": 2}})

    assert {thing.id: thing.name for thing in world.scene.objects} == {
        "l1": "dark lamp",
        "c1": "chair",
    }
    assert world.scene.facts == {"open": True, "n": 2}

    assert [thing.size for thing in world.scene.objects] == [None, (0.5, 1.0, 0.6)]

    world.patch({"base": 5, "rev": 6, "remove": ["l1", "never there"]})

    assert [thing.id for thing in world.scene.objects] == ["c1"]


@pytest.mark.parametrize("base", [1, 2, 4])
def test_a_patch_of_another_revision_is_refused(world: World, base: int) -> None:
    before = world.scene
    with pytest.raises(WireError) as refused:
        world.patch({"base": base, "rev": 9, "set": [CHAIR]})

    assert refused.value.code == "scene_base"
    assert world.scene is before


@pytest.mark.parametrize("revision", [1, 3])
def test_revisions_count_up(world: World, revision: int) -> None:
    before = world.scene
    with pytest.raises(WireError) as refused:
        world.set_all({"rev": revision, "objects": []})
    assert refused.value.code == "scene_rev"

    with pytest.raises(WireError) as refused:
        world.patch({"base": 3, "rev": revision})
    assert refused.value.code == "scene_rev"
    assert world.scene is before


def test_patches_do_not_grow_a_scene_beyond_its_limit(world: World) -> None:
    many = [{"id": f"o{n}", "name": "box"} for n in range(MAX_OBJECTS)]
    with pytest.raises(WireError) as refused:
        world.patch({"base": 3, "rev": 4, "set": many})
    assert refused.value.code == "scene_limit"
    assert len(world.scene.objects) == 1

    for n in range(MAX_FACTS - 1):
        world.set_fact(f"f{n}", n)
    with pytest.raises(WireError) as refused:
        world.set_fact("one more", 0)
    assert refused.value.code == "scene_limit"
    world.set_fact("f0", "changed")
    assert world.scene.facts["f0"] == "changed"


def times_s(world: World) -> list[float]:
    return [ray.time_s for ray in world.scene.rays]


def test_rays_are_kept_for_a_while(world: World) -> None:
    for n in range(72 * 20):
        world.add_rays({"rays": [ray(n / 72)] * 3})

    last_s = (72 * 20 - 1) / 72
    assert times_s(world)[-1] == last_s
    assert times_s(world)[0] == pytest.approx(last_s - RAYS_S, abs=1 / 72)
    assert len(world.scene.rays) == pytest.approx(3 * 72 * RAYS_S, abs=3)
    assert world.scene.rays[0].source is RaySource.GAZE


def test_rays_have_a_bound_however_many_come(world: World) -> None:
    for n in range(MAX_RAYS // 256 + 2):
        world.add_rays({"rays": [ray(n + m / 1e6) for m in range(256)]})
        world.add_rays({"rays": [ray(n + m / 1e6) for m in range(256, 512)]})

    assert len(world.scene.rays) == MAX_RAYS
    assert times_s(world) == sorted(times_s(world))


def test_rays_are_in_order_of_time(world: World) -> None:
    world.add_rays({"rays": [ray(2), ray(1)]})
    world.add_rays({"rays": [ray(1.5), ray(4)]})
    world.add_rays({"rays": [ray(3)]})
    world.add_rays({"rays": []})

    assert times_s(world) == [1, 1.5, 2, 3, 4]


def test_a_wrong_time_does_not_hold_for_ever(world: World) -> None:
    world.add_rays({"rays": [ray(1)]})
    world.add_rays({"rays": [ray(1e9)]})
    assert times_s(world) == [1e9]

    world.add_rays({"rays": [ray(2)]})
    assert times_s(world) == [2]


def test_the_scene_of_another_pack_is_taken_over_where_the_game_told_none() -> None:
    lamp = SceneObject(id="l1", name="lamp")
    world = World(Scene(objects=(lamp,), facts={"open": False, "lit": False}))
    world.add_rays({"rays": [ray(1)]})
    world.set_fact("open", value=True)
    other = Scene(objects=(replace(lamp, name="lampe"),), facts={"open": False})
    world.become(other)

    assert [thing.name for thing in world.scene.objects] == ["lampe"]
    assert world.scene.facts == {"open": True}
    assert times_s(world) == [1]


def test_the_scene_of_the_game_outlives_the_pack(world: World) -> None:
    before = world.scene
    world.become(Scene(objects=(SceneObject(id="x", name="x"),)))

    assert world.scene is before


def test_a_scene_that_somebody_holds_does_not_change(world: World) -> None:
    held = world.scene
    world.patch({"base": 3, "rev": 4, "remove": ["l1"], "facts": {"open": False}})
    world.add_rays({"rays": [ray(0)]})

    assert len(held.objects) == 1
    assert held.facts == {"open": True}
    assert held.rays == ()
