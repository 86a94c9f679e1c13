"""Where speech begins and ends: speech flags in, utterances out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np

from edge.audio import SAMPLE_RATE_HZ, AudioChunk, Samples
from models.errors import HeadsideError

FRAME_SAMPLES = 512
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
_NOTHING: Samples = np.zeros(0, np.float32)


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

    def fresh(self) -> SpeechDetector:
        """Returns a detector for another stream, on the same model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStart:
    """The player begins to speak."""

    at_s: float
    """Audio-sample time of the first voiced frame."""


class Moment(StrEnum):
    """When a stretch of speech is worth hearing."""

    SPEAKING = "speaking"
    """In between, now and then."""
    PAUSE = "pause"
    """A pause has reached one of the lengths in ``SegmenterConfig.pauses_s``."""
    SILENCE = "silence"
    """It has ended by the longest pause."""
    RELEASED = "released"
    """The button to talk was let go, or the stream ended."""
    FULL = "full"
    """It is as long as it may be."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Speech:
    """What is being said, up to a moment."""

    utterance: Utterance
    moment: Moment
    silence_s: float
    """Since the last voiced frame."""
    is_held: bool = False
    """The button to talk is down, so that no pause ends it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.moment not in (Moment.SPEAKING, Moment.PAUSE)


SpeechEvent = SpeechStart | Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterConfig:
    """When speech counts as begun and as ended."""

    threshold: float = 0.5
    """Probability from which a frame counts as speech."""
    release: float = 0.35
    """Probability below which a frame inside speech counts as silence."""
    min_speech_s: float = 0.16
    """Less speech than this is a click, not an utterance."""
    pauses_s: tuple[float, ...] = ()
    """Lengths of a pause at which what was said is heard, shorter than the next."""
    end_silence_s: float = 0.7
    """Silence after which the utterance has ended."""
    partial_s: float = 0.0
    """How often what was said is heard while the player speaks; 0 for never."""
    pad_s: float = 0.3
    """Sound kept before and after the speech."""
    max_utterance_s: float = 28.0
    """Longer speech is cut, so that it fits the recogniser's 30 s window."""


@dataclass(slots=True)
class Segmenter:
    """Cuts a stream of frames into utterances; knows no model, only flags."""

    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    is_open: bool = True
    """Whether speech is taken by itself; where not, only while the button is held."""
    _before: deque[Samples] = field(init=False)
    _frames: list[Samples] = field(init=False, default_factory=list)
    _n_seen: int = field(init=False, default=0)
    _n_speech: int = field(init=False, default=0)
    _n_silent: int = field(init=False, default=0)
    _n_since: int = field(init=False, default=0)
    """Frames since what was said was last heard."""
    _n_voiced_from: int = field(init=False, default=0)
    _speaking: bool = field(init=False, default=False)
    _held: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._before = deque(maxlen=_n_frames(self.config.pad_s))

    @property
    def time_s(self) -> float:
        """Audio-sample time of what comes next."""
        return self._n_seen * FRAME_S

    def push(self, frame: Samples, probability: float) -> list[SpeechEvent]:
        """Returns what this frame tells.

        Args:
            frame: Shape (512,).
            probability: Of speech in this frame.
        """
        self._n_seen += 1
        if not self._speaking:
            if not self._begins(frame, probability):
                return []
        else:
            self._frames.append(frame)
        voiced = probability >= self.config.release
        self._n_since += 1
        if voiced:
            self._n_speech += 1
            self._n_silent = 0
        else:
            self._n_silent += 1
        return self._told(voiced=voiced)

    def press(self) -> None:
        """The button to talk is pressed: pauses end nothing until it is let go."""
        self._held = True

    def let_go(self) -> list[SpeechEvent]:
        """The button is let go: returns what was said."""
        self._held = False
        return self.flush()

    def flush(self) -> list[SpeechEvent]:
        """Returns the utterance still open, as at the end of the stream, if any."""
        return self._finish(Moment.RELEASED) if self._speaking else []

    def skip_to(self, time_s: float) -> list[SpeechEvent]:
        """Returns what was said before a gap in the stream, which ends it."""
        told = self.flush()
        self._before.clear()
        self._n_seen = max(self._n_seen, round(time_s / FRAME_S))
        return told

    def _begins(self, frame: Samples, probability: float) -> bool:
        taken = self.is_open or self._held
        if not taken or probability < self.config.threshold:
            self._before.append(frame)
            return False
        self._frames = [*self._before, frame]
        self._before.clear()
        self._n_speech, self._n_silent, self._n_since = 0, 0, 0
        self._n_voiced_from = self._n_seen - 1
        self._speaking = True
        return True

    def _told(self, *, voiced: bool) -> list[SpeechEvent]:
        told: list[SpeechEvent] = []
        n_enough = _n_frames(self.config.min_speech_s)
        if voiced and self._n_speech == n_enough:
            told.append(SpeechStart(at_s=self._n_voiced_from * FRAME_S))
        if len(self._frames) >= _n_frames(self.config.max_utterance_s):
            return told + self._finish(Moment.FULL)
        if self._n_silent >= _n_frames(self.config.end_silence_s) and not self._held:
            return told + self._finish(Moment.SILENCE)
        if self._n_speech < n_enough:
            return told
        if self._n_silent in map(_n_frames, self.config.pauses_s):
            told.append(self._speech(Moment.PAUSE))
        elif (
            voiced
            and self.config.partial_s
            and self._n_since >= _n_frames(self.config.partial_s)
        ):
            told.append(self._speech(Moment.SPEAKING))
        return told

    def _speech(self, moment: Moment) -> Speech:
        self._n_since = 0
        n_silent = self._n_silent
        n_after = min(n_silent, _n_frames(self.config.pad_s))
        n_kept = len(self._frames) - n_silent + n_after
        n_start = self._n_seen - len(self._frames)
        return Speech(
            utterance=Utterance(
                samples=np.concatenate(self._frames[:n_kept]),
                start_s=n_start * FRAME_S,
                speech_end_s=(self._n_seen - n_silent) * FRAME_S,
            ),
            moment=moment,
            silence_s=n_silent * FRAME_S,
            is_held=self._held,
        )

    def _finish(self, moment: Moment) -> list[SpeechEvent]:
        enough = self._n_speech >= _n_frames(self.config.min_speech_s)
        told: list[SpeechEvent] = [self._speech(moment)] if enough else []
        frames, n_silent = self._frames, self._n_silent
        n_after = min(n_silent, _n_frames(self.config.pad_s)) if enough else 0
        # The rest of the silence may be the lead-in of the next utterance.
        self._before.extend(frames[len(frames) - n_silent + n_after :])
        self._frames, self._speaking = [], False
        return told


