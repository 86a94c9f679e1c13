"""The service: a WebSocket on loopback, and the sessions behind it."""

from __future__ import annotations

import logging
import socket
import threading
import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.server import ServerConnection, serve

from edge.pipeline import Runtime
from edge.serve.door import GREETING_S, Door, Guest, LimitedSocket
from edge.serve.link import FAREWELL_S, Link
from edge.serve.loopback import ServeError, require_loopback
from edge.serve.metrics import Metrics
from edge.serve.outgoing import with_session
from edge.serve.session import Services, Session
from edge.serve.wire import (
    HANDSHAKE,
    MAX_AUDIO_BYTES,
    MAX_GREETING_BYTES,
    MAX_RAYS_AT_ONCE,
    MAX_TEXT_BYTES,
    VERSION,
    Message,
    WireError,
    client_side,
    server_side,
)
from edge.serve.worker import Worker
from edge.serve.world import MAX_OBJECTS
from edge.trace import Trace
from models.errors import HeadsideError
from models.pack_file import load_pack

MAX_SESSIONS = 16
MAX_OBSERVERS = 4
MIN_SECRET_BYTES = 16
BYE_S = 5.0
"""How long a client waits at most for the turn that its goodbye cut short."""
MAX_REFUSED_FRAMES = 100
"""Of one connection; then it is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where the service listens, and to whom."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for any that is free."""
    origins: tuple[str, ...] = ()
    """Of web pages that may connect."""
    trace: Path | None = None


