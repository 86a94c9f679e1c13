"""Tokens say what the library that writes them says they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from edge.backends.whisper_tokens import SpecialTokens, text_of, words_of_tokens
from models.pack import PackModels
from models.store import Store

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>"]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Returns a model's folder with a small vocabulary."""
    tokens = ["a", *SPECIAL, "<|notimestamps|>", "<|0.00|>"]
    (tmp_path / "vocabulary.json").write_text(json.dumps(tokens))
    return tmp_path


@pytest.mark.models
@pytest.mark.parametrize(
    "text",
    [
        " Go forward, ten meters.",
        " Caf\u00e9 \u4f60\u597d \U0001f600!",
        " don't\u00a0stop\n now",
        "",
    ],
)
def test_what_was_written_is_read(store: Store, text: str) -> None:
    file = store.path(PackModels().asr) / "tokenizer.json"
    written = Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False)

    assert text_of(written.tokens) == text
    assert text_of(["<|en|>", *written.tokens, "<|endoftext|>"]) == text


def test_half_a_character_is_shown_as_such() -> None:
    assert text_of(["\u00e4\u00bd"]) == "\ufffd"


def test_words_end_before_the_next_ones_space() -> None:
    tokens = ["\u0120Go", "\u0120for", "ward", ",", "\u0120\u00e4\u00bd", "\u0142", "."]

    assert list(words_of_tokens(tokens)) == [
        (" Go", 1),
        (" forward,", 3),
        (" \u4f60.", 3),
    ]
    assert list(words_of_tokens([])) == []


def test_a_model_of_many_languages_is_told_which(listed: Path) -> None:
    special = SpecialTokens(listed, "en")

    assert special.begin == [2, 3, 4]
    assert special.prompt == [2, 3, 4, 5]


def test_a_model_of_one_language_is_told_none(listed: Path) -> None:
    assert SpecialTokens(listed, None).prompt == [2, 5]


def test_a_vocabulary_may_be_a_list_of_lines(listed: Path) -> None:
    tokens = json.loads((listed / "vocabulary.json").read_text())
    (listed / "vocabulary.json").unlink()
    (listed / "vocabulary.txt").write_text("\n".join(tokens))

    assert SpecialTokens(listed, "en").prompt == [2, 3, 4, 5]


def test_a_language_it_does_not_know_is_an_error(listed: Path) -> None:
    with pytest.raises(KeyError):
        SpecialTokens(listed, "zz")
