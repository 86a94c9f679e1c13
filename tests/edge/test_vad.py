"""Utterances from flags alone: where they begin and end, and what they leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.audio import AudioChunk, Samples
from edge.vad import (
    FRAME_S,
    FRAME_SAMPLES,
    SegmenterConfig,
    Utterance,
    frames_of,
    utterances,
)

SILENCE, MURMUR, SPEECH = 0.0, 0.4, 0.9
"""A murmur goes on with speech and does not begin it."""


class FlagDetector:
    """Says what it was told of each frame, in order."""

    def __init__(self, flags: Sequence[float]) -> None:
        self._flags = flags
        self._n_seen = 0

    def probabilities(self, frames: Samples) -> Samples:
        flags = self._flags[self._n_seen : self._n_seen + len(frames)]
        self._n_seen += len(frames)
        return np.asarray(flags, np.float32)

    def reset(self) -> None:
        self._n_seen = 0

    def fresh(self) -> FlagDetector:
        return FlagDetector(self._flags)


@dataclass(frozen=True, kw_only=True)
class Frames:
    """An utterance as numbers of the frames it is made of."""

    first: int
    last: int
    speech_end: int
    """The frame after the last that is speech."""


def config(
    *, n_min: int = 3, n_end: int = 8, n_pad: int = 2, n_max: int = 200
) -> SegmenterConfig:
    """Returns a configuration in frames."""
    return SegmenterConfig(
        min_speech_s=n_min * FRAME_S,
        end_silence_s=n_end * FRAME_S,
        pad_s=n_pad * FRAME_S,
        max_utterance_s=n_max * FRAME_S,
    )


def segmented(flags: Sequence[float], how: SegmenterConfig) -> list[Frames]:
    """Returns the utterances in a stream whose frames each hold their own number."""
    numbers = np.repeat(np.arange(len(flags), dtype=np.float32), FRAME_SAMPLES)
    chunk = AudioChunk(samples=numbers, start_s=0)
    return [as_frames(found) for found in utterances([chunk], FlagDetector(flags), how)]


def as_frames(utterance: Utterance) -> Frames:
    """Returns an utterance's frames, which must be whole and follow one another."""
    rows = utterance.samples.reshape(-1, FRAME_SAMPLES)
    numbers = rows[:, 0].astype(int).tolist()
    assert (rows == rows[:, :1]).all()
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert utterance.start_s == pytest.approx(numbers[0] * FRAME_S)
    assert utterance.seconds == pytest.approx(len(numbers) * FRAME_S)
    return Frames(
        first=numbers[0],
        last=numbers[-1],
        speech_end=round(utterance.speech_end_s / FRAME_S),
    )


def test_an_utterance_is_its_speech_and_a_little_on_either_side() -> None:
    flags = [SILENCE] * 10 + [SPEECH] * 5 + [SILENCE] * 20

    assert segmented(flags, config()) == [Frames(first=8, last=16, speech_end=15)]


def test_speech_at_the_very_beginning_and_end_is_whole() -> None:
    flags = [SPEECH] * 5 + [SILENCE] * 20 + [SPEECH] * 5

    assert segmented(flags, config()) == [
        Frames(first=0, last=6, speech_end=5),
        Frames(first=23, last=29, speech_end=30),
    ]


def test_a_pause_does_not_end_an_utterance_and_a_silence_does() -> None:
    def spoken(n_pause: int) -> list[Frames]:
        flags = [SPEECH] * 5 + [SILENCE] * n_pause + [SPEECH] * 5
        return segmented(flags, config(n_end=8))

    assert len(spoken(7)) == 1
    assert len(spoken(8)) == 2


def test_a_click_is_no_utterance() -> None:
    assert segmented([SILENCE, SPEECH, SPEECH, *[SILENCE] * 20], config(n_min=3)) == []
    assert segmented([SPEECH] * 2, config(n_min=3)) == []