class Service:
    """Serves one pack to games on this machine.

    Args:
        runtime: Of the pack; sessions share its models.
        pack_name: As `load_pack` takes it, to read it anew.
        secret: Shared with the games.
        options: Where to listen.

    Raises:
        ServeError: ``serve_host``, ``serve_port`` or ``serve_secret``.
    """

    def __init__(
        self, runtime: Runtime, pack_name: str, secret: bytes, options: ServeOptions
    ) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ServeError(
                "serve_secret",
                f"The secret holds {len(secret)} bytes, which can be guessed.",
                "Remove its file, and a good one is made.",
            )
        self._runtime = runtime
        self._pack_name = pack_name
        self._metrics = Metrics()
        self._lock = threading.Lock()
        self._pack_lock = threading.Lock()
        self._links: set[Link] = set()
        self._observers: list[Link] = []
        self._worker = Worker(self._forget)
        self._socket = _listening(options.host, options.port)
        self._trace = Trace(options.trace)
        self.port: int = self._socket.getsockname()[1]
        self._door = Door(
            secret, (options.host, self.port), options.origins, self._metrics
        )
        self._services = Services(
            metrics=self._metrics,
            trace=self._trace,
            wake=self._worker.wake,
            reload=self._reload,
            load=partial(load_pack, pack_name),
            observed=self._observe,
        )
        self._server = serve(
            self._connected,
            sock=self._socket,
            process_request=self._door.answer,
            compression=None,
            server_header=None,
            open_timeout=GREETING_S,
            close_timeout=1,
            max_size=MAX_GREETING_BYTES,
            logger=_logger(),
        )

    def run(self) -> None:
        """Serves until ``close``, or Ctrl-C."""
        self._worker.start()
        self._server.serve_forever()

    def close(self) -> None:
        """Ends every session and connection."""
        self._worker.close()
        for session in self._worker.sessions:
            session.out.send("bye", why="shutdown")
        until_s = time.monotonic() + FAREWELL_S
        with self._lock:
            links = tuple(self._links)
        for link in links:
            link.close(until_s)
        self._server.shutdown()
        self._trace.close()

    # One thread each ------------------------------------------------------------------

    def _connected(self, connection: ServerConnection) -> None:
        guest = self._door.greet(connection)
        if guest is None:
            return
        connection.protocol.max_message_size = MAX_TEXT_BYTES
        link = Link(connection, self._metrics.slow_clients.inc)
        with self._lock:
            self._links.add(link)
        try:
            if guest.role == "observer":
                self._observed(connection, link, guest)
            else:
                self._played(connection, link, guest)
        finally:
            link.close()
            with self._lock:
                self._links.discard(link)

    def _observed(self, connection: ServerConnection, link: Link, guest: Guest) -> None:
        greeting = self._ready(self._runtime, guest, session=None, resumed=False)
        with self._lock:
            is_full = len(self._observers) >= MAX_OBSERVERS
            if not is_full:
                link.send(greeting)
                self._observers.append(link)
        if is_full:
            self._turn_away(connection, "observers")
            return
        try:
            for _ in connection:
                break  # they read, and say nothing
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._observers.remove(link)

    def _played(self, connection: ServerConnection, link: Link, guest: Guest) -> None:
        session = self._taken_up(link, guest) or self._begun(link, guest)
        if session is None:
            self._turn_away(connection, "sessions")
            return
        try:
            self._read(connection, link, session)
        except ConnectionClosed:
            pass
        finally:
            if session.out.detach(link):
                self._worker.left(session)

    def _turn_away(self, connection: ServerConnection, why: str) -> None:
        self._metrics.refused.labels(why=why).inc()
        connection.close(CloseCode.TRY_AGAIN_LATER, f"too many {why}")

    def _taken_up(self, link: Link, guest: Guest) -> Session | None:
        """Returns the session that a client goes on with, if it is known."""
        session = self._worker.take_up(guest.hello.get("resume", ""))
        if session is None:
            return None
        with session.reading:
            greeting = self._ready(
                session.runtime, guest, session=session, resumed=True
            )
            if session.out.attach(
                link, greeting=greeting, seen=guest.hello.get("seen", 0)
            ):
                return session
        self._worker.remove(session)
        session.out.cut()
        return None

    def _begun(self, link: Link, guest: Guest) -> Session | None:
        """Returns a new session; None where there are too many."""
        with self._pack_lock:
            session = Session(
                self._runtime.join(),
                self._services,
                wants_results=guest.hello.get("results", False),
            )
            if not self._worker.add(session, MAX_SESSIONS):
                return None
        self._metrics.sessions.inc()
        session.out.attach(
            link,
            greeting=self._ready(
                session.runtime, guest, session=session, resumed=False
            ),
            seen=0,
        )
        return session

    def _read(self, connection: ServerConnection, link: Link, session: Session) -> None:
        n_refused = 0
        for frame in connection:
            # A connection that was replaced may still hold frames.
            with session.reading:
                if not session.out.is_attached(link):
                    return
                message: Message = {}
                try:
                    if isinstance(frame, bytes):
                        _check_audio(frame)
                        session.hear(frame)
                        continue
                    message = client_side().read(frame)
                    if message["type"] in HANDSHAKE:
                        raise WireError(
                            "frame_type", "The greeting is over.", "Go on with others."
                        )
                    if message["type"] == "bye":
                        break
                    session.receive(message)
                except HeadsideError as error:
                    n_refused += 1
                    is_fatal = n_refused >= MAX_REFUSED_FRAMES
                    of = message.get("id", getattr(error, "of", 0))
                    session.fail(error, of, fatal=is_fatal)
                    if is_fatal:
                        return
        else:
            return
        session.end().wait(timeout=BYE_S)
        session.out.send("bye", why="client")
        session.out.detach(link)
        self._worker.remove(session)

    def _forget(self, session: Session) -> None:
        session.end()
        self._metrics.sessions.dec()

    def _observe(self, text: str, session: str) -> None:
        if not self._observers:
            return
        with self._lock:
            observers = tuple(self._observers)
        named = with_session(text, session)
        for link in observers:
            link.send(named)

    def _reload(self) -> None:
        """Reads the pack anew; on the inference thread, so between two turns."""
        load = cache(partial(load_pack, self._pack_name))
        pack = load(self._runtime.pack.language)
        with self._pack_lock:
            self._runtime.set_pack(pack)
            for session in self._worker.sessions:
                try:
                    session.set_pack(load(session.runtime.pack.language))
                except HeadsideError as error:
                    # Its own scene makes too many words, or its language is wrong.
                    session.fail(error)

    def _ready(
        self,
        runtime: Runtime,
        guest: Guest,
        *,
        session: Session | None,
        resumed: bool,
    ) -> str:
        return server_side().write(
            {
                "type": "ready",
                "version": VERSION,
                "session": session.name if session else "",
                "role": guest.role,
                "resumed": resumed,
                "seen": session.seen if session else 0,
                "audio_at": session.capture.n_samples if session else 0,
                "pack": runtime.pack.name,
                "characters": [who.name for who in runtime.pack.characters],
                "character": runtime.conversation.character.name,
                "languages": list(runtime.pack.languages),
                "language": runtime.pack.language,
                "mode": runtime.pack.listening.mode,
                "lexicon": runtime.lexicon.version,
                "limits": {
                    "text_bytes": MAX_TEXT_BYTES,
                    "audio_bytes": MAX_AUDIO_BYTES,
                    "objects": MAX_OBJECTS,
                    "rays": MAX_RAYS_AT_ONCE,
                },
            }
        )


def _logger() -> logging.Logger:
    """Returns a logger for what goes wrong beneath, but for connections cut off."""
    logger = logging.getLogger("headside.websockets")
    logger.addFilter(_is_worth_telling)
    return logger


def _is_worth_telling(record: logging.LogRecord) -> bool:
    return record.msg not in {"unexpected internal error", "keepalive ping failed"}


def _listening(host: str, port: int) -> LimitedSocket:
    require_loopback(host)
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = LimitedSocket(family, socket.SOCK_STREAM)
    try:
        # So that a service that was killed can be started again at once. It lets nobody
        # share the port with one that still listens.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ServeError(
            "serve_port",
            f"Port {port} of {address} cannot be used: {error.strerror}.",
            "Choose another with --port; --port 0 takes any that is free.",
        ) from error
    return listening


def _check_audio(frame: bytes) -> None:
    if len(frame) > MAX_AUDIO_BYTES:
        raise WireError(
            "audio_size",
            f"A binary frame holds {len(frame)} bytes.",
            f"Send at most {MAX_AUDIO_BYTES} at once.",
        )
