"""Where speech begins and ends: speech flags in, utterances out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edge.audio import SAMPLE_RATE_HZ, AudioChunk, Samples
from models.errors import HeadsideError

FRAME_SAMPLES = 512
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


class VadError(HeadsideError):
    """The voice detector could not be loaded or failed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Utterance:
    """What the player said between two silences."""

    samples: Samples
    """Shape (n,), mono, 16 kHz, with a little silence on either side."""
    start_s: float
    """Audio-sample time of the first sample."""
    speech_end_s: float
    """Audio-sample time at which the last voiced frame ends."""

    @property
    def seconds(self) -> float:
        """Length in seconds, the silence on either side included."""
        return len(self.samples) / SAMPLE_RATE_HZ


class SpeechDetector(Protocol):
    """Tells speech from everything else, frame by frame; keeps state between calls."""

    def probabilities(self, frames: Samples) -> Samples:
        """Returns the probability of speech of each frame.

        Args:
            frames: Shape (n, 512), consecutive frames of the stream.

        Returns:
            Shape (n,), in [0, 1].
        """

    def reset(self) -> None:
        """Forgets the stream so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterConfig:
    """When speech counts as begun and as ended."""

    threshold: float = 0.5
    """Probability from which a frame counts as speech."""
    release: float = 0.35
    """Probability below which a frame inside speech counts as silence."""
    min_speech_s: float = 0.16
    """Less speech than this is a click, not an utterance."""
    end_silence_s: float = 0.7
    """Silence after which the utterance has ended."""
    pad_s: float = 0.3
    """Sound kept before and after the speech."""
    max_utterance_s: float = 28.0
    """Longer speech is cut, so that it fits the recogniser's 30 s window."""


@dataclass(slots=True)
class Segmenter:
    """Cuts a stream of frames into utterances; knows no model, only flags."""

    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    _before: deque[Samples] = field(init=False)
    _frames: list[Samples] = field(init=False, default_factory=list)
    _n_seen: int = field(init=False, default=0)
    _n_speech: int = field(init=False, default=0)
    _n_silent: int = field(init=False, default=0)
    _speaking: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._before = deque(maxlen=self._n_frames(self.config.pad_s))

    def push(self, frame: Samples, probability: float) -> Utterance | None:
        """Returns the utterance that this frame completes, if it does.

        Args:
            frame: Shape (512,).
            probability: Of speech in this frame.
        """
        self._n_seen += 1
        if not self._speaking:
            self._listen(frame, probability)
            return None
        self._frames.append(frame)
        if probability >= self.config.release:
            self._n_speech += 1
            self._n_silent = 0
        else:
            self._n_silent += 1
        ended = self._n_silent >= self._n_frames(self.config.end_silence_s)
        full = len(self._frames) >= self._n_frames(self.config.max_utterance_s)
        return self._finish() if ended or full else None

    def flush(self) -> Utterance | None:
        """Returns the utterance still open at the end of the stream, if any."""
        return self._finish() if self._speaking else None

    def _listen(self, frame: Samples, probability: float) -> None:
        if probability < self.config.threshold:
            self._before.append(frame)
            return
        self._frames = [*self._before, frame]
        self._before.clear()
        self._n_speech, self._n_silent, self._speaking = 1, 0, True

    def _finish(self) -> Utterance | None:
        frames, n_silent = self._frames, self._n_silent
        n_pad = self._n_frames(self.config.pad_s)
        enough = self._n_speech >= self._n_frames(self.config.min_speech_s)
        self._frames, self._speaking = [], False
        n_after = min(n_silent, n_pad) if enough else 0
        n_kept = len(frames) - n_silent + n_after
        # The rest of the silence may be the lead-in of the next utterance.
        self._before.extend(frames[n_kept:])
        if not enough:
            return None
        n_start = self._n_seen - len(frames)
        return Utterance(
            samples=np.concatenate(frames[:n_kept]),
            start_s=n_start * FRAME_S,
            speech_end_s=(self._n_seen - n_silent) * FRAME_S,
        )

    @staticmethod
    def _n_frames(seconds: float) -> int:
        return max(1, round(seconds / FRAME_S))


def frames_of(chunks: Iterable[AudioChunk]) -> Iterator[Samples]:
    """Yields blocks of whole frames, shape (n, 512); the last is padded with zeros."""
    rest = np.zeros(0, np.float32)
    for chunk in chunks:
        joined = np.concatenate([rest, chunk.samples])
        n_whole = len(joined) // FRAME_SAMPLES * FRAME_SAMPLES
        rest = joined[n_whole:]
        if n_whole:
            yield joined[:n_whole].reshape(-1, FRAME_SAMPLES)
    if len(rest):
        yield np.pad(rest, (0, FRAME_SAMPLES - len(rest))).reshape(1, FRAME_SAMPLES)


def utterances(
    chunks: Iterable[AudioChunk],
    detector: SpeechDetector,
    config: SegmenterConfig | None = None,
) -> Iterator[Utterance]:
    """Yields what is said in a stream, one utterance at a time."""
    segmenter = Segmenter(config or SegmenterConfig())
    detector.reset()
    for frames in frames_of(chunks):
        for frame, probability in zip(
            frames, detector.probabilities(frames), strict=True
        ):
            utterance = segmenter.push(frame, float(probability))
            if utterance is not None:
                yield utterance
    last = segmenter.flush()
    if last is not None:
        yield last
