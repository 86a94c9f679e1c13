"""Which object, or which spot, the player meant by a word: scene and times in.

A hand or a look is not on its target at the word's very moment. Pointing comes first,
by up to some 0.3 s: R. A. Bolt, "Put-that-there", SIGGRAPH 1980; S. Oviatt, A. DeAngeli
and K. Kuhn, "Integration and synchronization of input modes", CHI 1997; W. Levelt and
others, "Pointing and voicing in deictic expressions", J. Memory and Language 24, 1985.
The eyes go to a thing before it is spoken of and may have left when the word ends:
Z. Griffin and K. Bock, "What the eyes say about speaking", Psychological Science 11,
2000. So the rays from `BEFORE_S` before a word to `AFTER_S` after it count, those about
the middle of that span most. Without any, the last ray before counts, if it is younger
than `STALE_S`.

Each ray votes: for the box it meets first or, meeting none, with half its weight, for
the box it misses least, within `TOLERANCE_RAD`.

This module knows nothing of words, of what a slot may hold, or of walls that are not
objects of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.scene import Ray, RaySource, Scene, SceneObject, Vector

BEFORE_S = 0.4
"""A ray this long before a word can belong to it."""
AFTER_S = 0.2
"""A ray this long after a word can belong to it."""
STALE_S = 1.0
"""Older than this at the word's start, a ray belongs to no word."""
TOLERANCE_RAD = math.radians(8)
"""A ray may miss an object by this angle: hands are held less straight than they feel,
and eye trackers of headsets are off by a degree or two."""
TIE_RAD = math.radians(2)
"""Of two objects that are missed, who is closer by less than this is not known."""
RADIUS_M = 0.15
"""Of an object whose size is not known, taken for a ball."""
FLOOR_M = 100.0
"""A spot on the floor is no farther away than this."""

_MISS = 0.5
"""Weight of a vote for what is missed, against 1 for what is met."""
_LEAST_SHARE = 0.2
"""Of the rays' weight; what gets less was only swept over."""
_RIVAL = 0.75
"""Of the most votes; who gets as many may have been meant as well."""
_DWELL_COS = math.cos(math.radians(3))
"""Rays closer to each other than this rest on one spot."""
_HUGE = 1e100
_EDGES = np.array(
    [(at, at | 1 << axis) for at in range(8) for axis in range(3) if not at >> axis & 1]
)
"""Pairs of a box's corners."""
_SIGNS = np.array(
    [[1 if at >> axis & 1 else -1 for axis in range(3)] for at in range(8)]
)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An object that the player may have pointed or looked at."""

    id: str
    """The object's."""
    source: RaySource
    is_hit: bool
    """Whether the rays met it, rather than pass it by."""
    angle_rad: float
    """By which the rays missed it; 0 where they met it."""
    distance_m: float
    """From where the rays begin: to where they met it; else to its centre."""


def targets(
    scene: Scene,
    start_s: float,
    end_s: float,
    *,
    among: Collection[str] | None = None,
) -> tuple[Target, ...]:
    """Returns what can be meant by a word, the likeliest first; more than one: ask.

    A hand that points at something goes before the eyes. Of two hands that point at
    different things, the one goes first whose thing is looked at, then the one that
    meets its thing. An object without a position cannot be pointed at, and neither can
    a box in which the ray begins: there the player stands.

    Args:
        scene: Objects and rays.
        start_s: Of the word, in audio-sample time.
        end_s: Of the word.
        among: Ids of the objects that can be meant; the others are looked through.
    """
    boxes = _Boxes.of(scene.objects, among)
    if not boxes.ids:
        return ()
    for sheaves in _sheaves(scene.rays, start_s, end_s):
        found = {sheaf.source: _vote(sheaf, boxes) for sheaf in sheaves}
        gaze = found.pop(RaySource.GAZE, ())
        hands = [hand for hand in found.values() if hand]
        if hands or gaze:
            return _one_of(hands, gaze) if hands else gaze
    return ()


