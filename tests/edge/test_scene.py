"""What in the scene is worth telling a character of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.scene import (
    MAX_NEAR,
    Ray,
    RaySource,
    Scene,
    SceneObject,
    Vector,
    relevant_objects,
)


def thing(
    name: str, *aliases: str, at: Vector | None = None, tag: str = "thing"
) -> SceneObject:
    return SceneObject(
        id=f"id of {name}",
        name=name,
        aliases=aliases,
        position=at,
        tags=frozenset([tag]),
    )


def looking(direction: Vector, *, at_s: float = 0, origin: Vector = (0, 0, 0)) -> Ray:
    return Ray(source=RaySource.GAZE, time_s=at_s, origin=origin, direction=direction)


def names(scene: Scene, *words: str, limit: int = MAX_NEAR) -> list[str]:
    found = relevant_objects(scene, frozenset(words), limit)
    return [each.name for each in found]


FORWARD, RIGHT, UP = (0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
BOAT = thing("Red boat", "dinghy", at=(0, 0, -5))
TOWER = thing("tower", "old light house", at=(5, 0, 0))
CAVE = thing("cave", at=(0, 0, 5))
SCENE = Scene(objects=(CAVE, BOAT, TOWER))


def test_what_was_named_is_told() -> None:
    assert names(SCENE, "the", "tower") == ["tower"]
    assert names(SCENE, "the", "dinghy") == ["Red boat"]
    assert names(SCENE, "red") == ["Red boat"]


def test_who_shares_most_words_comes_first() -> None:
    scene = Scene(objects=(thing("red ball"), thing("red boat"), thing("boat")))

    assert names(scene, "the", "red", "boat") == ["red boat", "red ball", "boat"]


def test_words_of_two_names_do_not_add_up() -> None:
    scene = Scene(objects=(thing("red thing", "boat"), thing("red boat")))

    assert names(scene, "red", "boat")[0] == "red boat"


def test_a_small_word_names_nothing() -> None:
    scene = Scene(objects=(thing("statue of Ada"),))

    assert names(scene, "one", "of", "those") == []


@pytest.mark.parametrize(
    ("direction", "seen"), [(FORWARD, "Red boat"), (RIGHT, "tower")]
)
def test_what_the_player_looks_at_is_told_after_what_was_named(
    direction: Vector, seen: str
) -> None:
    scene = Scene(objects=SCENE.objects, rays=(looking(direction),))

    assert names(scene) == [seen]
    assert names(scene, "cave") == ["cave", seen]


def test_the_latest_look_counts() -> None:
    rays = (looking(RIGHT, at_s=1), looking(FORWARD, at_s=2))

    assert names(Scene(objects=SCENE.objects, rays=rays)) == ["Red boat"]


def test_a_look_begins_where_the_player_stands() -> None:
    ray = looking(FORWARD, origin=(0, 0, 10))

    assert names(Scene(objects=(TOWER, CAVE), rays=(ray,))) == ["cave"]


def test_what_nobody_names_or_looks_at_is_not_told() -> None:
    assert names(SCENE) == []
    assert names(SCENE, "hello") == []
    assert names(Scene(objects=SCENE.objects, rays=(looking(UP),))) == []
    assert names(Scene(objects=(thing("wind"),), rays=(looking(FORWARD),))) == []


@pytest.mark.parametrize(
    "ray", [looking((0, 0, 0)), looking(FORWARD, origin=(0, 0, 5))]
)
def test_a_look_without_a_direction_or_a_distance_is_none(ray: Ray) -> None:
    assert "cave" in names(Scene(objects=SCENE.objects, rays=(ray,)), "cave")


def test_the_list_is_bounded() -> None:
    scene = Scene(objects=tuple(thing(f"thing {n}") for n in range(50)))

    assert len(names(scene, "thing")) == MAX_NEAR
    assert names(scene, "thing", "49", limit=2) == ["thing 49", "thing 0"]
    assert names(Scene()) == []


coordinates = st.floats(-1e6, 1e6)
vectors = st.tuples(coordinates, coordinates, coordinates)


@given(
    places=st.lists(st.none() | vectors, max_size=12),
    rays=st.lists(st.tuples(vectors, vectors), max_size=3),
    words=st.frozensets(st.sampled_from(["thing", "1", "7", "x"])),
)
def test_whatever_the_scene_nothing_is_told_twice(
    places: list[Vector | None],
    rays: list[tuple[Vector, Vector]],
    words: frozenset[str],
) -> None:
    scene = Scene(
        objects=tuple(thing(f"thing {n}", at=at) for n, at in enumerate(places)),
        rays=tuple(looking(to, origin=origin) for origin, to in rays),
    )

    found = relevant_objects(scene, words)

    assert len(found) <= min(MAX_NEAR, len(places))
    assert len({each.id for each in found}) == len(found)
    assert set(found) <= set(scene.objects)


def test_things_are_found_by_tag() -> None:
    scene = Scene(objects=(thing("a", tag="x"), thing("b", tag="y")))

    assert [each.name for each in scene.tagged("y")] == ["b"]
    assert scene.tagged("z") == ()
