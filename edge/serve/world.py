"""The scene as a game tells it over the wire, message by message."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from operator import attrgetter
from types import MappingProxyType

from edge.scene import Fact, Ray, RaySource, Scene, SceneObject, Vector
from edge.serve.wire import Message, WireError

MAX_OBJECTS = 1000
MAX_FACTS = 256
MAX_RAYS = 4096
RAYS_S = 12.0
"""So old are kept: a command lasts less, with its pause and the time to recognise it.
At 72 Hz, eyes and two hands make 2,592 rays of it."""

_time_s = attrgetter("time_s")


class World:
    """Objects, facts and rays; every change makes a new snapshot.

    One thread at a time changes it; ``scene`` may be read from any.

    Args:
        scene: The pack's own, until the game tells another.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._objects = {thing.id: thing for thing in scene.objects}
        self._facts: dict[str, Fact] = dict(scene.facts)
        self._is_told = False
        """Whether the objects are the game's."""
        self._told_facts: dict[str, Fact] = {}
        """Those of the game, while the objects are the pack's."""

    def become(self, scene: Scene) -> None:
        """Takes over the own scene of another pack; what the game told stays."""
        if not self._is_told:
            objects = {thing.id: thing for thing in scene.objects}
            facts = {**scene.facts, **self._told_facts}
            self._keep(self.scene.revision, objects, facts)

    def set_all(self, message: Message) -> None:
        """Takes over a ``scene.set``.

        Raises:
            WireError: ``scene_rev`` or ``scene_limit``.
        """
        self._must_advance(message["rev"])
        objects = {item["id"]: _object(item) for item in message["objects"]}
        facts = dict(message.get("facts", {}))
        self._keep(message["rev"], objects, facts)
        self._is_told = True

    def patch(self, message: Message) -> None:
        """Takes over a ``scene.patch``.

        Raises:
            WireError: ``scene_base``, ``scene_rev`` or ``scene_limit``.
        """
        if message["base"] != self.scene.revision:
            raise WireError(
                "scene_base",
                f"The patch changes revision {message['base']}, and the scene is at "
                f"revision {self.scene.revision}.",
                "Send the whole scene with scene.set.",
            )
        self._must_advance(message["rev"])
        objects = dict(self._objects)
        for name in message.get("remove", ()):
            objects.pop(name, None)
        for item in message.get("set", ()):
            objects[item["id"]] = _object(item)
        facts = {**self._facts, **message.get("facts", {})}
        self._keep(message["rev"], objects, facts)
        self._is_told = True

    def set_fact(self, key: str, value: Fact) -> None:
        """Takes over a ``fact``.

        Raises:
            WireError: ``scene_limit``.
        """
        facts = {**self._facts, key: value}
        self._keep(self.scene.revision, self._objects, facts)
        self._told_facts[key] = value

    def add_rays(self, message: Message) -> None:
        """Takes over ``rays``; those of the last `RAYS_S` are kept, in order of time.

        The last of a message is now: who had the time wrong once can put it right.
        """
        new = sorted(map(_ray, message["rays"]), key=_time_s)
        if not new:
            return
        before = self.scene.rays
        rays = [*before, *new]
        if before and before[-1].time_s > new[0].time_s:
            rays.sort(key=_time_s)
        now_s = new[-1].time_s
        first = bisect_left(rays, now_s - RAYS_S, key=_time_s)
        last = bisect_right(rays, now_s + RAYS_S, key=_time_s)
        kept = rays[max(first, last - MAX_RAYS) : last]
        self.scene = replace(self.scene, rays=tuple(kept))

    def _must_advance(self, revision: int) -> None:
        if revision <= self.scene.revision:
            raise WireError(
                "scene_rev",
                f"Revision {revision} does not follow {self.scene.revision}.",
                "Count revisions up.",
            )

    def _keep(
        self, revision: int, objects: dict[str, SceneObject], facts: dict[str, Fact]
    ) -> None:
        if len(objects) > MAX_OBJECTS or len(facts) > MAX_FACTS:
            raise WireError(
                "scene_limit",
                f"A scene holds at most {MAX_OBJECTS} objects and {MAX_FACTS} facts.",
                "Leave out what is far away.",
            )
        self._objects, self._facts = objects, facts
        self.scene = Scene(
            revision=revision,
            objects=tuple(objects.values()),
            rays=self.scene.rays,
            facts=MappingProxyType(facts),
        )


def _object(item: Message) -> SceneObject:
    return SceneObject(
        id=item["id"],
        name=item["name"],
        aliases=tuple(item.get("aliases", ())),
        tags=frozenset(item.get("tags", ())),
        position=_vector(item["position"]) if "position" in item else None,
        size=_vector(item["size"]) if "size" in item else None,
    )


def _ray(item: Message) -> Ray:
    return Ray(
        source=RaySource(item["source"]),
        time_s=item["t"],
        origin=_vector(item["origin"]),
        direction=_vector(item["direction"]),
    )


def _vector(values: list[float]) -> Vector:
    x, y, z = values
    return (float(x), float(y), float(z))
