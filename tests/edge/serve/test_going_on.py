"""Connections break and services are killed; the client goes on all the same."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.clients.client import Client
from tests.edge.serve.conftest import ENDS, PATIENCE_S, Event, Serving, wait_for

Serve = Callable[..., Serving]

SLOW = """
import sys, time
from edge.backends import echo
from edge.cli import main

answer = echo.EchoModel.generate

def slowly(self, request, cancel):
    for piece in answer(self, request, cancel):
        yield piece
        if "for ever" in request.prompt.messages[-1].text:
            cancel.wait(60)

echo.EchoModel.generate = slowly
main()
"""


class Command:
    """`headside serve` with echo models; words about ever are answered for ever."""

    def __init__(self, pack_file: Path, port: int = 0) -> None:
        self.secret_file = pack_file.with_name("secret")
        options = ["--vad", "echo", "--asr", "echo", "--llm", "echo", "--json"]
        options += ["--port", str(port), "--secret-file", str(self.secret_file)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SLOW, "serve", str(pack_file.parent), *options],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.port: int = json.loads(self.process.stdout.readline())["port"]

    def client(self, **options: Any) -> Client:
        return Client(self.port, self.secret_file.read_bytes(), **options)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def command(pack_file: Path) -> Iterator[Callable[[int], Command]]:
    with ExitStack() as running:

        def start(port: int = 0) -> Command:
            command = Command(pack_file, port)
            running.callback(command.kill)
            return command

        yield start


def test_a_client_goes_on_with_a_service_that_was_killed(
    command: Callable[..., Command],
) -> None:
    killed = command()
    boat = {"id": "b1", "name": "Marigold", "tags": ["boat"]}
    with killed.client() as client:
        client.send("scene.set", rev=1, objects=[boat])
        client.send_sound(np.zeros(16_000, np.float32))
        client.send("text", text="board the Marigold")
        wait_for(client, "turn")
        client.send("text", text="talk for ever")
        wait_for(client, "transcript")
        killed.kill()
        command(killed.port)

        lost = wait_for(client, "lost")
        assert lost["utterance"] == 2
        wait_for(client, "restarted")
        assert wait_for(client, "scene.ack")["rev"] == 1
        client.send("text", text="board the Marigold")
        assert wait_for(client, "intent")["slots"] == {"boat": "b1"}
        assert wait_for(client, *ENDS)["type"] == "turn"


def test_a_client_that_gives_up_says_so(command: Callable[..., Command]) -> None:
    killed = command()
    client = killed.client(patience_s=0.1)
    killed.kill()

    assert client._events.get(timeout=PATIENCE_S) is None
    client.close()


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_and_nothing_comes_twice(serve: Serve, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same chances each time
    n_turns = 30
    with serve().client() as client:
        sent = {}
        events: list[Event] = []
        for n in range(n_turns):
            client.send_sound(np.zeros(chance.randrange(2000), np.float32))
            client.send("say", text=f"line {n}")
            if chance.random() < 0.3:
                client.drop_connection()
            sent[n] = f"line {n}"
            while chance.random() < 0.8:
                client.send("frame", late=1.0)
        while sum(event["type"] in ENDS for event in events) < n_turns:
            events.append(next(client.events(PATIENCE_S)))

    ids = [event["id"] for event in events]
    assert ids == list(range(1, len(ids) + 1))
    said = [event["text"] for event in events if event["type"] == "reply.delta"]
    assert said == list(sent.values())
    times = [event["t"] for event in events]
    assert times == sorted(times)
    assert not [event for event in events if event["type"] == "error"]


def test_sound_that_was_lost_leaves_a_gap(serve: Serve) -> None:
    serving = serve()
    with serving.client() as client:
        client.send_sound(np.zeros(8000, np.float32))
        client.drop_connection()
        client.send_sound(np.zeros(160_000, np.float32))
        client.send("say", text="Ahoy.")
        wait_for(client, "turn")
        client.send_sound(np.zeros(8000, np.float32))
        client.send("say", text="Ahoy.")

        assert wait_for(client, "turn")["t"] == pytest.approx(11)
