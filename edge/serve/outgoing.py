"""What a session tells its client: numbered, stamped, repeated after a reconnect."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from edge.serve.link import MAX_WAITING_BYTES, Link
from edge.serve.wire import server_side

MAX_LOG_BYTES = MAX_WAITING_BYTES // 8
"""Kept to be repeated; all of it may wait for one connection."""
_OVERHEAD_BYTES = 150
"""Of a kept event beside its text."""


class Outgoing:
    """The events of one session, in order; safe to use from several threads.

    Args:
        clock: Returns the audio-sample time now.
        observed: Told each event as text.
    """

    def __init__(
        self, clock: Callable[[], float], observed: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._observed = observed
        self._lock = threading.Lock()
        self._last_id = 0
        self._log: deque[tuple[int, str]] = deque()
        self._n_bytes = 0
        self._link: Link | None = None

    def send(self, kind: str, **fields: Any) -> None:
        """Sends an event; it is kept for a client that is not there now."""
        with self._lock:
            self._last_id += 1
            message = {
                "type": kind,
                "id": self._last_id,
                "t": round(self._clock(), 4),
                **fields,
            }
            text = server_side().write(message)
            self._log.append((self._last_id, text))
            self._n_bytes += len(text) + _OVERHEAD_BYTES
            while self._n_bytes > MAX_LOG_BYTES:
                _, dropped = self._log.popleft()
                self._n_bytes -= len(dropped) + _OVERHEAD_BYTES
            if self._link is not None:
                self._link.send(text)
            self._observed(text)  # in here, so that observers see the same order

    def attach(self, link: Link, *, greeting: str, seen: int) -> bool:
        """Greets a connection, repeats what it missed, and goes on there.

        The connection that it takes the place of is cut.

        Returns:
            False where not all events after number ``seen`` are known any more.
        """
        with self._lock:
            first = self._log[0][0] if self._log else self._last_id + 1
            if not first - 1 <= seen <= self._last_id:
                return False
            before, self._link = self._link, link
            if before is not None:
                before.cut()
            link.send(greeting)
            for number, text in self._log:
                if number > seen:
                    link.send(text)
            return True

    def is_attached(self, link: Link) -> bool:
        """Returns whether this is the session's connection."""
        with self._lock:
            return self._link is link

    def cut(self) -> None:
        """Ends the session's connection."""
        with self._lock:
            if self._link is not None:
                self._link.cut()

    def detach(self, link: Link) -> bool:
        """Returns whether this was the session's connection, which it now lacks."""
        with self._lock:
            if self._link is not link:
                return False
            self._link = None
            return True


def with_session(text: str, session: str) -> str:
    """Returns an event for observers, who see those of all sessions."""
    return json.dumps({**json.loads(text), "session": session}, ensure_ascii=False)
