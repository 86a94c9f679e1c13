"""Who is let in: the request, the origin, the host, and the proof.

Other apps and web pages reach loopback too. A page's origin must be on the list, word
for word; the host must be this server's own, so that no name that points here will do;
and nothing is taken from a client before it has proved that it knows the secret.
"""

from __future__ import annotations

import hmac
import select
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from edge.serve.metrics import Metrics
from edge.serve.secret import Meeting, metrics_token, new_nonce
from edge.serve.wire import (
    HANDSHAKE,
    PATH,
    Message,
    WireError,
    client_side,
    server_side,
)

GREETING_S = 2.0
"""A client has so long to prove itself."""
MAX_STRANGERS = 16
"""Connections that have not proved themselves."""


class LimitedSocket(socket.socket):
    """A listening socket that turns away more than a few connections at once."""

    max_open = 64

    def accept(self) -> tuple[socket.socket, Any]:
        """Returns the next connection for which there is room."""
        while True:
            # Not inside accept: closing the socket would not end that.
            if not self._waits_for():
                continue
            connection, address = super().accept()
            self._open = [c for c in getattr(self, "_open", []) if c.fileno() != -1]
            if len(self._open) < self.max_open:
                self._open.append(connection)
                return connection, address
            connection.close()

    def _waits_for(self) -> bool:
        try:
            return bool(select.select([self], [], [], 0.2)[0])
        except ValueError as error:
            raise OSError("The socket was closed.") from error


@dataclass(frozen=True, slots=True)
class Guest:
    """A client that proved itself, and what it asked for."""

    role: str
    hello: Message


class Door:
    """Lets clients in.

    Args:
        secret: Shared with the game.
        address: The server's, and its port.
        origins: Of web pages that may connect, word for word.
        metrics: Counts those refused.
    """

    def __init__(
        self,
        secret: bytes,
        address: tuple[str, int],
        origins: Iterable[str],
        metrics: Metrics,
    ) -> None:
        host, port = address
        self._secret = secret
        self._port = port
        self._origins = frozenset(origins)
        self._hosts = frozenset(
            f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", host)
        )
        self._metrics = metrics
        self._lock = threading.Lock()
        self._n_strangers = 0

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Returns the response to a request; None where a WebSocket may open."""
        del connection
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return self._refused(HTTPStatus.FORBIDDEN, "host")
        origins = request.headers.get_all("Origin")
        if any(origin not in self._origins for origin in origins) or len(origins) > 1:
            return self._refused(HTTPStatus.FORBIDDEN, "origin")
        if request.path == "/healthz":
            return _response(HTTPStatus.OK, b"ok\n")
        if request.path == "/metrics":
            return self._metrics_response(request)
        if request.path != PATH:
            return self._refused(HTTPStatus.NOT_FOUND, "path")
        with self._lock:
            if self._n_strangers >= MAX_STRANGERS:
                return self._refused(HTTPStatus.SERVICE_UNAVAILABLE, "strangers")
        return None

    def greet(self, connection: ServerConnection) -> Guest | None:
        """Returns who connected, once proved; None where that failed."""
        with self._lock:
            self._n_strangers += 1
        try:
            return self._greet(connection)
        except (TimeoutError, ConnectionClosed):
            self._metrics.refused.labels(why="greeting").inc()
            return None
        except WireError:
            # It is told nothing: it is not known to be anyone.
            self._metrics.refused.labels(why="greeting").inc()
            return None
        finally:
            with self._lock:
                self._n_strangers -= 1

    def _greet(self, connection: ServerConnection) -> Guest | None:
        until_s = time.monotonic() + GREETING_S
        hello = _receive(connection, "hello", until_s)
        meeting = Meeting(
            port=self._port,
            role=hello["role"],
            client_nonce=hello["nonce"],
            server_nonce=new_nonce(),
        )
        challenge = {
            "type": "challenge",
            "nonce": meeting.server_nonce,
            "proof": meeting.proof(self._secret, "server"),
        }
        connection.send(server_side().write(challenge))
        proof = _receive(connection, "proof", until_s)
        if not meeting.is_proved(self._secret, "client", proof["proof"]):
            self._metrics.refused.labels(why="proof").inc()
            return None
        return Guest(role=hello["role"], hello=hello)

    def _metrics_response(self, request: Request) -> Response:
        wanted = f"Bearer {metrics_token(self._secret)}"
        given = " ".join(request.headers.get_all("Authorization"))
        if not hmac.compare_digest(wanted.encode(), given.encode(errors="replace")):
            return self._refused(HTTPStatus.UNAUTHORIZED, "metrics")
        return _response(HTTPStatus.OK, self._metrics.text())

    def _refused(self, status: HTTPStatus, why: str) -> Response:
        self._metrics.refused.labels(why=why).inc()
        return _response(status, f"{status.phrase}\n".encode())


def _receive(connection: ServerConnection, kind: str, until_s: float) -> Message:
    text = connection.recv(timeout=max(0.0, until_s - time.monotonic()))
    if isinstance(text, bytes):
        raise WireError("frame_type", "Sound came before the proof.")
    message = client_side().read(text)
    if message["type"] != kind or kind not in HANDSHAKE:
        raise WireError("frame_type", f"A {kind} was due.")
    return message


def _response(status: HTTPStatus, body: bytes) -> Response:
    headers = Headers(
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
