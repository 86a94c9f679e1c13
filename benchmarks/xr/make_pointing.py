"""Writes pointing.jsonl: what players say while they point, and what they mean by it.

    .venv/bin/python benchmarks/xr/make_pointing.py

Each line is one utterance on the island of the pack `explorer`: its words with times,
the scene with sizes, the rays of eyes and hand about the words that point, what was
spoken of last (`focus`), and the gold: `intents`, or in `clarify` the ids between which
nobody can tell. The gold follows from what the rays are aimed at, and from nothing that
reads them. A spot is right within half a metre.

The hand reaches its target 50 to 250 ms before the word, moving for some 0.2 s as hands
do; the eyes jump there within 40 ms and look elsewhere before and after, which for a
hand is while it still points. Eyes jitter by 1 degree, hands by 0.5 (root mean square),
and both are off by some 0.6 each way throughout. There are 72 rays a second, of which
every second one is kept.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.pack_file import load_pack

OUT = Path(__file__).with_name("pointing.jsonl")
SEED = 20250607
RATE_HZ = 72
BIAS_DEG = 0.6
"""By which all rays of a source are off, each way; not where that told two apart."""
SIZES = {
    "lighthouse": (3.6, 24.0, 3.6),
    "beach": (18.0, 0.2, 10.0),
    "cave": (10.0, 6.0, 8.0),
    "pier": (3.0, 1.0, 14.0),
    "campfire": (1.2, 0.8, 1.2),
    "garden": (8.0, 0.4, 8.0),
    "boat": (1.6, 0.9, 3.6),
    "bench": (1.8, 0.9, 0.6),
    "lantern": (0.3, 0.5, 0.3),
    "telescope": (0.4, 1.4, 0.4),
    "statue": (0.9, 3.0, 0.9),
    "chest": (1.0, 0.7, 0.6),
    "kite": (1.4, 1.2, 0.2),
    "gate": (4.0, 3.0, 0.4),
}
REACHED = ("boat", "bench", "lantern", "statue", "chest", "kite")
"""Things that one can stand before."""
SEEN = (*REACHED, "gate", "campfire")
Point = npt.NDArray[np.float64]

# What is said, the words that point (`that`, `this`, `there`), and what is meant: the
# first and the second target are written $1 and $2, what was spoken of last $0.
SAID: tuple[tuple[int, str, str, dict[str, Any]], ...] = (
    (6, "put that there", "put", {"object": "$1", "spot": "$2"}),
    (5, "what is this", "describe", {"sight": "$1"}),
    (5, "paint it like that one", "paint_like", {"object": "$0", "model": "$1"}),
    (5, "paint that red", "paint", {"object": "$1", "colour": "red"}),
    (4, "make it bigger", "resize", {"object": "$0", "size": "bigger"}),
    (5, "remove this one", "remove", {"object": "$1"}),
    (5, "pick that up", "pick_up", {"object": "$1"}),
    (5, "take me over there", "teleport_spot", {"spot": "$1"}),
    (
        5,
        "put that next to this one",
        "place_object",
        {"object": "$1", "relation": "beside", "target": "$2"},
    ),
    (
        5,
        "push that one forward",
        "move_object",
        {"object": "$1", "direction": "forward", "distance_m": 1},
    ),
)
UNCLEAR = ("remove this one", "pick that up", "what is this", "paint that red")
N_UNCLEAR = 8
POINTING = ("that", "this", "there")
THINGS = load_pack("explorer").objects


@dataclass(frozen=True)
class Aim:
    """A target, and when it is pointed at."""

    at: Point
    since_s: float
    until_s: float


class Island:
    """The objects, and what a ray from a place meets first."""

    def __init__(self) -> None:
        things = THINGS
        self.objects: list[dict[str, Any]] = [
            {
                "id": thing.id,
                "name": thing.name,
                "tags": sorted(thing.tags),
                "position": list(thing.position or ()),
                "size": list(SIZES[thing.id]),
            }
            for thing in things
        ]
        self.boxes = {
            thing.id: (np.array(thing.position), np.array(SIZES[thing.id]) / 2)
            for thing in things
        }

    def move(self, name: str, to: list[float]) -> None:
        """Puts an object elsewhere."""
        self.boxes[name] = (np.array(to), self.boxes[name][1])
        for item in self.objects:
            if item["id"] == name:
                item["position"] = to

    def first(self, eye: Point, at: Point) -> str | None:
        """Returns the box that the way from ``eye`` beyond ``at`` enters first."""
        way = at - eye
        entries = []
        for name, (centre, half) in self.boxes.items():
            since, until = -math.inf, math.inf
            for axis in range(3):
                ends = sorted(
                    (centre[axis] + sign * half[axis] - eye[axis]) / (way[axis] or 1e-9)
                    for sign in (-1, 1)
                )
                since, until = max(since, ends[0]), min(until, ends[1])
            if 0 < since < until:
                entries.append((since, name))
        return min(entries)[1] if entries else None

    def off_deg(self, eye: Point, at: Point, name: str) -> float:
        """Returns by how many degrees the way to ``at`` misses points of a box."""
        centre, half = self.boxes[name]
        if (abs(eye - centre) <= half).all():
            return 180.0
        steps = np.linspace(-1, 1, 13)
        grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
        ways = centre + grid * half - eye
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        cosine = float((ways @ unit(at - eye)).max())
        return math.degrees(math.acos(min(1.0, cosine)))


def unit(vector: Point) -> Point:
    """Returns a vector of length 1."""
    found: Point = vector / np.linalg.norm(vector)
    return found


class Player:
    """Somebody on the island who speaks, looks and points."""

    def __init__(self, island: Island, rng: np.random.Generator) -> None:
        self.island = island
        self.rng = rng

    def between(self, low: float, high: float) -> float:
        """Returns a number from a range."""
        return float(self.rng.uniform(low, high))

    def pick(self, names: tuple[str, ...], *but: str | None) -> str:
        """Returns one of some names."""
        return str(self.rng.choice([name for name in names if name not in but]))

    def stand(self, name: str, far_m: float) -> Point:
        """Returns where the eyes are, some way before an object."""
        centre, half = self.island.boxes[name]
        angle = self.between(0, math.tau)
        away_m = self.between(1.5, far_m) + max(half[0], half[2])
        x = centre[0] + away_m * math.sin(angle)
        z = centre[2] + away_m * math.cos(angle)
        return np.array([x, 1.6, z])

    def point_on(self, eye: Point, hand: Point, name: str) -> Point | None:
        """Returns a point of an object that eye and hand reach, if there is one."""
        centre, half = self.island.boxes[name]
        at: Point = centre + self.rng.uniform(-0.5, 0.5, 3) * half
        # The hand points a degree or less beside what it means, yet at it.
        reached = {self.island.first(start, at) for start in (eye, hand)}
        far_m = float(np.linalg.norm(at - eye))
        return at if reached == {name} and far_m < 25 else None

    def floor(self, eye: Point, hand: Point) -> Point | None:
        """Returns a free point of the floor, not far away."""
        angle, away_m = self.between(0, math.tau), self.between(1.2, 4.5)
        way = np.array([away_m * math.sin(angle), -eye[1], away_m * math.cos(angle)])
        at: Point = eye + way
        free = all(self.island.first(start, at) is None for start in (eye, hand))
        return at if free else None

    def between_two(self, start: Point, one: str, least_deg: float) -> Any:
        """Returns a point between two things that none can tell apart, and their ids.

        The second of them was brought there.
        """
        other = self.pick(REACHED, one, "boat", "kite")
        way = self.island.boxes[one][0] - start
        turn = math.radians(self.between(10, 30)) * float(self.rng.choice([-1, 1]))
        x = start[0] + way[0] * math.cos(turn) + way[2] * math.sin(turn)
        z = start[2] - way[0] * math.sin(turn) + way[2] * math.cos(turn)
        half = self.island.boxes[other][1]
        self.island.move(other, [round(x, 2), float(half[1]), round(z, 2)])
        ways = [unit(self.island.boxes[n][0] - start) for n in (one, other)]
        others = set(self.island.boxes) - {one, other}
        at: Point = start + 6 * unit(ways[0] + ways[1])
        if min(self.island.off_deg(start, at, name) for name in others) < 12:
            return None
        low, high = 0.0, 1.0
        for _ in range(20):
            share = (low + high) / 2
            at = start + 6 * unit(ways[0] * (1 - share) + ways[1] * share)
            offs = [self.island.off_deg(start, at, n) for n in (one, other)]
            low, high = (share, high) if offs[0] < offs[1] else (low, share)
        if self.island.first(start, at) or not least_deg < max(offs) < 5:
            return None
        return at, sorted((one, other))


def spoken(player: Player, text: str) -> list[dict[str, Any]]:
    """Returns the words with times; who points twice takes time between."""
    now = player.between(2.0, 3.0)
    words: list[dict[str, Any]] = []
    for n, word in enumerate(text.split()):
        if n and word in POINTING and any(w["text"] in POINTING for w in words):
            now += player.between(0.1, 0.3)
        end = now + player.between(0.9, 1.2) * (0.08 + 0.045 * len(word))
        words.append({"text": word, "start_s": round(now, 3), "end_s": round(end, 3)})
        now = end + player.between(0.0, 0.04)
    return words


def aims(player: Player, words: list[dict[str, Any]], at: list[Point]) -> list[Aim]:
    """Returns when each target is pointed at: from before its word to about its end."""
    spans = [(w["start_s"], w["end_s"]) for w in words if w["text"] in POINTING]
    found: list[Aim] = []
    for (start_s, end_s), target in zip(spans, at, strict=True):
        since_s = start_s - player.between(0.05, 0.25)
        if found:
            last = found[-1]
            until_s = min(last.until_s, since_s - 0.2)
            found[-1] = Aim(last.at, last.since_s, max(until_s, last.since_s + 0.1))
        found.append(Aim(target, since_s, end_s + player.between(0.0, 0.3)))
    return found


def sight(plan: list[Aim], now: float, jump_s: float) -> Point:
    """Returns the point aimed at: it moves from one target to the next, smoothly."""
    for n, aim in enumerate(plan):
        if now <= aim.until_s:
            if n == 0 or now >= aim.since_s:
                return aim.at
            before = plan[n - 1]
            jump = min(jump_s, aim.since_s - before.until_s)
            share = min(1.0, max(0.0, 1 - (aim.since_s - now) / max(jump, 1e-3)))
            # Minimum jerk: T. Flash and N. Hogan, J. Neuroscience 5, 1985.
            share = share**3 * (10 - 15 * share + 6 * share**2)
            moved: Point = before.at * (1 - share) + aim.at * share
            return moved
    return plan[-1].at


def wander(player: Player, plan: list[Aim], span: Any) -> list[Aim]:
    """Returns a plan with looks at something else before it and after it."""
    names = list(player.island.boxes)

    def elsewhere() -> Point:
        return player.island.boxes[str(player.rng.choice(names))][0] + 0.1

    since_s, until_s = span
    full: list[Aim] = []
    now, stop = since_s - 0.5, plan[0].since_s - 0.04 if plan else until_s
    while now < stop - 0.05:
        end = min(stop - 0.04, now + player.between(0.2, 0.45))
        full.append(Aim(elsewhere(), now, end))
        now = end + 0.04
    full += plan
    if plan:
        full.append(Aim(elsewhere(), plan[-1].until_s + 0.04, until_s + 1))
    return full


def rays(
    player: Player,
    source: str,
    origin: Point,
    plan: list[Aim],
    span: Any,
    bias_deg: float,
) -> list[dict[str, Any]]:
    """Returns one source's rays: noise is added to what the plan aims at."""
    jitter_deg, jump_s = (1.0, 0.04) if source == "gaze" else (0.5, 0.2)
    sigma = math.radians(jitter_deg) / math.sqrt(2)
    bias = player.rng.normal(0, math.radians(bias_deg), 2)
    since_s, until_s = span
    found = []
    for n in range(math.ceil(since_s * RATE_HZ), int(until_s * RATE_HZ)):
        way = unit(sight(plan, n / RATE_HZ, jump_s) - origin)
        side = unit(np.cross(way, [0.3, 1.0, 0.2]))
        up = np.cross(side, way)
        off = bias + player.rng.normal(0, sigma, 2)
        sway = origin + player.rng.normal(0, 0.002, 3)
        if n % 2 == 0:
            found.append(
                {
                    "source": source,
                    "time_s": round(n / RATE_HZ, 4),
                    "origin": [round(float(x), 4) for x in sway],
                    "direction": [
                        round(float(x), 4)
                        for x in unit(way + off[0] * side + off[1] * up)
                    ],
                }
            )
    return found