def test_speech_begins_loud_and_goes_on_softly() -> None:
    assert segmented([MURMUR] * 20, config()) == []
    flags = [SPEECH] + [MURMUR] * 6 + [SILENCE] * 20
    assert segmented(flags, config()) == [Frames(first=0, last=8, speech_end=7)]


def test_endless_speech_is_cut_without_a_gap() -> None:
    found = segmented([SPEECH] * 70, config(n_max=20))

    assert [(each.first, each.last) for each in found] == [
        (0, 19),
        (20, 39),
        (40, 59),
        (60, 69),
    ]


def test_no_sound_is_in_two_utterances_however_short_the_silence_between() -> None:
    flags = [SPEECH] * 5 + [SILENCE] * 3 + [SPEECH] * 5

    assert segmented(flags, config(n_end=3, n_pad=3)) == [
        Frames(first=0, last=7, speech_end=5),
        Frames(first=8, last=12, speech_end=13),
    ]


@settings(deadline=None)
@given(
    runs=st.lists(
        st.tuples(st.sampled_from([SILENCE, MURMUR, SPEECH]), st.integers(1, 30)),
        max_size=20,
    ),
    n_min=st.integers(1, 6),
    n_end=st.integers(1, 10),
    n_pad=st.integers(1, 10),
    n_max=st.integers(11, 60),
)
def test_whatever_is_said(
    runs: list[tuple[float, int]], n_min: int, n_end: int, n_pad: int, n_max: int
) -> None:
    flags = [flag for flag, length in runs for _ in range(length)]
    how = config(n_min=n_min, n_end=n_end, n_pad=n_pad, n_max=n_max)

    found = segmented(flags, how)

    for each in found:
        n_frames = each.last - each.first + 1
        speech = [n for n in range(each.first, each.speech_end) if flags[n] == SPEECH]
        assert 0 <= each.first <= each.last < len(flags)
        assert n_frames <= n_max
        assert flags[each.speech_end - 1] > SILENCE
        assert speech[0] - each.first <= n_pad
        assert each.last + 1 - each.speech_end <= n_pad
    for before, after in pairwise(found):
        assert before.last < after.first
        goes_on = next(n for n in range(before.speech_end, len(flags)) if flags[n])
        enough = before.speech_end + n_end
        assert goes_on >= min(enough, before.first + n_max)


@settings(deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(3, 30), st.integers(1, 30)), max_size=20),
    n_end=st.integers(1, 10),
    n_pad=st.integers(1, 10),
)
def test_no_speech_is_lost(runs: list[tuple[int, int]], n_end: int, n_pad: int) -> None:
    flags: list[float] = []
    for n_speech, n_silent in runs:
        flags += [SPEECH] * n_speech + [SILENCE] * n_silent

    found = segmented(flags, config(n_min=3, n_end=n_end, n_pad=n_pad, n_max=2_000))

    kept = {n for each in found for n in range(each.first, each.last + 1)}
    assert {n for n, flag in enumerate(flags) if flag == SPEECH} <= kept
    assert len(found) == len(
        [n_silent for _, n_silent in runs[:-1] if n_silent >= n_end] + runs[-1:]
    )


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 3_000), max_size=12))
def test_frames_do_not_depend_on_how_the_sound_arrives(sizes: list[int]) -> None:
    sound = np.arange(1, sum(sizes) + 1, dtype=np.float32)
    chunks = [
        AudioChunk(samples=piece, start_s=0)
        for piece in np.split(sound, np.cumsum(sizes)[:-1] if sizes else [])
    ]

    blocks = list(frames_of(chunks))

    assert all(block.shape[1] == FRAME_SAMPLES and len(block) for block in blocks)
    samples = np.concatenate([np.zeros(0, np.float32), *map(np.ravel, blocks)])
    np.testing.assert_array_equal(samples[: len(sound)], sound)
    assert not samples[len(sound) :].any()
    assert len(samples) - len(sound) < FRAME_SAMPLES
