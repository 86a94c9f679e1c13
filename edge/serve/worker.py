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
        forget: Called with each session that is served no more.
        forgotten_s: How long a session waits for its client.
    """

    def __init__(
        self, forget: Callable[[Session], None], forgotten_s: float = FORGOTTEN_S
    ) -> None:
        self._forget = forget
        self._forgotten_s = forgotten_s
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

    def add(self, session: Session, n_most: int) -> bool:
        """Returns whether a session is served from now on.

        One whose client is gone makes room for it; others do not.
        """
        with self._changed:
            absent = [s for s in self._sessions if s.name in self._left_s]
            is_full = len(self._sessions) >= n_most
            if self._is_closing or (is_full and not absent):
                return False
            gone = None
            if is_full:
                gone = min(absent, key=lambda each: self._left_s[each.name])
                self._drop(gone)
            self._sessions.append(session)
        if gone is not None:
            self._forget(gone)
        return True

    def remove(self, session: Session) -> None:
        """Serves a session no more."""
        with self._changed:
            was_there = self._drop(session)
        if was_there:
            self._forget(session)

    def take_up(self, name: str) -> Session | None:
        """Returns a session whose client is back; None where it is not known."""
        with self._changed:
            for session in self._sessions:
                if session.name == name:
                    self._left_s.pop(name, None)
                    return session
        return None

    def left(self, session: Session) -> None:
        """Notes that a session's client went."""
        with self._changed:
            if session in self._sessions:
                self._left_s[session.name] = time.monotonic()
                self._changed.notify()

    def close(self) -> None:
        """Ends the thread after the task it is at."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        for session in self.sessions:
            session.end()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _run(self) -> None:
        self._serve()
        for session in self.sessions:
            while session.has_work():
                session.work()

    def _serve(self) -> None:
        while True:
            with self._changed:
                if not self._has_news and not self._is_closing:
                    self._changed.wait(
                        timeout=self._forgotten_s / 4 if self._left_s else None
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
        limit_s = time.monotonic() - self._forgotten_s
        with self._changed:
            gone = [
                session
                for session in self._sessions
                if self._left_s.get(session.name, limit_s) < limit_s
            ]
            for session in gone:
                self._drop(session)
        for session in gone:
            self._forget(session)

    def _drop(self, session: Session) -> bool:
        self._left_s.pop(session.name, None)
        if session not in self._sessions:
            return False
        self._sessions.remove(session)
        return True
