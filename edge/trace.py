"""Where the time went, as a trace for Perfetto or Chrome's `about:tracing`.

The file holds the Trace Event Format's JSON array, one event a line. It carries names
of stages, numbers and lengths, and no words.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from models.errors import HeadsideError


class Trace:
    """Writes spans; does nothing without a file.

    Raises:
        HeadsideError: ``trace_file``: it cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file: TextIO | None = None
        self._lock = threading.Lock()
        self._between = "\n"
        if path is None:
            return
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise HeadsideError(
                "trace_file",
                f"The trace {path} cannot be written: {error.strerror}.",
                "Name another file.",
            ) from error
        self._file.write("[")

    @contextmanager
    def span(self, name: str, /, **about: float | str) -> Iterator[None]:
        """Notes how long the block took.

        Args:
            name: Of the stage.
            about: Numbers and codes.
        """
        if self._file is None:
            yield
            return
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, began_s, time.perf_counter() - began_s, **about)

    def add(
        self, name: str, began_s: float, seconds: float, /, **about: float | str
    ) -> None:
        """Notes a span that is over; ``began_s`` is of ``time.perf_counter``."""
        if self._file is None:
            return
        event = {
            "name": name,
            "ph": "X",
            "ts": round(began_s * 1e6),
            "dur": round(seconds * 1e6),
            "pid": os.getpid(),
            "tid": threading.get_native_id(),
            "args": about,
        }
        with self._lock:
            if self._file is not None:  # another thread may have closed it by now
                self._file.write(self._between + json.dumps(event))
                self._between = ",\n"

    def close(self) -> None:
        """Ends the file, so that it is JSON as a whole."""
        if self._file is not None:
            with self._lock:
                self._file.write("\n]\n")
                self._file.close()
                self._file = None


NO_TRACE = Trace()
"""Writes nothing."""
