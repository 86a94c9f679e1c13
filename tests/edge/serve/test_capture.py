"""The microphone's gates: the button, the pause, and the character's own voice."""

from __future__ import annotations

import numpy as np
import pytest

from edge.backends.echo import EchoDetector
from edge.hearing import Endpointing
from edge.serve.capture import MAX_SAMPLES, PLAYED_TAIL_S, Capture
from edge.serve.wire import WireError
from edge.vad import FRAME_S, Segmenter, Speech, SpeechEvent, SpeechStart, Utterance

RATE = 16_000
CONFIG = Endpointing().segmenter()


def capture(*, is_open_mic: bool = True, barge_in: bool = False) -> Capture:
    return Capture(
        EchoDetector(), Segmenter(CONFIG), is_open_mic=is_open_mic, barge_in=barge_in
    )


def hear(capture: Capture, seconds: float, *, loud: bool) -> list[SpeechEvent]:
    pcm = np.full(round(seconds * RATE), 9000 * loud, "<i2").tobytes()
    pieces = [pcm[n : n + 1000] for n in range(0, len(pcm), 1000)]
    return [event for piece in pieces for event in capture.hear(piece)]


def said(events: list[SpeechEvent]) -> list[Utterance]:
    return [e.utterance for e in events if isinstance(e, Speech) and e.is_over]


def spoken(capture: Capture) -> list[Utterance]:
    """Returns what is heard where something is said."""
    return said(
        [
            *hear(capture, 0.5, loud=False),
            *hear(capture, 0.5, loud=True),
            *hear(capture, 1.0, loud=False),
        ]
    )


def test_an_open_microphone_hears_by_itself() -> None:
    (utterance,) = spoken(capture())

    assert utterance.start_s == pytest.approx(0.2, abs=2 * FRAME_S)
    assert utterance.speech_end_s == pytest.approx(1.0, abs=2 * FRAME_S)


def test_a_button_has_to_be_held() -> None:
    closed = capture(is_open_mic=False)

    assert spoken(closed) == []
    assert closed.press(down=True) == []
    events = hear(closed, 0.5, loud=True)
    assert any(isinstance(event, SpeechStart) for event in events)
    assert len(said(closed.press(down=False))) == 1
    assert spoken(closed) == []


def test_time_goes_on_while_nothing_is_heard() -> None:
    paused = capture()
    assert spoken(paused)
    paused.pause(is_paused=True)
    assert spoken(paused) == []
    paused.pause(is_paused=False)

    (utterance,) = spoken(paused)

    assert utterance.start_s == pytest.approx(4.2, abs=2 * FRAME_S)
    assert paused.time_s == pytest.approx(6.0)


def test_what_was_being_said_at_a_pause_is_forgotten() -> None:
    paused = capture()
    hear(paused, 0.5, loud=True)
    paused.pause(is_paused=True)
    paused.pause(is_paused=False)

    assert said(hear(paused, 1.0, loud=False)) == []


def test_a_characters_voice_does_not_wake_the_listener() -> None:
    gated = capture()
    gated.played(1, ended=False)

    assert spoken(gated) == []
    gated.played(1, ended=True)
    assert said(hear(gated, PLAYED_TAIL_S / 2, loud=True)) == []
    hear(gated, 1.0, loud=False)
    assert len(spoken(gated)) == 1


def test_the_end_of_an_earlier_reply_opens_nothing() -> None:
    gated = capture()
    gated.played(1, ended=False)
    gated.played(2, ended=False)
    gated.played(1, ended=True)

    assert spoken(gated) == []


def test_a_pack_may_leave_the_microphone_open() -> None:
    open_mic = capture(barge_in=True)
    open_mic.played(1, ended=False)

    assert len(spoken(open_mic)) == 1


def test_the_button_works_while_a_character_speaks() -> None:
    closed = capture(is_open_mic=False)
    closed.played(1, ended=False)
    closed.press(down=True)
    hear(closed, 0.5, loud=True)

    assert len(said(closed.press(down=False))) == 1


def test_a_gap_ends_what_was_being_said() -> None:
    gappy = capture()
    hear(gappy, 0.5, loud=True)

    assert len(said(gappy.skip_to(10 * RATE))) == 1
    (utterance,) = spoken(gappy)
    assert utterance.start_s == pytest.approx(10.2, abs=2 * FRAME_S)


@pytest.mark.parametrize("sample", [0, RATE - 1, MAX_SAMPLES + 1])
def test_a_gap_leads_forward(sample: int) -> None:
    gappy = capture()
    hear(gappy, 1.0, loud=False)

    with pytest.raises(WireError) as refused:
        gappy.skip_to(sample)

    assert refused.value.code == "audio_at"
    assert gappy.n_samples == RATE


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(WireError) as refused:
        list(capture().hear(b"\0\0\0"))

    assert refused.value.code == "audio_odd"


def test_a_microphone_can_become_another() -> None:
    changed = capture(is_open_mic=False)
    changed.become(CONFIG, is_open_mic=True, barge_in=False)

    assert changed.is_open_mic
    assert len(spoken(changed)) == 1
