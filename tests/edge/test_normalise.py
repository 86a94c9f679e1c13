"""Everything that sounds the same is spelled the same, and keeps its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.normalise import normalise, words_of
from edge.number_words import number_at, spell

speech = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("abcst0123456789 ,.'%°-\u2019\u00bd\u00e9"),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Go forward ten metres!", "go forward 10 meters"),
        ("twenty-five", "25"),
        ("one thousand two hundred and five", "1,205"),
        ("two point five", "2.5"),
        ("two point five", "2\u00bd"),
        ("zero point two five", ".25"),
        ("eight ounce", "8oz"),
        ("eight ounce", "8-ounce"),
        ("ten metres", "10m"),
        ("five feet", "5ft"),
        ("fifty percent", "50%"),
        ("ninety degrees", "90°"),
        ("minus five", "-5"),
        ("the second one", "the 2nd 1"),
        ("I would like it", "I'd like it"),
        ("what is that", "what\u2019s that"),
        ("let us go", "Let's go"),
        ("do not, can not, will not", "don't can't won't"),
        ("you are", "you're"),
        ("going to", "gonna"),
        ("the lighthouse's door", "the lighthouses door"),
        ("gray harbor theater", "grey harbour theatre"),
        ("cafe", "caf\u00e9"),
        ("cafe", "cafe\u0301"),
        ("go", "Uh, um, go... er"),
        ("okay", "OK"),
        ("three", "\uff13"),
    ],
)
def test_what_sounds_the_same_is_spelled_the_same(one: str, other: str) -> None:
    assert words_of(one) == words_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("its", "it's"),
        ("twenty five", "twenty, five hundred"),
        ("10 in", "10in"),
        ("one", "won"),
        ("-5", "5"),
    ],
)
def test_what_sounds_different_stays_different(one: str, other: str) -> None:
    assert words_of(one) != words_of(other)


def test_every_word_knows_the_characters_it_came_from() -> None:
    text = "Go  10m, I'd say; 2nd caf\u00e9\u2026"
    found = [(token.text, text[token.start : token.end]) for token in normalise(text)]
    assert found == [
        ("go", "Go"),
        ("ten", "10"),
        ("metre", "m"),
        ("i", "I'd"),
        ("would", "I'd"),
        ("say", "say"),
        ("second", "2nd"),
        ("cafe", "caf\u00e9"),
    ]


@given(speech)
def test_places_are_within_the_text_and_in_order(text: str) -> None:
    tokens = normalise(text)
    assert all(0 <= token.start < token.end <= len(text) for token in tokens)
    starts = [token.start for token in tokens]
    assert starts == sorted(starts)
    assert all(token.text and not token.text.isspace() for token in tokens)


@given(speech, speech)
def test_every_word_is_normalised_by_itself(one: str, other: str) -> None:
    assert words_of(f"{one} {other}") == words_of(one) + words_of(other)


@pytest.mark.parametrize("letter", ["\U0001d56c", "\u01c5", "\u0130", "\ufb01"])
def test_letters_of_every_kind_become_small(letter: str) -> None:
    (word,) = words_of(letter)
    assert word == word.casefold()


@given(speech)
def test_normalising_again_changes_nothing(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words


@given(st.integers(0, 999_999_999))
def test_numbers_that_are_written_out_are_read_back(number: int) -> None:
    words = spell(str(number))
    assert number_at(words, 0) == (len(words), number)


@given(st.integers(0, 9_999), st.integers(0, 999))
def test_decimals_that_are_written_out_are_read_back(whole: int, part: int) -> None:
    written = f"{whole}.{part}"
    words = spell(written)
    assert number_at(words, 0) == (len(words), float(written))


@pytest.mark.parametrize(
    ("spoken", "value"),
    [
        ("a hundred", 100),
        ("hundred", 100),
        ("a hundred and five", 105),
        ("one hundred five", 105),
        ("fifteen hundred", 1500),
        ("a thousand and one", 1001),
        ("two and a half", 2.5),
        ("two and three quarters", 2.75),
        ("half", 0.5),
        ("a quarter", 0.25),
        ("point five", 0.5),
        ("a couple", 2),
        ("a dozen", 12),
        ("two thirds", 2 / 3),
    ],
)
def test_numbers_are_understood_as_people_say_them(spoken: str, value: float) -> None:
    words = spoken.split()
    found = number_at(words, 0)
    assert found is not None
    assert found[0] == len(words)
    assert found[1] == pytest.approx(value)


@pytest.mark.parametrize("spoken", ["and a half", "a metre", "third", "point", "a", ""])
def test_other_words_are_no_numbers(spoken: str) -> None:
    assert number_at(spoken.split(), 0) is None


def test_a_number_ends_where_the_next_begins() -> None:
    assert number_at(words_of("twenty five six"), 0) == (2, 25)
    assert number_at(words_of("five and six"), 0) == (1, 5)
    assert number_at(words_of("two and"), 0) == (1, 2)
