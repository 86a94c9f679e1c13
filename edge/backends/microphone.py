"""The microphone, through PortAudio.

The one thread boundary of the chain lies here: PortAudio's thread fills a bounded
queue, and whoever pulls the chunks drains it. Sound that finds the queue full is
dropped and counted.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import sounddevice

from edge.audio import (
    AudioChunk,
    AudioError,
    Samples,
    chunks_from_frames,
)
from edge.backends.failures import vendor_errors

_BLOCK_S = 0.032
_QUEUE_S = 30.0


def _opening() -> AbstractContextManager[None]:
    return vendor_errors(
        AudioError,
        "microphone_missing",
        "No microphone could be opened.",
        "Connect one, or use --wav FILE.",
    )


class Microphone:
    """The default input device as a stream of chunks, without an end.

    Attributes:
        name: The device's.
        n_dropped: Blocks of 32 ms lost because nobody drained the queue.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[Samples] = queue.Queue(round(_QUEUE_S / _BLOCK_S))
        self.n_dropped = 0
        with _opening():
            device = sounddevice.query_devices(kind="input")
        self.name: str = device["name"]
        self._rate_hz = int(device["default_samplerate"])

    def chunks(self) -> Iterator[AudioChunk]:
        """Yields what is heard until the caller stops pulling.

        Raises:
            AudioError: The microphone cannot be opened.
        """
        with _opening():
            stream = sounddevice.InputStream(
                samplerate=self._rate_hz,
                blocksize=round(self._rate_hz * _BLOCK_S),
                channels=1,
                dtype="float32",
                callback=self._fill,
            )
        with stream:
            yield from chunks_from_frames(
                self._drain(), rate_hz=self._rate_hz, name="The microphone"
            )

    def _fill(self, block: Any, _frames: int, _time: Any, _status: Any) -> None:
        try:
            self._queue.put_nowait(np.array(block[:, 0], np.float32))
        except queue.Full:
            self.n_dropped += 1

    def _drain(self) -> Iterator[Samples]:
        while True:
            try:
                # Woken now and then, so that Ctrl-C is seen.
                yield self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
