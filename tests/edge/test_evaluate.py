"""Word errors, counted after everything that sounds the same is spelled the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.evaluate import word_errors

speech = st.lists(st.sampled_from(["go", "up", "ten", "boat", "sea"]), max_size=12)


@pytest.mark.parametrize(
    ("said", "heard", "n_errors"),
    [
        ("go forward ten meters", "Go forward 10 metres!", 0),
        ("go forward ten meters", "go forward ten", 1),
        ("go forward ten meters", "go forward then meters", 1),
        ("go forward ten meters", "please go forward ten meters", 1),
        ("go forward ten meters", "", 4),
        ("a b c d", "b c d a", 2),
        ("", "", 0),
        ("", "hello there", 2),
    ],
)
def test_words_put_in_left_out_and_changed(
    said: str, heard: str, n_errors: int
) -> None:
    assert word_errors(said, heard).n_errors == n_errors


def test_the_rate_is_a_share_of_what_was_said() -> None:
    assert word_errors("go forward ten meters", "go back ten meters").rate == 0.25
    assert word_errors("go", "oh no not again").rate == 4
    assert word_errors("", "").rate == 0


@given(said=speech, heard=speech, other=speech)
def test_errors_are_a_distance(
    said: list[str], heard: list[str], other: list[str]
) -> None:
    def distance(a: list[str], b: list[str]) -> int:
        return word_errors(" ".join(a), " ".join(b)).n_errors

    assert (distance(said, heard) == 0) == (said == heard)
    assert distance(said, heard) == distance(heard, said)
    assert distance(said, heard) <= distance(said, other) + distance(other, heard)
    assert abs(len(said) - len(heard)) <= distance(said, heard)
    assert distance(said, heard) <= max(len(said), len(heard))
