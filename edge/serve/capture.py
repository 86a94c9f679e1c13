"""The microphone's side of a session: PCM in, stretches of speech out.

It runs on the thread that reads the connection, and holds the gates: the button to
talk, the pause button, and the character's own voice, which must not wake the listener.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.serve.wire import WireError
from edge.vad import (
    Framer,
    Segmenter,
    SegmenterConfig,
    SpeechDetector,
    SpeechEvent,
    heard,
)

PLAYED_TAIL_S = 0.25
"""A room goes on sounding after the character's last word."""
MAX_SAMPLES = 30 * 24 * 3600 * SAMPLE_RATE_HZ
"""No stream is longer than a month."""


class Capture:
    """Cuts one client's stream into speech.

    Args:
        detector: For this stream alone.
        segmenter: Likewise.
        is_open_mic: Whether speech is taken without the button.
        barge_in: Whether that stays so while a character speaks.
    """

    def __init__(
        self,
        detector: SpeechDetector,
        segmenter: Segmenter,
        *,
        is_open_mic: bool,
        barge_in: bool,
    ) -> None:
        self._detector = detector
        self._segmenter = segmenter
        self._is_open_mic = is_open_mic
        self._barge_in = barge_in
        self._is_paused = False
        self._playing: int | None = None
        self._reopens_s = 0.0
        self._framer = Framer()
        self.n_samples = 0
        """Heard so far: where the next frame of PCM begins."""

    @property
    def time_s(self) -> float:
        """Audio-sample time now."""
        return self.n_samples / SAMPLE_RATE_HZ

    def hear(self, pcm: bytes) -> Iterator[SpeechEvent]:
        """Yields what a frame of 16-bit PCM tells.

        Raises:
            WireError: ``audio_odd``: half a sample.
        """
        if len(pcm) % 2:
            raise WireError(
                "audio_odd",
                f"A binary frame holds {len(pcm)} bytes, which are not whole samples.",
                "Send 16-bit samples.",
            )
        samples: Samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        samples /= 32768
        self.n_samples += len(samples)
        frames = self._framer.push(samples)
        if not len(frames) or self._is_paused:
            return
        self._set_gate()
        yield from heard(frames, self._detector, self._segmenter)

    def skip_to(self, sample: int) -> list[SpeechEvent]:
        """Returns what was said before a gap in the stream.

        Raises:
            WireError: ``audio_at``: the gap goes backwards, or beyond a month.
        """
        if not self.n_samples <= sample <= MAX_SAMPLES:
            raise WireError(
                "audio_at",
                f"The stream stands at sample {self.n_samples}, after {sample}.",
                "Count samples from the stream's first.",
            )
        self.n_samples = sample
        self._framer.clear()
        self._detector.reset()
        return self._segmenter.skip_to(self.time_s)

    def press(self, *, down: bool) -> list[SpeechEvent]:
        """Returns what was said until the button was let go."""
        if down:
            self._segmenter.press()
            return []
        return self._segmenter.let_go()

    def pause(self, *, is_paused: bool) -> None:
        """The headset is off, or on again; what was being said is forgotten."""
        self._is_paused = is_paused
        self._framer.clear()
        self._segmenter.skip_to(self.time_s)
        self._detector.reset()

    def played(self, utterance: int, *, ended: bool) -> None:
        """The character's voice sounds, answering an utterance, or has ended."""
        if not ended:
            self._playing = utterance
        elif self._playing is None or utterance >= self._playing:
            self._playing = None
        self._reopens_s = self.time_s + PLAYED_TAIL_S

    def become(
        self, config: SegmenterConfig, *, is_open_mic: bool, barge_in: bool
    ) -> None:
        """Listens in another way from now on."""
        self._segmenter.config = config
        self._is_open_mic = is_open_mic
        self._barge_in = barge_in

    @property
    def is_open_mic(self) -> bool:
        """Whether speech is taken without the button."""
        return self._is_open_mic

    @property
    def is_gated(self) -> bool:
        """Whether the character's voice keeps an open microphone closed."""
        sounding = self._playing is not None or self.time_s < self._reopens_s
        return sounding and not self._barge_in

    def _set_gate(self) -> None:
        self._segmenter.is_open = self._is_open_mic and not self.is_gated
