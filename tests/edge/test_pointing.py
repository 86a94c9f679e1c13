"""What a word means that points: geometry, time, and who goes first."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.pointing import AFTER_S, BEFORE_S, RADIUS_M, STALE_S, Target, spot, targets
from edge.scene import Ray, RaySource, Scene, SceneObject, Vector

START_S, END_S = 10.0, 10.3
GAZE, LEFT, RIGHT = RaySource.GAZE, RaySource.LEFT_HAND, RaySource.RIGHT_HAND
FORWARD = (0.0, 0.0, -1.0)


def box(name: str, at: Vector | None, size: Vector | None = (1, 1, 1)) -> SceneObject:
    return SceneObject(id=name, name=name, position=at, size=size)


def aim(degrees: float, up: float = 0) -> Vector:
    """Returns a direction so much to the right of forward, and up."""
    right, above = math.radians(degrees), math.radians(up)
    level = math.cos(above)
    return (math.sin(right) * level, math.sin(above), -math.cos(right) * level)


def rays(
    direction: Vector = FORWARD,
    source: RaySource = GAZE,
    origin: Vector = (0, 0, 0),
    since_s: float = START_S - 0.3,
    until_s: float = END_S + 0.1,
) -> tuple[Ray, ...]:
    n = max(1, round((until_s - since_s) * 36))
    return tuple(
        Ray(
            source=source,
            time_s=since_s + (until_s - since_s) * at / n,
            origin=origin,
            direction=direction,
        )
        for at in range(n)
    )


def meant(scene: Scene, *among: str) -> list[str]:
    found = targets(scene, START_S, END_S, among=among or None)
    return [target.id for target in found]


def world(*objects: SceneObject, rays: tuple[Ray, ...]) -> Scene:
    in_time = tuple(sorted(rays, key=lambda ray: ray.time_s))
    return Scene(objects=objects, rays=in_time)


# Where ------------------------------------------------------------------------------


def test_what_the_ray_meets_is_meant() -> None:
    scene = world(box("a", (0, 0, -5)), box("b", (5, 0, 0)), rays=rays(source=RIGHT))

    (found,) = targets(scene, START_S, END_S)

    assert (found.id, found.source, found.is_hit) == ("a", RIGHT, True)
    assert found.angle_rad == 0
    assert found.distance_m == pytest.approx(4.5)


def test_what_stands_before_hides_what_is_behind() -> None:
    front, back = box("front", (0, 0, -3)), box("back", (0, 0, -6), (4, 4, 1))

    assert meant(world(back, front, rays=rays())) == ["front"]
    assert meant(world(back, front, rays=rays()), "back") == ["back"]
    assert meant(world(back, front, rays=rays(aim(15)))) == ["back"]


def test_nothing_behind_the_ray_is_meant() -> None:
    assert meant(world(box("a", (0, 0, 5)), rays=rays())) == []
    assert meant(world(box("a", (0, 0, 5), None), rays=rays())) == []


def test_who_stands_in_a_box_does_not_point_at_it() -> None:
    garden = box("garden", (0, 0, 0), (8, 2, 8))

    assert meant(world(garden, rays=rays())) == []
    assert meant(world(garden, box("a", (0, 0, -3)), rays=rays())) == ["a"]
    assert meant(world(box("ball", (0, 0, 0), None), rays=rays())) == []


@pytest.mark.parametrize(("degrees", "found"), [(7, ["a"]), (9, [])])
def test_a_miss_counts_to_the_nearest_edge(degrees: float, found: list[str]) -> None:
    # Seen from the origin, the front's right edge lies at 45 degrees.
    scene = world(box("a", (0, 0, -2), (2, 2, 2)), rays=rays(aim(45 + degrees)))

    assert meant(scene) == found
    for target in targets(scene, START_S, END_S):
        assert not target.is_hit
        assert target.angle_rad == pytest.approx(math.radians(degrees))
        assert target.distance_m == pytest.approx(2)


def test_a_long_box_is_missed_by_its_edge_not_by_its_corners() -> None:
    wall = box("wall", (0, -1.5, -5), (100, 2, 2))
    (found,) = targets(world(wall, rays=rays(aim(0, 2))), START_S, END_S)

    assert found.angle_rad == pytest.approx(math.atan2(0.5, 6) + math.radians(2))


def test_a_wide_floor_is_missed_at_its_far_edge() -> None:
    floor = box("floor", (0, -2, -50), (100, 0.01, 98))
    (found,) = targets(world(floor, rays=rays(aim(0, 2))), START_S, END_S)

    far = math.atan2(1.995, 99)
    assert found.angle_rad == pytest.approx(far + math.radians(2), abs=1e-6)


def test_the_nearest_of_those_missed_is_meant() -> None:
    objects = (box("a", (-1, 0, -10), None), box("b", (2, 0, -10), None))

    assert meant(world(*objects, rays=rays())) == ["a"]


def test_two_that_are_missed_alike_are_both_meant() -> None:
    objects = (box("a", (-0.9, 0, -10), None), box("b", (1, 0, -10), None))
    found = targets(world(*objects, rays=rays()), START_S, END_S)

    assert [target.id for target in found] == ["a", "b"]
    assert found[0].angle_rad < found[1].angle_rad
    assert not any(target.is_hit for target in found)


def test_two_that_are_met_alike_are_both_meant() -> None:
    objects = (box("a", (-2, 0, -10)), box("b", (2, 0, -10)))
    here = rays(aim(-11.3), since_s=START_S - 0.05, until_s=START_S + 0.05)
    there = rays(aim(11.3), since_s=START_S + 0.05, until_s=START_S + 0.15)

    found = targets(world(*objects, rays=here + there), START_S, END_S)

    assert {target.id for target in found} == {"a", "b"}
    assert all(target.is_hit for target in found)


def test_what_is_met_goes_before_what_is_nearly_met() -> None:
    objects = (box("a", (0, 0, -10)), box("b", (1.02, 0, -10)))

    assert meant(world(*objects, rays=rays(aim(2.5)))) == ["a"]


def test_an_object_without_a_size_is_a_ball() -> None:
    ball = box("ball", (0, 0, -5), None)
    (centre,) = targets(world(ball, rays=rays()), START_S, END_S)
    (aside,) = targets(world(ball, rays=rays(aim(4))), START_S, END_S)

    assert centre.is_hit
    assert centre.distance_m == pytest.approx(5 - RADIUS_M)
    assert not aside.is_hit
    seen = math.asin(RADIUS_M / 5)
    assert aside.angle_rad == pytest.approx(math.radians(4) - seen)


def test_an_object_without_a_position_cannot_be_pointed_at() -> None:
    assert meant(world(box("a", None), rays=rays())) == []
    assert meant(world(box("a", None), box("b", (0, 0, -4)), rays=rays())) == ["b"]


def test_only_what_the_slot_can_hold_is_meant() -> None:
    scene = world(box("a", (0, 0, -3)), box("b", (0.5, 0, -6)), rays=rays())

    assert meant(scene, "b") == ["b"]
    assert meant(scene, "c") == []
    assert targets(scene, START_S, END_S, among=()) == ()


# When -------------------------------------------------------------------------------


@pytest.mark.parametrize("steady", [aim(10), aim(13.5)])
def test_what_is_swept_over_is_not_meant(steady: Vector) -> None:
    # The second is a near miss: many of those outweigh a few that meet another.
    objects = (box("swept", (-1, 0, -10), (1, 4, 1)), box("kept", (1.8, 0, -10)))
    sweep = tuple(
        replace(ray, direction=aim(-10 + 4 * at))
        for at, ray in enumerate(
            rays(since_s=START_S - 0.35, until_s=START_S - 0.2, source=RIGHT)
        )
    )
    rest = rays(steady, RIGHT, since_s=START_S - 0.2, until_s=END_S + 0.2)

    assert meant(world(*objects, rays=sweep + rest)) == ["kept"]


def test_a_glance_in_passing_means_nothing() -> None:
    glance = rays(since_s=START_S - 0.02, until_s=START_S)
    away = rays(aim(90), since_s=START_S, until_s=END_S + 0.2)
    before = rays(aim(90), since_s=START_S - 0.4, until_s=START_S - 0.02)

    assert meant(world(box("a", (0, 0, -5)), rays=before + glance + away)) == []


def test_pointing_comes_before_the_word_and_may_go_on_after_it() -> None:
    objects = (box("a", (0, 0, -5)), box("b", (5, 0, 0)))

    for since_s, found in (
        (START_S - BEFORE_S + 0.01, ["a"]),
        (END_S + AFTER_S - 0.05, ["a"]),
        (END_S + AFTER_S + 0.05, []),
    ):
        brief = rays(since_s=since_s, until_s=since_s + 0.03)
        assert meant(world(*objects, rays=brief)) == found


def test_each_of_two_words_has_its_own_target() -> None:
    objects = (box("a", (0, 0, -5)), box("b", (5, 0, 0)))
    here = rays(since_s=9.7, until_s=10.2)
    there = rays((1, 0, 0), since_s=10.4, until_s=11)
    scene = world(*objects, rays=here + there)

    assert [t.id for t in targets(scene, 9.9, 10.15)] == ["a"]
    assert [t.id for t in targets(scene, 10.5, 10.8)] == ["b"]


@pytest.mark.parametrize(("age_s", "found"), [(0.9, ["a"]), (1.1, [])])
def test_without_a_ray_in_time_the_last_one_counts(
    age_s: float, found: list[str]
) -> None:
    last_s = START_S - age_s
    old = rays(since_s=last_s, until_s=last_s)
    older = rays((1, 0, 0), since_s=last_s - 1, until_s=last_s - 0.5)

    assert age_s < STALE_S or not found
    assert meant(world(box("a", (0, 0, -5)), rays=older + old)) == found


def test_a_ray_in_time_goes_before_an_old_one() -> None:
    objects = (box("a", (0, 0, -5)), box("b", (5, 0, 0)))
    old = rays(source=RIGHT, since_s=START_S - 0.8, until_s=START_S - 0.7)

    assert meant(world(*objects, rays=old + rays((1, 0, 0)))) == ["b"]
    assert meant(world(*objects, rays=old + rays((0, 1, 0)))) == ["a"]


# Hands and eyes ---------------------------------------------------------------------


def test_a_hand_that_points_at_something_goes_before_the_eyes() -> None:
    objects = (box("a", (0, 0, -5)), box("b", (5, 0, 0)))
    look = rays((1, 0, 0))

    assert meant(world(*objects, rays=look + rays(source=LEFT))) == ["a"]
    assert meant(world(*objects, rays=look + rays(aim(10), LEFT))) == ["a"]
    assert meant(world(*objects, rays=look + rays((0, -1, 0), LEFT))) == ["b"]


def test_of_two_hands_the_one_goes_first_whose_thing_is_looked_at() -> None:
    objects = (box("a", (0, 0, -5)), box("b", (5, 0, 0)), box("c", (0, 0, 5)))
    hands = rays(source=LEFT) + rays((1, 0, 0), RIGHT)

    assert meant(world(*objects, rays=hands + rays(aim(9)))) == ["a"]
    assert meant(world(*objects, rays=hands + rays(aim(85)))) == ["b"]
    assert set(meant(world(*objects, rays=hands + rays((0, 0, 1))))) == {"a", "b"}
    assert set(meant(world(*objects, rays=hands))) == {"a", "b"}


def test_of_two_hands_the_one_goes_first_that_meets_something() -> None:
    objects = (box("a", (0, 0, -5)), box("b", (5, 0, 0)))

    both = rays(aim(9), LEFT) + rays((1, 0, 0), RIGHT)
    assert meant(world(*objects, rays=both)) == ["b"]


def test_two_hands_may_point_at_one_thing() -> None:
    both = rays(source=LEFT) + rays(source=RIGHT, origin=(0.2, 0, 0))

    assert meant(world(box("a", (0, 0, -5)), rays=both)) == ["a"]


# Spots ------------------------------------------------------------------------------


def spot_of(*objects: SceneObject, rays: tuple[Ray, ...]) -> Vector | None:
    return spot(world(*objects, rays=rays), START_S, END_S)


DOWN = rays((0, -1, -2), RIGHT, origin=(0, 1.5, 0))


def test_a_spot_is_where_the_floor_is_met() -> None:
    assert spot_of(rays=DOWN) == pytest.approx((0, 0, -3))


def test_a_spot_is_on_the_object_that_is_met() -> None:
    table = box("table", (0, 0.25, -3), (2, 0.5, 2))
    ball = box("ball", (0, 1, -1), None)

    assert spot_of(table, ball, rays=DOWN) == pytest.approx((0, 0.5, -2))


def test_there_is_no_spot_in_the_air_or_far_away() -> None:
    eye = (0.0, 1.5, 0.0)

    assert spot_of(rays=rays(origin=eye)) is None
    assert spot_of(rays=rays(aim(0, 20), origin=eye)) is None
    assert spot_of(rays=rays(aim(0, -0.8), origin=eye)) is None
    assert spot_of(rays=rays(aim(0, -0.9), origin=eye)) is not None
    assert spot_of(rays=rays(aim(0, -20), origin=(0, -1, 0))) is None
    assert spot_of(rays=()) is None


def test_the_spot_is_where_the_rays_rest() -> None:
    sweep = rays((1, -1, 0), RIGHT, (0, 1.5, 0), START_S - 0.4, START_S - 0.1)
    jitter = tuple(
        replace(ray, direction=(0.01 * (-1) ** at, -1, -2))
        for at, ray in enumerate(rays(DOWN[0].direction, RIGHT, (0, 1.5, 0), START_S))
    )

    assert spot_of(rays=sweep + jitter) == pytest.approx((0, 0, -3), abs=0.05)


def test_a_hand_shows_a_spot_before_the_eyes_do() -> None:
    look = rays((1, -1, 0), origin=(0, 1.5, 0))
    up = rays((0, 1, 0), RIGHT, origin=(0, 1.5, 0))

    assert spot_of(rays=look + DOWN) == pytest.approx((0, 0, -3))
    assert spot_of(rays=look + up) == pytest.approx((1.5, 0, 0))


def test_a_hand_at_rest_shows_no_spot() -> None:
    rest = rays((0, -1, -0.2), LEFT, origin=(0, 1, 0))
    look = rays((0, -1, -2.2), origin=(0, 1.6, 0))

    assert spot_of(rays=rest + DOWN) == pytest.approx((0, 0, -3))
    assert spot_of(rays=rest + DOWN + look) == pytest.approx((0, 0, -3))


# Whatever comes ---------------------------------------------------------------------

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "odd",
    [
        rays((0, 0, 0)),
        rays((NAN, 0, -1)),
        rays((0, 0, -INF)),
        rays((0, 0, -1e300)),
        rays(origin=(NAN, 0, 0)),
        rays(origin=(0, INF, 0)),
        (replace(rays()[0], time_s=NAN),),
    ],
)
def test_an_odd_ray_is_no_ray(odd: tuple[Ray, ...]) -> None:
    thing = box("a", (0, 0, -5))

    assert meant(Scene(objects=(thing,), rays=odd)) == []
    assert spot(Scene(objects=(thing,), rays=odd), START_S, END_S) is None
    assert meant(Scene(objects=(thing,), rays=(*odd, *rays()))) == ["a"]


def test_a_ray_need_not_be_of_unit_length() -> None:
    for length in (1e-30, 3, 1e30):
        scene = world(box("a", (0, 0, -5)), rays=rays((0, 0, -length)))
        (found,) = targets(scene, START_S, END_S)
        assert found.distance_m == pytest.approx(4.5)


@pytest.mark.parametrize(
    "odd",
    [
        box("odd", (NAN, 0, -3)),
        box("odd", (0, 0, -INF)),
        box("odd", (0, 0, -3), (1, NAN, 1)),
        box("odd", (0, 0, -3), (1, -1, 1)),
        box("odd", (0, 0, -3), (0, 0, 0)),
    ],
)
def test_an_odd_object_cannot_be_pointed_at(odd: SceneObject) -> None:
    assert meant(world(odd, box("a", (0, 0, -5)), rays=rays())) == ["a"]


@pytest.mark.parametrize("start_s", [NAN, INF, -INF])
def test_an_odd_time_is_no_time(start_s: float) -> None:
    scene = world(box("a", (0, 0, -5)), rays=rays())

    assert targets(scene, start_s, END_S) == ()
    assert spot(scene, start_s, END_S) is None


def test_a_word_may_have_no_length() -> None:
    scene = world(box("a", (0, 0, -5)), rays=rays())

    for end_s in (START_S, START_S - 1):
        assert [found.id for found in targets(scene, START_S, end_s)] == ["a"]


def test_an_empty_scene_means_nothing() -> None:
    assert targets(Scene(), START_S, END_S) == ()
    assert targets(Scene(rays=rays()), START_S, END_S) == ()
    assert targets(Scene(objects=(box("a", (0, 0, -5)),)), START_S, END_S) == ()


numbers = st.floats(-20, 20)
vectors = st.tuples(numbers, numbers, numbers)
sizes = st.none() | st.tuples(*[st.floats(0.05, 5)] * 3)
objects = st.lists(st.tuples(vectors, sizes), min_size=1, max_size=6)
aims = st.lists(
    st.tuples(st.sampled_from(RaySource), st.floats(9.2, 10.6), vectors, vectors),
    max_size=8,
)
wild = st.tuples(*[st.floats() | st.sampled_from([0.0, 1e-320, 1e308, -1.0])] * 3)


def built(
    things: list[tuple[Vector, Vector | None]],
    lines: list[tuple[RaySource, float, Vector, Vector]],
) -> Scene:
    return world(
        *(box(f"o{at}", where, size) for at, (where, size) in enumerate(things)),
        rays=tuple(
            Ray(source=source, time_s=time_s, origin=origin, direction=direction)
            for source, time_s, origin, direction in lines
        ),
    )


@settings(deadline=None, max_examples=200)
@given(
    things=st.lists(st.tuples(wild, st.none() | wild), max_size=4),
    lines=st.lists(
        st.tuples(st.sampled_from(RaySource), st.floats(9, 11), wild, wild),
        max_size=6,
    ),
)
@pytest.mark.filterwarnings("error")
def test_nothing_is_raised(
    things: list[tuple[Vector, Vector | None]],
    lines: list[tuple[RaySource, float, Vector, Vector]],
) -> None:
    scene = built(things, lines)
    found = targets(scene, START_S, END_S)
    where = spot(scene, START_S, END_S)

    assert len({target.id for target in found}) == len(found)
    assert all(math.isfinite(t.angle_rad) and t.distance_m >= 0 for t in found)
    assert where is None or all(map(math.isfinite, where))


def moved(vector: Vector, n_turns: int, by: Vector = (0, 0, 0)) -> Vector:
    """Returns a vector turned by so many right angles about the vertical, and moved."""
    x, y, z = vector
    for _ in range(n_turns):
        x, z = z, -x
    return (x + by[0], y + by[1], z + by[2])


@settings(deadline=None, max_examples=200)
@given(
    things=objects,
    lines=aims,
    n_turns=st.integers(0, 3),
    by=st.tuples(*[st.integers(-64, 64)] * 3),
)
def test_what_is_meant_does_not_change_with_the_place(
    things: list[tuple[Vector, Vector | None]],
    lines: list[tuple[RaySource, float, Vector, Vector]],
    n_turns: int,
    by: Vector,
) -> None:
    # Binary fractions: to move them changes nothing but the place.
    things = [(grid(at), size and grid(size, 0.25)) for at, size in things]
    lines = [(s, t, grid(o), grid(d)) for s, t, o, d in lines]
    before = targets(built(things, lines), START_S, END_S)
    there = built(
        [
            (moved(at, n_turns, by), size and turned(size, n_turns))
            for at, size in things
        ],
        [(s, t, moved(o, n_turns, by), moved(d, n_turns)) for s, t, o, d in lines],
    )
    after = targets(there, START_S, END_S)

    assert {t.id for t in before} == {t.id for t in after}
    for one, other in zip(by_id(before), by_id(after), strict=True):
        assert one.is_hit == other.is_hit
        assert one.angle_rad == pytest.approx(other.angle_rad, abs=1e-6)
        assert one.distance_m == pytest.approx(other.distance_m, abs=1e-6)


def grid(vector: Vector, least: float = -math.inf) -> Vector:
    x, y, z = (max(least, round(value * 8) / 8) for value in vector)
    return (x, y, z)


def turned(size: Vector, n_turns: int) -> Vector:
    width, height, depth = size
    return (depth, height, width) if n_turns % 2 else size


def by_id(found: tuple[Target, ...]) -> list[Target]:
    return sorted(found, key=lambda target: target.id)


@settings(deadline=None)
@given(things=objects, direction=vectors, among=st.sets(st.integers(0, 5)))
def test_what_is_meant_is_among_what_can_be(
    things: list[tuple[Vector, Vector | None]], direction: Vector, among: set[int]
) -> None:
    scene = world(*built(things, []).objects, rays=rays(direction))
    ids = {f"o{at}" for at in among}

    assert {t.id for t in targets(scene, START_S, END_S, among=ids)} <= ids


@settings(deadline=None, max_examples=200)
@given(at=vectors, size=st.tuples(*[st.floats(0.05, 5)] * 3), direction=vectors)
def test_the_angle_is_that_of_the_closest_point(
    at: Vector, size: Vector, direction: Vector
) -> None:
    scene = world(box("a", at, size), rays=rays(direction))
    for target in targets(scene, START_S, END_S):
        steps = [step / 10 - 0.5 for step in range(11)]
        points = [
            [where + part * side for where, part, side in zip(at, p, size, strict=True)]
            for p in ((i, j, k) for i in steps for j in steps for k in steps)
        ]
        closest = min(between(point, direction) for point in points)
        assert target.angle_rad <= closest + 1e-6
        # Some point of the grid is nearly as close as the closest of all.
        if not target.is_hit:
            apart = max(size) / 10
            nearest = min(math.hypot(*point) for point in points)
            assert closest - target.angle_rad <= 2 * apart / max(nearest, 1e-9)


def between(point: list[float], direction: Vector) -> float:
    """Returns an angle; exact where it is small, too."""
    n, m = math.hypot(*point) or 1, math.hypot(*direction) or 1
    one, other = [x / n for x in point], [x / m for x in direction]
    apart = math.dist(one, other)
    return 2 * math.asin(min(1, apart / 2))


def test_a_thousand_objects_take_no_time() -> None:
    things = tuple(
        box(
            f"o{at}",
            (
                math.sin(at) * (3 + at % 40),
                (at % 7) - 3,
                math.cos(at) * (3 + at % 40),
            ),
            (0.3, 0.3, 0.3) if at % 2 else None,
        )
        for at in range(1000)
    )
    scene = world(*things, rays=rays()[:30])
    took_s = []
    for _ in range(5):
        begun_s = time.perf_counter()
        targets(scene, START_S, END_S)
        took_s.append(time.perf_counter() - begun_s)

    # A few milliseconds; machines that test are slow and busy.
    assert min(took_s) < 0.05
