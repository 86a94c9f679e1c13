"""Words are compared as people hear them, not as recognisers spell them."""

from __future__ import annotations

import pytest

from quantize.asr.words import align, has_loop, normalised


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Five five", "5, 5."),
        ("a twelve-ounce mocha", "A 12 ounce mocha!"),
        ("twenty five metres", "25 metres"),
        ("twenty metres", "20 metres"),
        ("33-4692", "33, 4, 692"),
        ("I won\u2019t", "i won't"),
        ("Grüße", "GRÜSSE"),
    ],
)
def test_spellings_of_the_same_words(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"), [("twenty", "two"), ("skim milk", "skin milk"), ("ten", "tent")]
)
def test_other_words_stay_other(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("reference", "heard", "edits"),
    [
        ("go forward ten", "go forward ten", (0, 0, 0)),
        ("go forward ten", "go backward ten", (1, 0, 0)),
        ("go forward ten", "forward ten", (0, 1, 0)),
        ("go forward", "go on forward now", (0, 0, 2)),
        ("", "you", (0, 0, 1)),
        ("you", "", (0, 1, 0)),
        ("a b c d", "b c x d e", (0, 1, 2)),
    ],
)
def test_edits_are_told_apart(
    reference: str, heard: str, edits: tuple[int, int, int]
) -> None:
    found = align(reference.split(), heard.split())

    assert (found.n_substituted, found.n_deleted, found.n_inserted) == edits
    assert found.n_errors == sum(edits)


def test_words_that_both_hear_are_found_where_they_stand() -> None:
    found = align(list("abcd"), list("bcxde"))

    assert found.same == ((1, 0), (2, 1), (3, 3))


@pytest.mark.parametrize(
    "text",
    [
        "turn on the light turn on the light",
        "turn on the light, turn on the light, turn on",
        "Well, you you you you know",
        "go on, go on, go on, go on",
    ],
)
def test_a_loop(text: str) -> None:
    assert has_loop(text)


@pytest.mark.parametrize(
    "text",
    ["", "no no no", "10,000,000", "turn on the light and the fan", "go on go on"],
)
def test_no_loop(text: str) -> None:
    assert not has_loop(text)
