"""What is told while the player speaks: beginnings, pauses, ends and the button."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.audio import Samples
from edge.vad import (
    FRAME_S,
    FRAME_SAMPLES,
    Moment,
    Segmenter,
    SegmenterConfig,
    Speech,
    SpeechEvent,
    SpeechStart,
)

SILENCE, SPEECH = 0.0, 0.9
N_MIN, N_END, N_PAD = 3, 20, 4


def config(
    *, pauses: Sequence[int] = (), n_partial: int = 0, n_max: int = 300
) -> SegmenterConfig:
    """Returns a configuration in frames."""
    return SegmenterConfig(
        min_speech_s=N_MIN * FRAME_S,
        pauses_s=tuple(n * FRAME_S for n in pauses),
        end_silence_s=N_END * FRAME_S,
        partial_s=n_partial * FRAME_S,
        pad_s=N_PAD * FRAME_S,
        max_utterance_s=n_max * FRAME_S,
    )


class Stream:
    """Frames, each of which holds its own number, and what was told of them."""

    def __init__(self, how: SegmenterConfig, *, is_open: bool = True) -> None:
        self.segmenter = Segmenter(how, is_open)
        self.told: list[tuple[int, SpeechEvent]] = []
        """With the number of frames heard by then."""
        self.n_heard = 0

    def hear(self, n_frames: int, flag: float) -> Stream:
        for _ in range(n_frames):
            frame: Samples = np.full(FRAME_SAMPLES, self.n_heard, np.float32)
            self.n_heard += 1
            self.take(self.segmenter.push(frame, flag))
        return self

    def take(self, told: Iterable[SpeechEvent]) -> Stream:
        self.told += [(self.n_heard, event) for event in told]
        return self

    def at(self, moment: Moment) -> list[int]:
        """Returns when a moment was told."""
        return [
            n
            for n, event in self.told
            if isinstance(event, Speech) and event.moment is moment
        ]

    @property
    def starts(self) -> list[SpeechStart]:
        return [event for _, event in self.told if isinstance(event, SpeechStart)]

    @property
    def speech(self) -> list[Speech]:
        return [event for _, event in self.told if isinstance(event, Speech)]


def frames(speech: Speech) -> tuple[int, int]:
    """Returns the first and the last frame of what was said."""
    rows = speech.utterance.samples.reshape(-1, FRAME_SAMPLES)
    numbers = rows[:, 0].astype(int).tolist()
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert speech.utterance.start_s == pytest.approx(numbers[0] * FRAME_S)
    return numbers[0], numbers[-1]


def test_while_the_player_speaks_it_is_heard_now_and_then() -> None:
    stream = Stream(config(n_partial=5)).hear(10, SILENCE).hear(23, SPEECH)

    assert stream.at(Moment.SPEAKING) == [15, 20, 25, 30]
    assert [frames(each) for each in stream.speech] == [
        (6, 14),
        (6, 19),
        (6, 24),
        (6, 29),
    ]
    assert all(not each.is_over and each.silence_s == 0 for each in stream.speech)


def test_nothing_is_heard_in_between_unless_asked_for() -> None:
    assert Stream(config()).hear(60, SPEECH).speech == []


def test_in_a_pause_nobody_speaks() -> None:
    stream = Stream(config(n_partial=5)).hear(6, SPEECH).hear(15, SILENCE)

    assert stream.at(Moment.SPEAKING) == [5]


def test_a_pause_is_told_at_each_of_its_lengths_and_no_other() -> None:
    stream = Stream(config(pauses=[2, 8])).hear(5, SPEECH).hear(30, SILENCE)

    assert stream.at(Moment.PAUSE) == [7, 13]
    assert stream.at(Moment.SILENCE) == [25]
    lengths = [round(each.silence_s / FRAME_S) for each in stream.speech]
    assert lengths == [2, 8, 20]
    assert [each.is_over for each in stream.speech] == [False, False, True]


def test_every_pause_of_an_utterance_is_told() -> None:
    stream = Stream(config(pauses=[2, 8]))
    for n_silent in (1, 3, 10, 2):
        stream.hear(5, SPEECH).hear(n_silent, SILENCE)

    assert stream.at(Moment.PAUSE) == [13, 21, 27, 36]
    assert stream.at(Moment.SILENCE) == []


def test_what_is_heard_in_a_pause_is_what_was_said_so_far() -> None:
    stream = Stream(config(pauses=[2, 8])).hear(10, SILENCE).hear(5, SPEECH)
    stream.hear(30, SILENCE)

    early, late, last = stream.speech
    assert frames(early) == (6, 16)
    assert frames(late) == frames(last) == (6, 18)
    for each in stream.speech:
        assert each.utterance.speech_end_s == pytest.approx(15 * FRAME_S)


def test_the_beginning_is_told_once_in_an_utterance() -> None:
    stream = Stream(config(pauses=[2])).hear(10, SILENCE)
    stream.hear(5, SPEECH).hear(6, SILENCE).hear(40, SPEECH).hear(30, SILENCE)
    stream.hear(9, SPEECH)

    assert [start.at_s for start in stream.starts] == pytest.approx(
        [10 * FRAME_S, 91 * FRAME_S]
    )
    (n_first, _), *_ = stream.told
    assert n_first == 10 + N_MIN


@pytest.mark.parametrize("n_click", [1, N_MIN - 1])
def test_a_click_is_no_beginning_and_no_pause(n_click: int) -> None:
    stream = Stream(config(pauses=[2, 8], n_partial=1))
    stream.hear(10, SILENCE).hear(n_click, SPEECH).hear(40, SILENCE)

    assert stream.told == []
    assert stream.take(stream.segmenter.flush()).told == []


def test_at_the_end_of_the_stream_what_was_said_comes_out() -> None:
    stream = Stream(config()).hear(5, SPEECH).hear(3, SILENCE)

    stream.take(stream.segmenter.flush())

    assert stream.at(Moment.RELEASED) == [8]
    assert stream.segmenter.flush() == []


def test_what_is_too_long_is_cut_and_goes_on() -> None:
    stream = Stream(config(n_max=20)).hear(50, SPEECH)

    assert stream.at(Moment.FULL) == [20, 40]
    assert [frames(each) for each in stream.speech] == [(0, 19), (20, 39)]
    assert len(stream.starts) == 3


# The button to talk ------------------------------------------------------------------


def test_while_the_button_is_held_pauses_end_nothing() -> None:
    stream = Stream(config(pauses=[2]), is_open=False)
    stream.segmenter.press()
    stream.hear(5, SPEECH).hear(3 * N_END, SILENCE).hear(5, SPEECH)
    assert stream.at(Moment.SILENCE) == []

    stream.take(stream.segmenter.let_go())

    (told,) = [each for each in stream.speech if each.is_over]
    assert told.moment is Moment.RELEASED
    assert frames(told) == (0, 3 * N_END + 9)
    assert len(stream.starts) == 1


def test_a_button_that_was_let_go_ends_nothing_else() -> None:
    stream = Stream(config())
    stream.segmenter.press()
    stream.hear(5, SPEECH).take(stream.segmenter.let_go())
    stream.hear(2, SILENCE).hear(5, SPEECH).hear(30, SILENCE)

    moments = [each.moment for each in stream.speech]
    assert moments == [Moment.RELEASED, Moment.SILENCE]


def test_a_button_without_words_says_nothing() -> None:
    stream = Stream(config(), is_open=False)
    stream.segmenter.press()
    stream.hear(30, SILENCE).hear(N_MIN - 1, SPEECH)

    assert stream.segmenter.let_go() == []
    assert stream.told == []


def test_words_that_were_long_enough_are_cut_with_the_button_held() -> None:
    stream = Stream(config(n_max=20), is_open=False)
    stream.segmenter.press()

    assert stream.hear(50, SPEECH).at(Moment.FULL) == [20, 40]


def test_a_closed_microphone_takes_nothing() -> None:
    stream = Stream(config(pauses=[2], n_partial=4), is_open=False)

    assert stream.hear(20, SPEECH).hear(30, SILENCE).told == []


def test_words_begun_before_the_button_are_not_cut() -> None:
    stream = Stream(config(), is_open=False).hear(20, SPEECH)
    stream.segmenter.press()
    stream.hear(10, SPEECH).take(stream.segmenter.let_go())

    (told,) = stream.speech
    assert frames(told) == (20 - N_PAD, 29)


def test_words_go_on_where_the_microphone_closes() -> None:
    # Whoever closes it decides about what is being said, with flush or without.
    stream = Stream(config()).hear(10, SPEECH)
    stream.segmenter.is_open = False
    stream.hear(5, SPEECH).hear(30, SILENCE).hear(10, SPEECH)

    (told,) = stream.speech
    assert frames(told) == (0, 14 + N_PAD)


# Gaps --------------------------------------------------------------------------------


def test_a_gap_ends_what_was_said_and_moves_the_clock() -> None:
    stream = Stream(config()).hear(10, SPEECH)

    stream.take(stream.segmenter.skip_to(100 * FRAME_S))
    assert stream.at(Moment.RELEASED) == [10]
    assert stream.segmenter.time_s == pytest.approx(100 * FRAME_S)

    stream.n_heard = 100
    stream.hear(10, SPEECH).hear(30, SILENCE)
    _, after = stream.speech
    assert frames(after) == (100, 109 + N_PAD)
    assert stream.starts[-1].at_s == pytest.approx(100 * FRAME_S)


def test_sound_from_before_a_gap_is_no_lead_in() -> None:
    stream = Stream(config()).hear(30, SILENCE)
    stream.take(stream.segmenter.skip_to(100 * FRAME_S))
    stream.n_heard = 100

    stream.hear(1, SILENCE).hear(10, SPEECH).hear(30, SILENCE)

    (told,) = stream.speech
    assert frames(told) == (100, 110 + N_PAD)


def test_the_clock_never_goes_back() -> None:
    stream = Stream(config()).hear(50, SILENCE)

    assert stream.segmenter.skip_to(FRAME_S) == []
    assert stream.segmenter.time_s == pytest.approx(50 * FRAME_S)


# Whatever is said --------------------------------------------------------------------


@settings(max_examples=200)
@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=12),
    pauses=st.lists(st.integers(1, N_END - 1), max_size=3, unique=True).map(sorted),
    n_partial=st.integers(0, 9),
    n_max=st.integers(25, 60),
    held=st.booleans(),
)
def test_whatever_is_said_while_it_is_said(
    runs: list[tuple[bool, int]],
    pauses: list[int],
    n_partial: int,
    n_max: int,
    held: bool,
) -> None:
    stream = Stream(config(pauses=pauses, n_partial=n_partial, n_max=n_max))
    if held:
        stream.segmenter.press()
    for is_speech, n_frames in runs:
        stream.hear(n_frames, SPEECH if is_speech else SILENCE)
    stream.take(stream.segmenter.flush())

    # Each utterance: its beginning, then moments that grow, then its end.
    is_begun, n_last = False, 0
    for _, event in stream.told:
        if isinstance(event, SpeechStart):
            assert not is_begun
            is_begun, n_last = True, 0
            continue
        assert is_begun
        first, last = frames(event)
        assert last - first + 1 <= n_max
        assert last >= n_last
        n_last = last
        is_begun = not event.is_over
        if event.moment is Moment.PAUSE:
            assert round(event.silence_s / FRAME_S) in pauses
        assert event.moment is not Moment.SILENCE or not held
    assert not is_begun
