"""A decoder that repeats itself is told from people who do; a better look is rare."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.asr import (
    Bias,
    Recogniser,
    Transcript,
    Word,
    is_loop,
    recognise,
    unlooped,
    with_words,
)
from edge.vad import Utterance

words = st.text("abcdefgh'", min_size=1, max_size=6).filter(
    lambda word: word.strip("'")
)


@pytest.mark.parametrize(
    "text",
    [
        "turn on the light turn on the light",
        "Turn on the light. Turn on the light! Turn on the light,",
        "one two three four, one two three four",
        "the the the the",
        "I think it is you know you know you know you know",
        "thank you for watching thank you for watching thank you for watching",
        "go left go left go left go left",
    ],
)
def test_a_decoder_that_loops(text: str) -> None:
    assert is_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "go",
        "go go",
        "go go go",
        "no no no wait",
        "stop it stop it",
        "go left go left",
        "very very very dark",
        "ten ten ten",
        "turn on the light and turn on the other light",
        "row row row your boat gently down the stream",
        "turn left then turn right then turn left then turn right",
    ],
)
def test_people_who_repeat_themselves(text: str) -> None:
    assert not is_loop(text)


@given(
    phrase=st.lists(words, min_size=1, max_size=8),
    before=st.lists(words, max_size=4),
    after=st.lists(words, max_size=4),
    n_times=st.integers(4, 6),
)
def test_four_times_in_a_row_is_a_loop_wherever_it_stands(
    phrase: list[str], before: list[str], after: list[str], n_times: int
) -> None:
    assert is_loop(" ".join([*before, *phrase * n_times, *after]))


@given(st.lists(words, max_size=30, unique=True))
def test_words_that_do_not_come_again_are_no_loop(spoken: list[str]) -> None:
    plain = {word.replace("'", "") for word in spoken}
    assert not is_loop(" ".join(plain))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Turn on the light. Turn on the light!", "Turn on the light!"),
        ("go left, go left, go left, go left, now", "go left, now"),
        ("well the the the the end", "well the end"),
        ("no no no no go go go go", "no go"),
        ("", ""),
        ("...", "..."),
    ],
)
def test_what_a_decoder_repeats_stands_once(text: str, expected: str) -> None:
    assert unlooped(text) == expected


@example(phrase=["a'a"], before=[], after=[], n_times=4)
@example(phrase=["a", "a'b'"], before=[], after=["a"], n_times=4)
@given(
    phrase=st.lists(words, min_size=1, max_size=4),
    before=st.lists(words, max_size=4),
    after=st.lists(words, max_size=4),
    n_times=st.integers(4, 9),
)
def test_nothing_but_the_repetition_is_lost(
    phrase: list[str], before: list[str], after: list[str], n_times: int
) -> None:
    text = unlooped(" ".join([*before, *phrase * n_times, *after]))

    assert not is_loop(text)
    assert unlooped(text) == text
    assert {*before, *phrase, *after} >= set(text.split())
    # In the same order, each word at least once.
    rest = iter([*before, *phrase * n_times, *after])
    assert all(word in rest for word in text.split())


@given(st.lists(words, max_size=12).map(" ".join))
def test_a_text_without_a_loop_stays_as_it_is(text: str) -> None:
    if not is_loop(text):
        assert unlooped(text) == text


UTTERANCE = Utterance(samples=np.zeros(1600, np.float32), start_s=3, speech_end_s=3.1)
WORD = Word(text="go", start_s=3, end_s=3.1, confidence=1)


@dataclass
class TwoLooks:
    """A recogniser whose first look may be unsure; keeps what it is asked."""

    first: Transcript
    second: Transcript
    asked: list[str] = field(default_factory=list)
    told: list[Bias] = field(default_factory=list)
    """What was likely to be said."""

    def draft(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        self.told += [bias]
        self.asked.append("draft")
        return self.first

    def transcribe(self, utterance: Utterance, bias: Bias = ()) -> Transcript:
        self.told += [bias]
        self.asked.append("transcribe")
        return self.second

    def words(self, utterance: Utterance, transcript: Transcript) -> tuple[Word, ...]:
        self.asked.append(f"words of {transcript.text}")
        return (WORD,)

    def speaking(self, language: str) -> TwoLooks:
        return self

    def close(self) -> None: ...


def looks(*, text: str, is_draft: bool, better: str = "go left") -> TwoLooks:
    return TwoLooks(
        first=Transcript(text=text, is_draft=is_draft), second=Transcript(text=better)
    )


@pytest.mark.parametrize(
    ("is_draft", "settles", "expected"),
    [
        (False, False, "go lift"),
        (False, True, "go lift"),
        (True, True, "go lift"),
        (True, False, "go left"),
    ],
)
def test_a_better_look_is_for_what_is_unsure_and_settles_nothing(
    is_draft: bool, settles: bool, expected: str
) -> None:
    recogniser: Recogniser = looks(text="go lift", is_draft=is_draft)
    seen: list[str] = []

    def told(draft: Transcript) -> bool:
        seen.append(draft.text)
        return settles

    transcript = recognise(recogniser, UTTERANCE, settles=told)

    assert transcript.text == expected
    assert transcript.words == ()  # they are asked for by themselves
    assert set(seen) <= {"go lift"}


def test_a_sure_draft_costs_one_look() -> None:
    recogniser = looks(text="go left", is_draft=False)

    recognise(recogniser, UTTERANCE, settles=lambda _: False)

    assert recogniser.asked == ["draft"]


def test_both_looks_are_told_what_is_likely_to_be_said() -> None:
    recogniser = looks(text="go lift", is_draft=True)

    recognise(recogniser, UTTERANCE, ("the lift",), settles=lambda _: False)

    assert recogniser.asked == ["draft", "transcribe"]
    assert recogniser.told == [("the lift",), ("the lift",)]


def test_no_words_have_no_times() -> None:
    recogniser = looks(text="", is_draft=True, better="")

    assert recognise(recogniser, UTTERANCE, settles=lambda _: False).words == ()
    assert recogniser.asked == ["draft", "transcribe"]


def test_words_are_timed_once() -> None:
    recogniser = looks(text="go", is_draft=False)

    once = with_words(recogniser, UTTERANCE, Transcript(text="go"))
    twice = with_words(recogniser, UTTERANCE, once)

    assert once == twice == Transcript(text="go", words=(WORD,))
    assert recogniser.asked == ["words of go"]


def test_a_repetition_that_was_cut_short_is_one() -> None:
    said = "a single shot a single shot a single shot a single"

    assert is_loop(said)
    assert unlooped(said) == "a single shot"
