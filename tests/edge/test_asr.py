"""A decoder that repeats itself is told from people who do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.asr import is_loop

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