def _n_frames(seconds: float) -> int:
    return max(1, round(seconds / FRAME_S))


@dataclass(slots=True)
class Framer:
    """Cuts samples that come in pieces of any length into whole frames."""

    _rest: Samples = field(init=False, default_factory=lambda: _NOTHING)

    def push(self, samples: Samples) -> Samples:
        """Returns the frames that are whole now, (n,) -> (k, 512); k may be 0."""
        joined = np.concatenate([self._rest, samples])
        n_whole = len(joined) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = joined[n_whole:]
        return joined[:n_whole].reshape(-1, FRAME_SAMPLES)

    def flush(self) -> Samples:
        """Returns what is left as a frame padded with zeros, (k, 512); k is 0 or 1."""
        missing = -len(self._rest) % FRAME_SAMPLES
        return self.push(np.zeros(missing, np.float32))

    def clear(self) -> None:
        """Forgets what is left."""
        self._rest = _NOTHING


def frames_of(chunks: Iterable[AudioChunk]) -> Iterator[Samples]:
    """Yields blocks of whole frames, shape (n, 512); the last is padded with zeros."""
    framer = Framer()
    for chunk in chunks:
        if len(frames := framer.push(chunk.samples)):
            yield frames
    if len(frames := framer.flush()):
        yield frames


def heard(
    frames: Samples, detector: SpeechDetector, segmenter: Segmenter
) -> Iterator[SpeechEvent]:
    """Yields what some frames of a stream tell, shape (n, 512), n at least 1."""
    for frame, probability in zip(frames, detector.probabilities(frames), strict=True):
        yield from segmenter.push(frame, float(probability))


def speech_events(
    chunks: Iterable[AudioChunk],
    detector: SpeechDetector,
    segmenter: Segmenter,
) -> Iterator[SpeechEvent]:
    """Yields what is said in a stream, while it is said."""
    detector.reset()
    for frames in frames_of(chunks):
        yield from heard(frames, detector, segmenter)
    yield from segmenter.flush()


def utterances(
    chunks: Iterable[AudioChunk],
    detector: SpeechDetector,
    config: SegmenterConfig | None = None,
) -> Iterator[Utterance]:
    """Yields what is said in a stream, one utterance at a time."""
    segmenter = Segmenter(config or SegmenterConfig())
    for event in speech_events(chunks, detector, segmenter):
        if isinstance(event, Speech) and event.is_over:
            yield event.utterance
