"""WordPiece numbers are those of the library that the model was trained with."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.backends.wordpiece import MAX_WORD_CHARS, WordPieces
from models.pack import PackModels
from models.store import State, Store

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
UNKNOWN, BEGIN, END = 1, 2, 3
PIECES = WordPieces((*SPECIAL, "boat", "##s", "a", "##b", "!", "e", "[", "]", "sep"))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        (" \t\n\r\u3000", []),
        ("Boats!", [4, 5, 8]),
        ("boat\u00adS", [4, 5]),
        ("abb", [6, 7, 7]),
        ("ba", [UNKNOWN]),
        ("É e\u0301", [9, 9]),
        ("\ufffd\x00a", [6]),
        ("a" + "b" * (MAX_WORD_CHARS - 1), [6] + [7] * (MAX_WORD_CHARS - 1)),
        ("a" + "b" * MAX_WORD_CHARS, [UNKNOWN]),
        # A text is never more than text.
        ("[SEP]", [10, 12, 11]),
    ],
)
def test_a_text_becomes_the_longest_pieces(text: str, numbers: list[int]) -> None:
    assert PIECES.encode(text, max_pieces=200) == [BEGIN, *numbers, END]


@given(st.text(), st.integers(2, 20))
def test_any_text_keeps_to_the_limit(text: str, max_pieces: int) -> None:
    numbers = PIECES.encode(text, max_pieces=max_pieces)

    assert len(numbers) <= max_pieces
    assert (numbers[0], numbers[-1]) == (BEGIN, END)
    assert not {BEGIN, END} & set(numbers[1:-1])


def test_a_vocabulary_without_the_special_pieces_is_none() -> None:
    with pytest.raises(KeyError):
        WordPieces(("boat", "[CLS]"))


@pytest.fixture(scope="module")
def vocabulary() -> Path:
    name = PackModels().encoder
    store = Store.default()
    if store.state(name) is not State.READY:
        from models.fetch import fetch

        fetch(store, name)
    return store.path(name) / "vocab.txt"


@pytest.fixture(scope="module")
def pieces(vocabulary: Path) -> WordPieces:
    return WordPieces.load(vocabulary)


@pytest.fixture(scope="module")
def reference(vocabulary: Path) -> Any:
    from tokenizers import Tokenizer

    numbers = {
        piece: number
        for number, piece in enumerate(
            vocabulary.read_text(encoding="utf-8").splitlines()
        )
    }
    about = {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": MAX_WORD_CHARS,
            "vocab": numbers,
        },
    }
    return Tokenizer.from_str(json.dumps(about))


def characters() -> st.SearchStrategy[str]:
    """Returns characters whose kind the library's older tables know.

    Marks and punctuation of newer versions of Unicode are letters to it.
    """
    return st.one_of(
        st.characters(max_codepoint=0x07FC, exclude_categories=("Cs", "Cn")).filter(
            lambda c: unicodedata.category(c) != "Po" or ord(c) < 0x600
        ),
        st.sampled_from(
            "\u00a0\u200b\u2028\u3000\ufeff\ufffd\U0001f600中日本가なガΣςİßﬁ\u212a\u2019\u2018\u2013…"
        ),
    )


WORDS = st.sampled_from(
    ["lighthouse", "telescopes", "Sea Biscuit", "unbelievably", "don't", "x" * 101]
)


@pytest.mark.models
@example("[CLS] [MASK]")
@example("ΟΔΥΣΣΕΎΣ")
@given(
    st.lists(st.text(characters()) | WORDS | st.text("ab '-é\t.", max_size=12)).map(
        " ".join
    )
)
@settings(max_examples=2_000, deadline=None)
def test_the_numbers_are_those_of_the_library(
    pieces: WordPieces, reference: Any, text: str
) -> None:
    expected = reference.encode(text).ids

    assert pieces.encode(text, max_pieces=len(expected) + 2)[1:-1] == expected
