"""The service's client for Python: games' tools, tests, benchmarks.

    with Client(port, secret) as client:
        client.send("text", text="make it night")
        for event in client.events():
            match event["type"]:
                case "intent":
                    ...
                case "clarify":
                    client.choose(event["utterance"], 0)

A lost connection is taken up again with nothing lost and nothing twice; where the
service was started anew, the scene is sent again, and `restarted` comes as an event.
"""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.serve.secret import Meeting, new_nonce
from edge.serve.wire import (
    MAX_AUDIO_BYTES,
    MAX_TEXT_BYTES,
    PATH,
    VERSION,
    Message,
    client_side,
    server_side,
)
from models.errors import HeadsideError

_TIMEOUT_S = 5.0
_BACKOFF_S = (0.1, 2.0)
MAX_UNSEEN = 1000
"""Messages kept until the service is known to have them."""
_ENDS = frozenset(("turn", "cancelled", "dropped"))


class ClientError(HeadsideError):
    """The service cannot be reached, or cannot prove that it knows the secret."""


class Client:
    """One game's connection to the service.

    Args:
        port: On this machine.
        secret: 32 bytes, shared with the service.
        role: ``game``, or ``observer``.
        results: Whether the game answers intents with ``result``.
        patience_s: How long a lost connection is tried again.

    Raises:
        ClientError: ``client_refused``, ``client_squatter`` or ``client_lost``.
    """

    def __init__(
        self,
        port: int,
        secret: bytes,
        *,
        role: str = "game",
        results: bool = False,
        patience_s: float = 30.0,
    ) -> None:
        self._port = port
        self._secret = secret
        self._role = role
        self._results = results
        self._patience_s = patience_s
        self._events: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._unseen: deque[tuple[int, str]] = deque(maxlen=MAX_UNSEEN)
        self._last_id = 0
        self._seen = 0
        self._n_samples = 0
        self._scene: Message | None = None
        self._open_utterances: set[int] = set()
        self._is_closing = False
        self.ready: Message = {}
        """The service's latest `ready`."""
        self._connection: ClientConnection
        self._connect()
        self._thread = threading.Thread(
            target=self._read, name="headside-client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Client:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Says goodbye."""
        self.close()

    @property
    def time_s(self) -> float:
        """Audio-sample time: what was sent so far."""
        return self._n_samples / SAMPLE_RATE_HZ

    def send(self, kind: str, **fields: Any) -> int:
        """Returns the id of a message, which is sent as soon as there is a connection.

        Raises:
            WireError: It is not as the schema says.
        """
        with self._lock:
            self._last_id += 1
            message = {
                "type": kind,
                "id": self._last_id,
                "t": round(self.time_s, 4),
                **fields,
            }
            text = client_side().write(message)
            if kind == "scene.set":
                self._scene = dict(fields)
            self._unseen.append((self._last_id, text))
            with contextlib.suppress(ConnectionClosed, OSError):
                self._connection.send(text)
            return self._last_id

    def choose(self, utterance: int, n: int) -> int:
        """Returns the id of the message that chooses an option of a ``clarify``.

        Args:
            utterance: Its number.
            n: The option's own.

        Raises:
            WireError: No question has so many options.
        """
        return self.send("choose", utterance=utterance, n=n)

    def send_sound(self, samples: Samples) -> None:
        """Sends sound, shape (n,), float32 in [-1, 1], 16 kHz, mono.

        What is sent while there is no connection is lost; time goes on all the same.
        """
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        for at in range(0, len(pcm), MAX_AUDIO_BYTES):
            self._send_pcm(pcm[at : at + MAX_AUDIO_BYTES])

    def _send_pcm(self, pcm: bytes) -> None:
        with self._lock:
            self._n_samples += len(pcm) // 2
            with contextlib.suppress(ConnectionClosed, OSError):
                self._connection.send(pcm)

    def events(self, timeout_s: float | None = None) -> Iterator[Message]:
        """Yields what the service tells, until the connection is given up.

        Args:
            timeout_s: Ends after so long without an event.
        """
        while True:
            try:
                event = self._events.get(timeout=timeout_s)
            except queue.Empty:
                return
            if event is None:
                return
            yield event

    def drop_connection(self) -> None:
        """Breaks the connection, as a bad cable would; it is taken up again."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the session."""
        if self._is_closing:
            return
        if self._role == "game":
            with contextlib.suppress(HeadsideError):
                self.send("bye")
        self._is_closing = True
        self._connection.close()
        self._thread.join(timeout=_TIMEOUT_S)

    def _connect(self) -> None:
        try:
            opening = connect(
                f"ws://127.0.0.1:{self._port}{PATH}",
                compression=None,
                open_timeout=_TIMEOUT_S,
                close_timeout=1,
                max_size=MAX_TEXT_BYTES,
                proxy=None,
            )
            # Newer versions open it here; it is closed by whoever ends the session.
            connection: ClientConnection = opening.__enter__()
        except (OSError, EOFError, WebSocketException) as error:
            raise ClientError(
                "client_refused",
                f"No service takes this client on port {self._port}.",
                "Start one with `headside serve`, and use its port.",
            ) from error
        try:
            self._greet(connection)
        except (ConnectionClosed, TimeoutError) as error:
            connection.close()
            raise ClientError(
                "client_refused",
                "The service ended the connection before it was ready.",
                "Use the secret that it was started with.",
            ) from error
        except HeadsideError:
            connection.close()
            raise

    def _greet(self, connection: ClientConnection) -> None:
        nonce = new_nonce()
        hello = {
            "type": "hello",
            "version": VERSION,
            "role": self._role,
            "nonce": nonce,
            "results": self._results,
        }
        if self.ready and self._role == "game":
            hello |= {"resume": self.ready["session"], "seen": self._seen}
        connection.send(client_side().write(hello))
        challenge = server_side().read(connection.recv(timeout=_TIMEOUT_S))
        meeting = Meeting(
            port=self._port,
            role=self._role,
            client_nonce=nonce,
            server_nonce=challenge.get("nonce", ""),
        )
        if not meeting.is_proved(self._secret, "server", challenge.get("proof", "")):
            raise ClientError(
                "client_squatter",
                f"What listens on port {self._port} does not know the secret.",
                "Another program has taken the port, or the secret is another one.",
            )
        proof = meeting.proof(self._secret, "client")
        connection.send(client_side().write({"type": "proof", "proof": proof}))
        ready = server_side().read(connection.recv(timeout=_TIMEOUT_S))
        self._begin(connection, ready)

    def _begin(self, connection: ClientConnection, ready: Message) -> None:
        is_restart = bool(self.ready) and not ready["resumed"]
        self.ready = ready
        with self._lock:
            # From here on, what is sent goes there, after what was not seen.
            self._connection = connection
            if self._role == "observer":
                return
            if ready["resumed"]:
                unseen = [(n, t) for n, t in self._unseen if n > ready["seen"]]
                for _, text in unseen:
                    connection.send(text)
                if self._n_samples > ready["audio_at"]:
                    self.send("audio", at=self._n_samples)
                return
            self._unseen.clear()
            self._last_id = self._seen = self._n_samples = 0
            if is_restart:
                for number in sorted(self._open_utterances):
                    self._events.put({"type": "lost", "utterance": number})
                self._open_utterances.clear()
                self._events.put({"type": "restarted"})
                if self._scene is not None:
                    self.send("scene.set", **self._scene)

    def _read(self) -> None:
        try:
            while not self._is_closing:
                with contextlib.suppress(ConnectionClosed, OSError):
                    for frame in self._connection:
                        self._take(server_side().read(frame))
                if not self._reconnect():
                    break
        finally:
            self._events.put(None)

    def _take(self, event: Message) -> None:
        if self._role == "game":
            if event["id"] <= self._seen:
                return
            self._seen = event["id"]
        if event["type"] == "speech.end":
            self._open_utterances.add(event["utterance"])
        elif event["type"] in _ENDS:
            self._open_utterances.discard(event["utterance"])
        self._events.put(event)
        if event["type"] == "bye":
            self._is_closing = True

    def _reconnect(self) -> bool:
        until_s = time.monotonic() + self._patience_s
        wait_s, most_s = _BACKOFF_S
        while not self._is_closing and time.monotonic() < until_s:
            try:
                self._connect()
            except ClientError as error:
                if error.code == "client_squatter":
                    break
                # Jittered, so that several clients do not come back all at once.
                time.sleep(random.uniform(wait_s / 2, wait_s))  # noqa: S311
                wait_s = min(2 * wait_s, most_s)
                continue
            return True
        return False
