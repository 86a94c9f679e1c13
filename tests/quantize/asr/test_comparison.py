"""Figures say what was heard otherwise, how much, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.artifact import Finding
from quantize.asr.comparison import findings, paired, quantile_interval, timing
from quantize.asr.listening import IN_RUNTIME, SOURCE, THIS, Heard, Word
from quantize.asr.recordings import Recording
from tests.quantize.conftest import refusal

GO, LIGHTS = "go forward ten metres", "lights out"


def recording(name: str, said: str = "") -> Recording:
    return Recording(path=Path(name), name=name, sha256=name, said=said)


def heard(who: str, sound: str, text: str, *, late_s: float = 0.0) -> Heard:
    """Each word begins half a second after the one before it."""
    words = tuple(
        Word(text=word, start_s=n / 2 + late_s, end_s=n / 2 + 0.4)
        for n, word in enumerate(text.split())
    )
    took_s = 0.5 if who == THIS else 1.0
    return Heard(
        who=who, sound=sound, text=text, words=words, sound_s=2.0, took_s=took_s
    )


def measured(all_: list[Heard], recordings: list[Recording]) -> dict[str, Finding]:
    return {one.name: one for one in findings(all_, paired(all_, recordings))}


def test_errors_are_counted_by_word_of_the_source() -> None:
    all_ = [
        heard(SOURCE, "a", GO),
        heard(THIS, "a", "go backward ten"),
        heard(IN_RUNTIME, "a", "go backward ten"),
        heard(SOURCE, "b", LIGHTS),
        heard(THIS, "b", "lights out now"),
        heard(IN_RUNTIME, "b", "lights out"),
    ]

    found = measured(all_, [recording("a"), recording("b")])

    error = found["word_error"]
    assert error.value == pytest.approx(3 / 7)  # ten is two digits
    assert error.low is not None
    assert error.low <= error.value
    assert (found["substitutions"].value, found["deletions"].value) == (1, 1)
    assert found["insertions"].value == 1
    assert found["identical_to_runtime"].value == 0.5
    assert found["same_words"].value == 0
    assert "true_word_error" not in found


def test_times_are_of_words_that_both_hear() -> None:
    all_ = [
        heard(SOURCE, "a", GO),
        heard(THIS, "a", "go backward ten metres", late_s=0.02),
        heard(IN_RUNTIME, "a", GO),
    ]

    found = measured(all_, [recording("a")])

    assert found["timestamp_shift_p95"].n == 3
    for name in ("median", "p95", "worst"):
        assert found[f"timestamp_shift_{name}"].value == pytest.approx(20)
    assert found["timestamp_end_shift_p95"].value == 0


def test_what_was_said_judges_both() -> None:
    all_ = [
        heard(SOURCE, "a", "go forward tent metres"),
        heard(THIS, "a", GO),
        heard(IN_RUNTIME, "a", GO),
    ]

    found = measured(all_, [recording("a", GO)])

    assert found["true_word_error"].value == 0
    assert found["true_word_error_source"].value == pytest.approx(2 / 5)


def test_words_where_nobody_speaks_and_loops() -> None:
    again = "turn it on turn it on"
    all_ = [
        heard(SOURCE, "a", GO),
        heard(THIS, "a", again),
        heard(IN_RUNTIME, "a", GO),
        heard(SOURCE, "digital silence", "you"),
        heard(THIS, "digital silence", "thank you"),
    ]

    found = measured(all_, [recording("a")])

    assert found["words_in_silence"].value == 2
    assert found["words_in_silence_source"].value == 1
    assert (found["loops"].value, found["loops_source"].value) == (1, 0)


def test_nothing_that_the_source_hears() -> None:
    all_ = [heard(who, "a", "") for who in (SOURCE, THIS, IN_RUNTIME)]

    error = refusal(lambda: paired(all_, [recording("a")]))

    assert error.code == "nothing_heard"


def test_time_is_beside_the_source() -> None:
    all_ = [heard(who, "a", GO) for who in (SOURCE, THIS, IN_RUNTIME)]

    found = timing(paired(all_, [recording("a")]), threads=1)

    assert (found.ratio, found.n) == (0.5, 1)
    assert (found.median_ms, found.reference_median_ms) == (500, 1000)


def test_a_quantile_has_its_interval() -> None:
    groups = [np.full(10, n, float).tolist() for n in range(20)]

    found = quantile_interval(groups, 0.5)

    assert found.low < found.mean < found.high
    assert found == quantile_interval(groups, 0.5)