def spot(scene: Scene, start_s: float, end_s: float) -> Vector | None:
    """Returns the point meant by a word such as "there"; None where nothing is met.

    It is where the ray meets an object of known size or else the floor, y = 0, no
    farther than `FLOOR_M`. The ray is the median of those that rest on one spot. A hand
    goes before the eyes; of two hands, the one that is closer to where the eyes look
    and, without a look, the one that points farther: a hand at rest points at one's
    feet.

    Args:
        scene: Objects and rays.
        start_s: Of the word, in audio-sample time.
        end_s: Of the word.
    """
    boxes = _Boxes.of([thing for thing in scene.objects if thing.size is not None])
    for sheaves in _sheaves(scene.rays, start_s, end_s):
        medians = {sheaf.source: _median_ray(sheaf) for sheaf in sheaves}
        looks = medians[RaySource.GAZE][1] if RaySource.GAZE in medians else None
        met = []
        for source, (origin, direction) in medians.items():
            way_m = _way_m(origin, direction, boxes)
            if way_m is not None:
                closeness = way_m if looks is None else float(direction @ looks)
                x, y, z = map(float, origin + way_m * direction)
                met.append((source is not RaySource.GAZE, closeness, (x, y, z)))
        if met:
            return max(met)[2]
    return None


# Rays --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sheaf:
    """The rays of one source that belong to a word."""

    source: RaySource
    origins: Floats  # (R, 3)
    directions: Floats  # (R, 3), unit vectors
    weights: Floats  # (R,), 1 in all


def _sheaves(
    rays: Sequence[Ray], start_s: float, end_s: float
) -> Iterator[list[_Sheaf]]:
    """Yields the rays about a word, by source; then the last ones before it."""
    since_s, until_s = start_s - BEFORE_S, max(start_s, end_s) + AFTER_S
    if not math.isfinite(until_s - since_s):
        return
    recent = [
        ray
        for ray in rays
        if start_s - STALE_S <= ray.time_s <= until_s and _is_sound(ray)
    ]
    about, before = [], []
    for source in RaySource:
        mine = [ray for ray in recent if ray.source is source]
        inside = [ray for ray in mine if ray.time_s >= since_s]
        if inside:
            times_s = np.array([ray.time_s for ray in inside])
            off = (times_s - (since_s + until_s) / 2) / (until_s - since_s)
            # Hann's window; what lies at its ends is not worth nothing.
            about.append(_sheaf(inside, np.cos(np.pi * off) ** 2 + 0.01))
        elif mine:
            last = max(mine, key=lambda ray: ray.time_s)
            before.append(_sheaf([last], np.ones(1)))
    yield about
    yield before


def _sheaf(rays: list[Ray], weights: Floats) -> _Sheaf:
    directions = np.array([ray.direction for ray in rays], np.float64)
    directions /= np.abs(directions).max(axis=1, keepdims=True)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return _Sheaf(
        source=rays[0].source,
        origins=np.array([ray.origin for ray in rays], np.float64),
        directions=directions,
        weights=weights / weights.sum(),
    )


def _is_sound(ray: Ray) -> bool:
    """Returns whether a ray has a direction, and numbers that can be squared."""
    return any(ray.direction) and all(
        abs(value) < _HUGE for value in (*ray.origin, *ray.direction)
    )


def _median_ray(sheaf: _Sheaf) -> tuple[Floats, Floats]:
    """Returns origin and direction of the rays that rest on the most likely spot."""
    cosines = sheaf.directions @ sheaf.directions.T
    rests = cosines >= _DWELL_COS  # (R, R)
    rests = rests[np.argmax(rests @ sheaf.weights)]
    weights = sheaf.weights[rests]
    origin = _medians(sheaf.origins[rests], weights)
    direction = _medians(sheaf.directions[rests], weights)
    return origin, direction / np.linalg.norm(direction)