def timeline(
    player: Player, words: list[dict[str, Any]], eye: Point, hand: Any, at: list[Point]
) -> list[dict[str, Any]]:
    """Returns the rays about the words that point; without one, about the last words.

    Args:
        player: Who speaks.
        words: What.
        eye: Where the eyes are.
        hand: Which hand points and where it is; None where only the eyes do.
        at: The targets.
    """
    plan = aims(player, words, at)
    spans = [(w["start_s"], w["end_s"]) for w in words if w["text"] in POINTING]
    spans = spans or [(words[-1]["start_s"], words[-1]["end_s"])]
    span = spans[0][0] - 0.55, spans[-1][1] + 0.25
    looks = plan
    if hand and plan:
        # The eyes are there first, and off again before the hand is.
        looks = []
        for aim in plan:
            early_s = player.between(0.1, 0.2)
            stay_s = (aim.until_s - aim.since_s) * player.between(0.2, 0.7)
            since_s = max(aim.since_s - early_s, looks[-1].until_s if looks else 0)
            looks.append(Aim(aim.at, since_s, max(aim.since_s + stay_s, since_s)))
    found = rays(player, "gaze", eye, wander(player, looks, span), span, BIAS_DEG)
    if hand:
        name, place = hand
        rest = Aim(place + np.array([0.3, -1.0, 0.4]), 0, plan[0].since_s - 0.2)
        down = Aim(rest.at, plan[-1].until_s + 0.3, span[1] + 9)
        found += rays(player, name, place, [rest, *plan, down], span, BIAS_DEG)
    return sorted(found, key=lambda ray: ray["time_s"])


