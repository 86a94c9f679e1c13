"""A session without a connection, a service without models, and bare connections."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from edge.asr import Bias, Transcript
from edge.build import RuntimeOptions, build_runtime
from edge.clients.client import Client
from edge.engines import ECHO
from edge.llm.model import Generation, LanguageModel, Prompt, Usage
from edge.pipeline import Runtime
from edge.serve.metrics import Metrics
from edge.serve.secret import Meeting, new_nonce
from edge.serve.server import ServeOptions, Service
from edge.serve.session import Services, Session
from edge.serve.wire import PATH, client_side, server_side
from edge.trace import Trace
from models.pack_file import load_pack
from models.store import Store

PATIENCE_S = 20
"""Only ever waited for in full where something is broken."""
SECRET = bytes(range(32))
ENDS = ("turn", "cancelled", "dropped")

PACK = """
format = 1
name = "harbour"
[listen]
mode = "open_mic"
[understand]
tiers = ["grammar"]
[character.Mara]
persona = "Harbour pilot."
fallback = ["Say again?"]
[character.Odd]
persona = "Cook."
fallback = ["Hm?"]
[lists.light.values]
bright = ["bright"]
dim = ["dim"]
[lists.boat]
from_scene = { tag = "boat" }
[intents.wave]
say = ["wave"]
reply = ["Ahoy!"]
[intents.set_light]
say = ["make it {light}"]
reply = ["It is now {light}."]
claims = ["it is now {light}"]
[intents.board]
say = ["board the {boat}"]
reply = ["Aboard the {boat}."]
[intents.scuttle]
say = ["sink the boat"]
risk = "high"
confirm = "Sink it. Sure?"
"""

Event = dict[str, Any]


@dataclass
class Model:
    """Says its lines one after another; waits where it is told to."""

    lines: list[str] = field(default_factory=lambda: ["One. ", "Two."])
    waits_after: int | None = None
    """So many lines, until it is told to go on."""
    waiting: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    asked: list[Generation] = field(default_factory=list)
    n_said: int = 0

    def generate(
        self, request: Generation, cancel: threading.Event
    ) -> Generator[str, None, None]:
        self.asked.append(request)
        for n, line in enumerate(self.lines):
            if n == self.waits_after:
                self.waiting.set()
                until_cancelled(cancel, self.goes_on)
            if cancel.is_set():
                return
            self.n_said += 1
            yield line
        yield '"}'

    @property
    def usage(self) -> Usage:
        return Usage()

    def prepare(self, prompt: Prompt) -> None: ...

    def fits(self, request: Generation) -> bool:
        return True

    def close(self) -> None:
        self.goes_on.set()


def until_cancelled(cancel: threading.Event, goes_on: threading.Event) -> None:
    """Waits as a model between two tokens would; either event ends it."""
    for _ in range(PATIENCE_S * 100):
        if cancel.is_set() or goes_on.wait(0.01):
            return
    raise AssertionError("nobody goes on")


class Hears:
    """Recognises what it is told to."""

    def __init__(self, text: str) -> None:
        self.text = text

    def draft(self, utterance: object, bias: Bias = ()) -> Transcript:
        return Transcript(text=self.text)

    def transcribe(self, utterance: object, bias: Bias = ()) -> Transcript:
        return Transcript(text=self.text)

    def words(self, utterance: object, transcript: Transcript) -> tuple[()]:
        return ()

    def speaking(self, language: str) -> Hears:
        return self

    def close(self) -> None: ...


@pytest.fixture
def pack_file(tmp_path: Path) -> Path:
    path = tmp_path / "pack.toml"
    path.write_text(PACK)
    return path


def build(pack_file: Path, model: LanguageModel | None = None) -> Runtime:
    """Returns the pack without models, or with one."""
    options = RuntimeOptions(vad=ECHO, asr=ECHO, llm=ECHO)
    runtime = build_runtime(
        load_pack(str(pack_file.parent)), Store(Path("nowhere")), options
    )
    if model is not None:
        runtime.model = model
    return runtime


@pytest.fixture
def model() -> Model:
    return Model()


class Rig:
    """A session, and what it tells; its work is done when it is told to."""

    def __init__(self, runtime: Runtime, *, wants_results: bool = False) -> None:
        self.events: list[Event] = []
        self.metrics = Metrics()
        self._told = threading.Condition()
        self._sent = 0
        self.session = Session(
            runtime,
            Services(
                metrics=self.metrics,
                trace=Trace(),
                wake=lambda: None,
                reload=lambda: None,
                load=partial(load_pack, runtime.pack.file),
                observed=self._observe,
            ),
            wants_results=wants_results,
        )

    def send(self, kind: str, **fields: Any) -> int:
        """Returns the id of a message that the game sends."""
        self._sent += 1
        message = {"type": kind, "id": self._sent, **fields}
        self.session.receive(client_side().read(json.dumps(message)))
        return self._sent

    def speak(self, seconds: float = 0.5, *, loud: bool = True) -> None:
        """Sends sound: a hum, or silence."""
        n_samples = round(seconds * 16_000)
        self.session.hear(np.full(n_samples, 9000 * loud, "<i2").tobytes())

    def say(self, seconds: float = 0.5) -> None:
        """Speaks, and is silent for as long as it takes."""
        self.speak(seconds)
        self.speak(1.0, loud=False)

    def work(self) -> None:
        """Does all that waits."""
        while self.session.has_work():
            self.session.work()

    def works(self) -> threading.Thread:
        """Does all that waits on a thread of its own, which is returned."""
        thread = threading.Thread(target=self.work, daemon=True)
        thread.start()
        return thread

    def of(self, *kinds: str) -> list[Event]:
        """Returns the events of some types so far."""
        return [event for event in self.events if event["type"] in kinds]

    def wait(self, kind: str) -> Event:
        """Returns the first event of a type, now or later."""
        with self._told:
            assert self._told.wait_for(lambda: self.of(kind), PATIENCE_S), kind
        return self.of(kind)[0]

    def ends(self) -> list[tuple[int, str, str]]:
        """Returns how each utterance ended, which each that was accepted did once."""
        accepted = [event["utterance"] for event in self.of("speech.end")]
        ended = [(e["utterance"], e["type"], e.get("why", "")) for e in self.of(*ENDS)]
        assert sorted(accepted) == sorted(number for number, _, _ in ended)
        return ended

    def _observe(self, text: str, session: str) -> None:
        with self._told:
            self.events.append(server_side().read(text))
            self._told.notify_all()


@pytest.fixture
def rig(pack_file: Path, model: Model) -> Rig:
    return Rig(build(pack_file, model).join())


@dataclass
class Serving:
    """A service that runs, and its port."""

    service: Service
    thread: threading.Thread

    @property
    def port(self) -> int:
        return self.service.port

    def client(self, **options: Any) -> Client:
        return Client(self.port, SECRET, **options)

    def stop(self) -> None:
        self.service.close()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    def get(self, path: str, *headers: str, method: str = "GET") -> Answer:
        """Returns the answer to a request that names its host correctly."""
        return self.ask(f"{method} {path}", f"Host: 127.0.0.1:{self.port}", *headers)

    def upgrade(self, *headers: str) -> Answer:
        """Returns the answer to a request for a WebSocket."""
        return self.ask(
            f"GET {PATH}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            *headers,
        )

    def ask(self, what: str, *headers: str) -> Answer:
        """Returns the answer to a request, word for word."""
        lines = "\r\n".join([f"{what} HTTP/1.1", *headers, "", ""])
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as asking:
            asking.sendall(lines.encode("latin-1"))
            answer = b""
            while b"\r\n\r\n" not in answer or b"101" not in answer[:12]:
                more = asking.recv(65536)
                if not more:
                    break
                answer += more
        return Answer(answer)


class Answer:
    """An answer to a request; without a status where the connection just ended."""

    def __init__(self, content: bytes) -> None:
        head, _, self.body = content.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if first else 0
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        # No web page may read anything, whatever it asked for.
        assert not [name for name in self.headers if "access-control" in name]


@pytest.fixture
def serve(pack_file: Path, model: Model) -> Iterator[Callable[..., Serving]]:
    """Starts services, which end with the test."""
    with ExitStack() as running:

        def start(
            *, language_model: LanguageModel | None = None, **options: Any
        ) -> Serving:
            runtime = build(pack_file, language_model)
            service = Service(
                runtime, str(pack_file.parent), SECRET, ServeOptions(**options)
            )
            thread = threading.Thread(target=service.run, daemon=True)
            thread.start()
            serving = Serving(service, thread)
            running.callback(serving.stop)
            return serving

        yield start


class Stranger:
    """A connection that does what it is told, and no more."""

    def __init__(self, port: int, role: str = "game", **options: Any) -> None:
        self.port, self.role, self.nonce = port, role, new_nonce()
        calling = connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None, **options)
        self.connection: ClientConnection = calling.__enter__()

    def hello(self, **fields: Any) -> Meeting:
        """Says hello; returns what both sides know once the server has answered."""
        self.send("hello", version=1, role=self.role, nonce=self.nonce, **fields)
        challenge = self.receive()
        return Meeting(
            port=self.port,
            role=self.role,
            client_nonce=self.nonce,
            server_nonce=challenge["nonce"],
        )

    def enter(self, **fields: Any) -> Event:
        """Returns `ready`, having proved itself."""
        self.send("proof", proof=self.hello(**fields).proof(SECRET, "client"))
        return self.receive()

    def send(self, kind: str, **fields: Any) -> None:
        self.connection.send(json.dumps({"type": kind, **fields}))

    def receive(self) -> Event:
        text = self.connection.recv(timeout=PATIENCE_S)
        return server_side().read(text)

    def wait(self, kind: str) -> Event:
        while True:
            event = self.receive()
            if event["type"] == kind:
                return event


def wait_for(client: Client, *kinds: str) -> Event:
    """Returns a client's next event of some types."""
    for event in client.events(PATIENCE_S):
        if event["type"] in kinds:
            return event
    raise AssertionError(f"no {kinds}")


def drained(client: Client) -> list[Event]:
    """Returns the events that a client has and nobody asked for yet."""
    events: list[Event] = []
    while True:
        try:
            event = client._events.get_nowait()
        except queue.Empty:
            return events
        if event is not None:
            events.append(event)
