"""The inference thread: takes every session's tasks in turn, one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge.serve.session import Session

FORGOTTEN_S = 60.0
"""How long a session without a connection waits to be taken up again."""


class Worker:
    """Runs the tasks of all sessions on one thread, fairly.

    Args:
        forget: Called with each session that waited too long for its client.
    """

    def __init__(self, forget: Callable[[Session], None]) -> None:
        self._forget = forget
        self._changed = threading.Condition()
        self._sessions: list[Session] = []
        self._left_s: dict[str, float] = {}
        self._is_closing = False
        self._has_news = False
        self._thread = threading.Thread(
            target=self._run, name="headside-inference", daemon=True
        )

    @property
    def sessions(self) -> tuple[Session, ...]:
        """All of them."""
        with self._changed:
            return tuple(self._sessions)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Tells the thread that there is something to do."""
        with self._changed:
            self._has_news = True
            self._changed.notify()

    def add(self, session: Session) -> None:
        """Serves another session from now on."""
        with self._changed:
            self._sessions.append(session)

    def remove(self, session: Session) -> None:
        """Serves a session no more."""
        with self._changed:
            if session in self._sessions:
                self._sessions.remove(session)
            self._left_s.pop(session.name, None)

    def left(self, session: Session, *, is_there: bool) -> None:
        """Notes that a session's client came back, or went."""
        with self._changed:
            if is_there:
                self._left_s.pop(session.name, None)
            else:
                self._left_s[session.name] = time.monotonic()

    def close(self) -> None:
        """Ends the thread after the task it is at."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        for session in self.sessions:
            session.cancel("bye")
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._has_news and not self._is_closing:
                    self._changed.wait(
                        timeout=FORGOTTEN_S / 4 if self._left_s else None
                    )
                if self._is_closing:
                    return
                self._has_news = False
            self._forget_absent()
            # In turn, one task each, until nobody has any.
            busy = True
            while busy and not self._is_closing:
                busy = False
                for session in self.sessions:
                    if session.has_work():
                        busy = True
                        session.work()

    def _forget_absent(self) -> None:
        limit_s = time.monotonic() - FORGOTTEN_S
        with self._changed:
            gone = [
                session
                for session in self._sessions
                if self._left_s.get(session.name, limit_s) < limit_s
            ]
        for session in gone:
            self.remove(session)
            self._forget(session)