def _medians(values: Floats, weights: Floats) -> Floats:
    """Returns the weighted median of each column.

    Args:
        values: (n, m).
        weights: (n,).
    """
    order = np.argsort(values, axis=0)
    below = np.cumsum(weights[order], axis=0)  # (n, m)
    at = np.argmax(below >= below[-1] / 2, axis=0)
    found: Floats = np.take_along_axis(values, order, axis=0)[at, range(len(at))]
    return found


def _median(values: Floats, weights: Floats) -> float:
    return float(_medians(values[:, None], weights)[0])


# Boxes -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Boxes:
    """The objects that can be pointed at; those without a size are balls."""

    ids: tuple[str, ...]
    centres: Floats  # (N, 3)
    halves: Floats  # (N, 3), half of each side; of a ball, the radius
    balls: Flags  # (N,)

    @classmethod
    def of(
        cls, objects: Iterable[SceneObject], among: Collection[str] | None = None
    ) -> _Boxes:
        """Returns the boxes of the objects that have a position."""
        ball = (2 * RADIUS_M,) * 3
        things = [
            (thing.id, thing.position, thing.size or ball, thing.size is None)
            for thing in objects
            if thing.position is not None and (among is None or thing.id in among)
        ]
        ids, centres, sizes, balls = zip(*things, strict=True) if things else [()] * 4
        boxes = cls(
            ids=ids,
            centres=np.array(centres, np.float64).reshape(-1, 3),
            halves=np.array(sizes, np.float64).reshape(-1, 3) / 2,
            balls=np.array(balls, np.bool_),
        )
        sound = np.abs(boxes.centres) < _HUGE
        sound &= (boxes.halves > 0) & (boxes.halves < _HUGE)
        return boxes.only(np.asarray(sound.all(axis=1)))

    def only(self, kept: Flags) -> _Boxes:
        """Returns those that are kept."""
        return _Boxes(
            ids=tuple(self.ids[at] for at in np.flatnonzero(kept)),
            centres=self.centres[kept],
            halves=self.halves[kept],
            balls=self.balls[kept],
        )


def _near_rays(sheaf: _Sheaf, boxes: _Boxes) -> Flags:
    """Returns which boxes (N) any ray might miss by no more than `TOLERANCE_RAD`."""
    base = sheaf.origins[0]
    centres, origins = boxes.centres - base, sheaf.origins - base
    ahead = sheaf.directions @ centres.T
    ahead -= np.einsum("rk,rk->r", sheaf.directions, origins)[:, None]  # (R, N)
    squares = (centres**2).sum(axis=1) - 2 * origins @ centres.T
    squares += (origins**2).sum(axis=1)[:, None]
    aside = np.sqrt(np.maximum(squares - ahead**2, 0))
    # How far the centre is from the cone about the ray, where it is outside of it.
    off = aside * math.cos(TOLERANCE_RAD) - ahead * math.sin(TOLERANCE_RAD)
    radii = np.linalg.norm(boxes.halves, axis=1)
    slack = 1e-6 * (1 + np.sqrt(np.maximum(squares, 0)))
    found: Flags = (off <= radii + slack).any(axis=0)
    return found


def _entries(origins: Floats, directions: Floats, boxes: _Boxes) -> Floats:
    """Returns how far each ray (R) goes to meet each box (N); infinite where it misses.

    A. Williams and others, "An efficient and robust ray-box intersection algorithm",
    Journal of Graphics Tools 10, 2005.
    """
    to = boxes.centres.T[:, None] - origins.T[:, :, None]  # (3, R, N)
    tiny = np.abs(directions) < 1e-12
    slopes = 1 / np.where(tiny, 1e-12, directions).T[:, :, None]  # (3, R, 1)
    middle = to * slopes
    half = boxes.halves.T[:, None] * np.abs(slopes)
    near = (middle - half).max(axis=0)  # (R, N)
    far = (middle + half).min(axis=0)
    if boxes.balls.any():
        along = np.einsum("krn,rk->rn", to, directions)
        off = to - along * directions.T[:, :, None]
        inner = RADIUS_M**2 - np.einsum("krn,krn->rn", off, off)
        depth = np.sqrt(np.maximum(inner, 0))
        near = np.where(boxes.balls, along - depth, near)
        far = np.where(boxes.balls & (inner < 0), -np.inf, far)
    return np.where((near > 0) & (near <= far), near, np.inf)


