"""What the game tells us now: objects, where the player looks, what it knows.

Space is OpenXR's: right-handed, +Y up, -Z forward, metres. Time is audio-sample time:
seconds since the first sample of the stream. Clients convert at the door.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

Vector = tuple[float, float, float]
Fact = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObject:
    """One thing in the scene that a player can name or point at."""

    id: str
    """The game's own identifier; never spoken."""
    name: str
    """What players call it."""
    aliases: tuple[str, ...] = ()
    """Other names for it."""
    tags: frozenset[str] = frozenset()
    """What kinds of thing it is; packs select by tag."""
    position: Vector | None = None
    """Centre in metres, where the game tells."""
    size: Vector | None = None
    """Width, height and depth in metres of its box, centred on ``position`` and aligned
    to the axes, where the game tells."""


class RaySource(StrEnum):
    """Where a ray comes from."""

    GAZE = "gaze"
    LEFT_HAND = "left_hand"
    RIGHT_HAND = "right_hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ray:
    """Where the player looks or points at one moment."""

    source: RaySource
    time_s: float
    """Audio-sample time."""
    origin: Vector
    """Metres."""
    direction: Vector
    """Unit vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A snapshot of the scene; a change makes a new one with a higher revision."""

    revision: int = 0
    objects: tuple[SceneObject, ...] = ()
    rays: tuple[Ray, ...] = ()
    """In order of time."""
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))
    """What the game declared, by key, e.g. ``harbour.open``."""

    def tagged(self, tag: str) -> tuple[SceneObject, ...]:
        """Returns the objects that carry ``tag``, in scene order."""
        return tuple(thing for thing in self.objects if tag in thing.tags)


MAX_NEAR = 8
"""Objects that the language model is told of; its constraint holds all."""
_IN_SIGHT = 0.1
"""1 minus the cosine of 26 degrees: closer to the ray than this is looked at."""
_SMALL_WORDS = frozenset(("a", "an", "and", "in", "my", "of", "on", "the", "to"))
"""Of names; to share one of them tells nothing."""


def relevant_objects(
    scene: Scene, words: frozenset[str], limit: int = MAX_NEAR
) -> tuple[SceneObject, ...]:
    """Returns the objects worth mentioning, the most relevant first.

    These are the objects that share a word with what was said, those that share most
    first, and those in the direction in which the player looked or pointed last, the
    closest to it first. A small model takes up whatever it is told, so that no others
    are.

    Args:
        scene: Objects and rays.
        words: What was said, in lower case.
        limit: Of objects.
    """
    ray = scene.rays[-1] if scene.rays else None
    ranked = []
    for at, thing in enumerate(scene.objects):
        names = (thing.name, *thing.aliases)
        n_shared = max(
            len(words & set(name.lower().split()) - _SMALL_WORDS) for name in names
        )
        off_axis = _off_axis(ray, thing.position)
        if n_shared or off_axis < _IN_SIGHT:
            ranked.append((-n_shared, off_axis, at))
    return tuple(scene.objects[at] for _, _, at in sorted(ranked)[:limit])


def _off_axis(ray: Ray | None, position: Vector | None) -> float:
    """Returns 1 minus the cosine between a ray and the way to a place; 1 if unknown."""
    if ray is None or position is None:
        return 1.0
    to = [there - here for there, here in zip(position, ray.origin, strict=True)]
    along = sum(a * b for a, b in zip(to, ray.direction, strict=True))
    length = math.hypot(*to) * math.hypot(*ray.direction)
    return 1.0 - along / length if length else 0.0
