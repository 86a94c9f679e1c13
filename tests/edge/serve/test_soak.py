"""Many games at once, none of them careful: nothing leaks, nothing mixes."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.edge.serve.conftest import ENDS, PATIENCE_S, Event
from tests.edge.serve.test_going_on import Command

GARBAGE: tuple[str | bytes, ...] = (
    "",
    "{",
    "null",
    '{"type":"x"}',
    b"\0",
    b"\0" * 70_000,
)
SCENE_HZ = 100
WARM_UP = 1 / 3
"""Of the turns: what is kept to be repeated fills, and the allocator settles."""
EXPECTED_ERRORS = {
    "frame_json",
    "frame_type",
    "audio_odd",
    "audio_size",
    # A patch that was underway when the connection broke.
    "scene_base",
    "scene_rev",
}


@dataclass
class Game:
    """One that speaks, types, cancels, breaks off and sends garbage."""

    command: Command
    number: int
    n_turns: int
    progress: Callable[[], None]
    events: list[Event] = field(default_factory=list)
    n_said: int = 0
    failure: BaseException | None = None
    _typed: set[int] = field(default_factory=set)
    _ended: set[int] = field(default_factory=set)

    @property
    def marker(self) -> str:
        return f"marker{self.number}x"

    def play(self) -> None:
        try:
            self._play()
        except BaseException as failure:  # noqa: BLE001 - told by the test
            self.failure = failure

    def _play(self) -> None:
        chance = random.Random(self.number)  # noqa: S311 - the same each time
        is_over = threading.Event()
        self.client = self.command.client()
        scene = threading.Thread(target=self._scene, args=(is_over,))
        scene.start()
        try:
            for n in range(self.n_turns):
                self._speak(chance, n)
                self._misbehave(chance)
                self._listen()
                self.progress()
            self.client.send("say", text=f"{self.marker} ends")
            self.n_said += 1
            self._listen()
        finally:
            is_over.set()
            scene.join()
            self.client.close()

    def _speak(self, chance: random.Random, n: int) -> None:
        if chance.random() < 0.2:
            self.client.send_sound(np.full(8000, 0.5, np.float32))
            self.client.send_sound(np.zeros(16_000, np.float32))
        self.client.send("text", text=f"{self.marker} says {n}")
        self.n_said += 1

    def _misbehave(self, chance: random.Random) -> None:
        if chance.random() < 0.1:
            self.client.send("cancel")
        if chance.random() < 0.1:
            self.client.drop_connection()
        if chance.random() < 0.2:
            with suppress(ConnectionClosed, OSError):
                self.client._connection.send(chance.choice(GARBAGE))

    def _listen(self) -> None:
        """Waits until each line so far has ended."""
        while len(self._ended & self._typed) < self.n_said:
            event = next(self.client.events(PATIENCE_S), None)
            assert event is not None, f"{self.marker} waits after {self.events[-3:]}"
            self.events.append(event)
            if event["type"] in ENDS:
                self._ended.add(event["utterance"])
            elif event["type"] == "speech.end" and event["why"] == "typed":
                self._typed.add(event["utterance"])

    def _scene(self, is_over: threading.Event) -> None:
        """Tells where things are, a hundred times a second."""
        chance = random.Random(-self.number)  # noqa: S311 - the same each time
        lamp = {"id": "l1", "name": f"{self.marker} lamp", "tags": ["boat"]}
        revision = 1
        self.client.send("scene.set", rev=revision, objects=[lamp])
        while not is_over.wait(1 / SCENE_HZ):
            place = [chance.random() for _ in range(3)]
            moved = [{**lamp, "position": place}]
            if chance.random() < 0.01:
                self.client.send("scene.set", rev=revision + 1, objects=moved)
            else:
                self.client.send(
                    "scene.patch", base=revision, rev=revision + 1, set=moved
                )
            revision += 1

    def check(self, markers: list[str]) -> None:
        """What it was told is its own, in order, and complete."""
        if self.failure is not None:
            raise self.failure
        ids = [event["id"] for event in self.events]
        assert ids == list(range(1, len(ids) + 1))
        accepted = [e["utterance"] for e in self.events if e["type"] == "speech.end"]
        ended = [e["utterance"] for e in self.events if e["type"] in ENDS]
        assert len(set(accepted)) == len(accepted)
        assert len(set(ended)) == len(ended)
        assert set(ended) == set(accepted)
        others = [marker for marker in markers if marker != self.marker]
        told = str(self.events)
        assert self.marker in told
        assert not [marker for marker in others if marker in told]
        errors = {e["code"] for e in self.events if e["type"] == "error"}
        assert errors <= EXPECTED_ERRORS


@pytest.fixture
def command(pack_file: Path) -> Iterator[Command]:
    with ExitStack() as running:
        command = Command(pack_file)
        running.callback(command.kill)
        yield command


def soak(command: Command, n_games: int, n_turns: int) -> dict[str, float]:
    """Returns the figures of a soak that held what it should."""
    process = psutil.Process(command.process.pid)
    done = threading.Semaphore(0)
    games = [Game(command, n, n_turns, done.release) for n in range(n_games)]
    threads = [threading.Thread(target=game.play) for game in games]
    pss_mib = []
    for thread in threads:
        thread.start()
    for n in range(n_games * n_turns):
        if not any(thread.is_alive() for thread in threads):
            break
        assert done.acquire(timeout=2 * PATIENCE_S), [game.failure for game in games]
        if n >= n_games * n_turns * WARM_UP and n % 16 == 0:
            pss_mib.append(process.memory_full_info().pss / 2**20)
    for thread in threads:
        thread.join(2 * PATIENCE_S)
    for game in games:
        game.check([each.marker for each in games])
    assert command.process.poll() is None

    n_window = max(1, len(pss_mib) // 8)
    told = Counter(event["type"] for game in games for event in game.events)
    return {
        "warm_mib": round(float(np.median(pss_mib[:n_window])), 1),
        "end_mib": round(float(np.median(pss_mib[-n_window:])), 1),
        "threads": process.num_threads(),
        **{name: told[name] for name in (*ENDS, "scene.ack", "error", "overrun")},
    }


def test_a_few_careless_games(command: Command) -> None:
    figures = soak(command, n_games=2, n_turns=20)

    assert figures["turn"] >= 20


@pytest.mark.slow
def test_many_careless_games(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = soak(command, n_games=8, n_turns=300)

    with capsys.disabled():
        print(f"\nsoak: {figures}")  # noqa: T201 - what it is run for
    assert figures["end_mib"] == pytest.approx(figures["warm_mib"], rel=0.05)