def _angles(origins: Floats, directions: Floats, boxes: _Boxes) -> Floats:
    """Returns by what angle each ray (R) misses each box (N), which it does not meet.

    As seen from the ray's origin, a box is bounded by some of its edges, which are arcs
    of great circles. A box in which the ray begins is missed by an infinite angle.
    """
    to = boxes.centres - origins[:, None]  # (R, N, 3)
    aim = directions[:, None]  # (R, 1, 3)
    corners = _unit(to[:, :, None] + boxes.halves[:, None] * _SIGNS)  # (R, N, 8, 3)
    cosines = np.einsum("rnck,rk->rnc", corners, directions)
    one, other = corners[:, :, _EDGES[:, 0]], corners[:, :, _EDGES[:, 1]]
    normals = _unit(np.cross(one, other))  # (R, N, 12, 3)
    beside = (np.cross(normals, one) * aim[:, :, None]).sum(-1) >= 0
    beside &= (np.cross(other, normals) * aim[:, :, None]).sum(-1) >= 0
    sines = np.einsum("rnek,rk->rne", normals, directions)
    arcs = np.where(beside, np.sqrt(np.maximum(1 - sines**2, 0)), -1)
    best = np.maximum(cosines.max(-1), arcs.max(-1))
    angles = np.arccos(np.clip(best, -1, 1))
    if boxes.balls.any():
        centred, seen = _cone(to, directions, np.full(len(boxes.ids), RADIUS_M))
        angles = np.where(boxes.balls, np.maximum(centred - seen, 0), angles)
    inside = np.asarray((np.abs(to) <= boxes.halves).all(-1))
    return np.where(inside, np.inf, angles)


