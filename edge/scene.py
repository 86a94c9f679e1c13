"""What the game tells us now: objects, where the player looks, what it knows.

Space is OpenXR's: right-handed, +Y up, -Z forward, metres. Time is audio-sample time:
seconds since the first sample of the stream. Clients convert at the door.
"""

from __future__ import annotations

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
