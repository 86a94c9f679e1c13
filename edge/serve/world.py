"""The scene as a game tells it over the wire, message by message."""

from __future__ import annotations

from collections import deque
from types import MappingProxyType

from edge.scene import Fact, Ray, RaySource, Scene, SceneObject, Vector
from edge.serve.wire import Message, WireError

MAX_OBJECTS = 1000
MAX_FACTS = 256
MAX_RAYS = 256


class World:
    """Objects, facts and rays; every change makes a new snapshot.

    One thread changes it; ``scene`` may be read from any.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._objects = {thing.id: thing for thing in scene.objects}
        self._facts: dict[str, Fact] = dict(scene.facts)
        self._rays: deque[Ray] = deque(scene.rays, maxlen=MAX_RAYS)

    def set_all(self, message: Message) -> None:
        """Takes over a ``scene.set``.

        Raises:
            WireError: ``scene_rev`` or ``scene_limit``.
        """
        self._must_advance(message["rev"])
        objects = {item["id"]: _object(item) for item in message["objects"]}
        facts = dict(message.get("facts", {}))
        self._keep(message["rev"], objects, facts)

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

    def set_fact(self, key: str, value: Fact) -> None:
        """Takes over a ``fact``.

        Raises:
            WireError: ``scene_limit``.
        """
        facts = {**self._facts, key: value}
        self._keep(self.scene.revision, self._objects, facts)

    def add_rays(self, message: Message) -> None:
        """Takes over ``rays``."""
        self._rays.extend(_ray(item) for item in message["rays"])
        self._keep(self.scene.revision, self._objects, self._facts)

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
            rays=tuple(self._rays),
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