def _cone(to: Floats, directions: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Returns the angle from each ray to each place, and what a ball there takes up."""
    distances = np.linalg.norm(to, axis=-1)  # (R, N)
    safe = np.maximum(distances, 1e-12)
    cosines = np.einsum("rnk,rk->rn", to, directions) / safe
    return np.arccos(np.clip(cosines, -1, 1)), np.arcsin(np.minimum(radii / safe, 1))


def _unit(vectors: Floats) -> Floats:
    """Returns vectors of length 1; those of no length stay so."""
    lengths = np.sqrt(np.einsum("...k,...k->...", vectors, vectors))[..., None]
    found: Floats = vectors / np.maximum(lengths, 1e-300)
    return found


def _way_m(origin: Floats, direction: Floats, boxes: _Boxes) -> float | None:
    """Returns how far a ray goes to meet a box or else the floor."""
    if boxes.ids:
        way_m = float(_entries(origin[None], direction[None], boxes).min())
        if math.isfinite(way_m):
            return way_m
    height_m, slope = float(origin[1]), float(direction[1])
    if height_m > 0 > slope and -height_m / slope <= FLOOR_M:
        return -height_m / slope
    return None


# Votes -------------------------------------------------------------------------------


def _vote(sheaf: _Sheaf, boxes: _Boxes) -> tuple[Target, ...]:
    """Returns what rays of one source point at, the likeliest first."""
    boxes = boxes.only(_near_rays(sheaf, boxes))
    if not boxes.ids:
        return ()
    n = len(boxes.ids)
    entries = _entries(sheaf.origins, sheaf.directions, boxes)  # (R, N)
    first = entries.argmin(axis=1)
    meets = np.isfinite(entries[range(len(first)), first])
    hits = np.bincount(first[meets], sheaf.weights[meets], minlength=n)
    misses, angles = _missed(sheaf, ~meets, boxes)
    nearest = angles.argmin(axis=1)
    close = angles[range(len(nearest)), nearest] <= TOLERANCE_RAD
    near = np.bincount(nearest[close], misses[close], minlength=n)

    votes: Floats = hits + _MISS * near
    best = int(votes.round(9).argmax())
    if hits[best] + near[best] < _LEAST_SHARE:
        return ()
    are_hits = (hits > 0) & (hits >= _MISS * near)
    meant = votes >= _RIVAL * votes[best]
    # By how much each was missed while the best was close; rays on their way are not.
    on_it = angles[:, best] <= TOLERANCE_RAD
    missed_by = np.full(n, np.inf)
    if on_it.any():
        missed_by = _medians(angles[on_it], misses[on_it])
    if not are_hits[best]:
        limit = min(missed_by[best] + TIE_RAD, TOLERANCE_RAD)
        meant = meant | (missed_by < limit)
    found = []
    for at in np.flatnonzero(meant):
        if are_hits[at]:
            mine = meets & (first == at)
            angle_rad, distance_m = 0.0, _median(entries[mine, at], sheaf.weights[mine])
        else:
            mine = angles[:, at] <= TOLERANCE_RAD
            angle_rad = _median(angles[mine, at], misses[mine])
            ways_m = np.linalg.norm(boxes.centres[at] - sheaf.origins, axis=1)
            distance_m = _median(ways_m, sheaf.weights)
        target = Target(
            id=boxes.ids[at],
            source=sheaf.source,
            is_hit=bool(are_hits[at]),
            angle_rad=angle_rad,
            distance_m=distance_m,
        )
        found.append((-round(votes[at], 9), round(angle_rad, 9), at, target))
    return tuple(target for *_, target in sorted(found, key=lambda each: each[:3]))


def _missed(sheaf: _Sheaf, missing: Flags, boxes: _Boxes) -> tuple[Floats, Floats]:
    """Returns weights of the rays that meet nothing, and by what they miss each box.

    Boxes that lie well outside of `TOLERANCE_RAD`, or of what the closest is missed by,
    are not measured: their angle is infinite.

    Returns:
        (M,) and (M, N).
    """
    origins, directions = sheaf.origins[missing], sheaf.directions[missing]
    angles = np.full((len(origins), len(boxes.ids)), np.inf)
    if len(origins):
        to = boxes.centres - origins[:, None]
        radii = np.where(boxes.balls, RADIUS_M, np.linalg.norm(boxes.halves, axis=1))
        centred, seen = _cone(to, directions, radii)
        # No box is missed by more than its centre is, unless the ray begins in it.
        outside = (np.abs(to) > boxes.halves).any(-1)
        least = np.where(outside, centred, np.inf).min(axis=1, keepdims=True)
        limits = np.minimum(least + TIE_RAD, TOLERANCE_RAD)
        worth = (centred - seen <= limits).any(axis=0)
        if worth.any():
            angles[:, worth] = _angles(origins, directions, boxes.only(worth))
    return sheaf.weights[missing], angles


def _one_of(
    hands: list[tuple[Target, ...]], gaze: tuple[Target, ...]
) -> tuple[Target, ...]:
    """Returns what the hands point at, where there is one hand or more."""
    looked_at = {target.id for target in gaze}
    for is_better in (
        lambda hand: any(target.id in looked_at for target in hand),
        lambda hand: hand[0].is_hit,
    ):
        better = [hand for hand in hands if is_better(hand)]
        hands = better or hands
    merged: dict[str, Target] = {}
    for hand in hands:
        for target in hand:
            merged.setdefault(target.id, target)
    return tuple(merged.values())