def filled(slots: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Returns slots with the targets in their places."""
    return {
        name: values.get(value, value) if isinstance(value, str) else value
        for name, value in slots.items()
    }


def place(player: Player, name: str, *, is_hand: bool) -> tuple[Point, Point, Any]:
    """Returns eyes, what points, and which hand it is, if one."""
    eye = player.stand(name, 12.0)
    side = str(player.rng.choice(["left_hand", "right_hand"]))
    hand = eye + np.array([offset_m(side), -0.4, 0.1])
    return eye, hand, (side, hand) if is_hand else None


def offset_m(name: str) -> float:
    """Returns how far to the right a hand is."""
    return 0.25 if name == "right_hand" else -0.25


def clear(player: Player, text: str, slots: dict[str, Any], *, is_hand: bool) -> Any:
    """Returns words, rays, focus and slots of an utterance with one meaning."""
    focus = player.pick(REACHED) if "$0" in slots.values() else None
    n_aims = sum(word in POINTING for word in text.split())
    while True:
        things = REACHED if "object" in slots or "model" in slots else SEEN
        one = player.pick(things, focus)
        eye, start, hand = place(player, one, is_hand=is_hand and n_aims > 0)
        at: list[Point] = []
        values: dict[str, Any] = {"$0": focus}
        for n in range(n_aims):
            is_spot = slots.get("spot") == f"${n + 1}"
            name = one if n == 0 else player.pick(SEEN, one)
            found = (
                player.floor(eye, start)
                if is_spot
                else player.point_on(eye, start, name)
            )
            if found is None:
                break
            at.append(found)
            spot = {"spot": [round(float(x), 3) + 0.0 for x in found]}
            values[f"${n + 1}"] = spot if is_spot else name
        if len(at) == n_aims:
            words = spoken(player, text)
            found_rays = timeline(player, words, eye, hand, at)
            return words, found_rays, focus, filled(slots, values)


def unclear(player: Player, text: str, *, is_hand: bool) -> Any:
    """Returns words, rays and the ids between which nobody can tell."""
    while True:
        player.island = Island()
        one = player.pick(REACHED)
        eye, _, hand = place(player, one, is_hand=is_hand)
        source, origin = hand or ("gaze", eye)
        found = player.between_two(origin, one, 2.0 if hand else 3.5)
        if found is not None:
            at, ids = found
            words = spoken(player, text)
            # Whoever is unsure looks where the hand points, all the while.
            plan = aims(player, words, [at])
            spans = [(w["start_s"], w["end_s"]) for w in words if w["text"] in POINTING]
            span = spans[0][0] - 0.55, spans[-1][1] + 0.25
            return words, rays(player, source, origin, plan, span, 0), ids


def lines(seed: int) -> list[dict[str, Any]]:
    """Returns every line of the file."""
    island = Island()
    player = Player(island, np.random.default_rng(seed))
    made: list[tuple[Any, ...]] = []
    for count, text, name, slots in SAID:
        for n in range(count):
            words, found, focus, values = clear(player, text, slots, is_hand=n % 2 == 0)
            intents = [{"name": name, "slots": values}]
            made.append((text, words, found, focus, intents, None, island))
    for n in range(N_UNCLEAR):
        text = UNCLEAR[n % len(UNCLEAR)]
        words, found, ids = unclear(player, text, is_hand=n % 2 == 0)
        made.append((text, words, found, None, [], ids, player.island))
    return [
        {
            "id": f"pointing-{at:02}",
            "text": text,
            "language": "en",
            "kind": "pointing",
            "words": words,
            "scene": {"objects": scene.objects},
            "rays": found,
            "focus": focus,
            "intents": intents,
            "clarify": ids,
        }
        for at, (text, words, found, focus, intents, ids, scene) in enumerate(made, 1)
    ]


if __name__ == "__main__":
    text = "".join(
        json.dumps(line, separators=(",", ":")) + "\n" for line in lines(SEED)
    )
    OUT.write_text(text, encoding="utf-8")
