"""One connection as the service writes to it: a bounded queue and a thread.

Nobody waits for a slow client. Where its queue is full it is cut off; its session
stays, and can be taken up again.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

MAX_WAITING_BYTES = 1 << 20
SEND_S = 5.0
"""A client that takes nothing for so long is cut off, too."""
FAREWELL_S = 2.0
"""So long a client has to read what still waits when its connection ends."""


class Link:
    """Writes texts to a connection, from a thread of its own.

    Args:
        connection: Past its handshake.
        too_slow: Called once, where the client is cut off.
    """

    def __init__(
        self, connection: ServerConnection, too_slow: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._too_slow = too_slow
        self._waiting: deque[str] = deque()
        self._n_bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_cut = False
        _limit_sends(connection.socket, SEND_S)
        self._thread = threading.Thread(
            target=self._write, name="headside-link", daemon=True
        )
        self._thread.start()

    def send(self, text: str) -> None:
        """Queues a text; cuts the client off where too much waits already."""
        with self._changed:
            if self._is_closing:
                return
            if self._n_bytes + len(text) > MAX_WAITING_BYTES:
                self._is_closing = self._is_cut = True
            else:
                self._waiting.append(text)
                self._n_bytes += len(text)
            self._changed.notify()
        if self._is_cut:
            self.cut()
            self._too_slow()

    def cut(self) -> None:
        """Ends the connection without waiting for the client."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        with suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def close(self, until_s: float | None = None) -> None:
        """Ends the connection once all that waits is written, or is not in time.

        Args:
            until_s: Of ``time.monotonic``.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        now_s = time.monotonic()
        left_s = FAREWELL_S if until_s is None else max(0.0, until_s - now_s)
        self._thread.join(timeout=left_s)
        if self._thread.is_alive():
            self.cut()

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closing:
                    self._changed.wait()
                if self._is_cut or not self._waiting:
                    return
                text = self._waiting.popleft()
                self._n_bytes -= len(text)
            try:
                self._connection.send(text)
            except (ConnectionClosed, OSError) as error:
                if isinstance(error.__cause__, BlockingIOError) and not self._is_cut:
                    self._too_slow()
                with self._changed:
                    self._is_closing = True
                    self._waiting.clear()
                return


def _limit_sends(connection: socket.socket, seconds: float) -> None:
    """Has the system give up a write that takes longer."""
    whole = int(seconds)
    if sys.platform == "win32":
        limit = struct.pack("@L", int(seconds * 1000))
    else:
        limit = struct.pack("@ll", whole, int((seconds - whole) * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
