"""What a decoder is told is within its budget, in its own tokens, rare words first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edge.asr import Bias
from edge.backends.whisper_bias import MAX_TOKENS, BiasTokens
from edge.backends.whisper_tokens import _byte_values, name_of, text_of, vocabulary
from edge.lexicon import build_lexicon, default_scene
from models.pack import PackModels
from models.pack_file import load_pack
from models.store import Store

BEFORE = "<|startofprev|>"
COMMON = ("the", "light", "boat", "red")


def vocabulary_of(folder: Path) -> Path:
    """Writes the tokens of a tiny model: bytes, then common words piece by piece."""
    tokens = list(_byte_values())
    for word in COMMON:
        name = name_of(f" {word}")
        tokens += [name[:n] for n in range(2, len(name) + 1)]
    tokens.append(BEFORE)
    (folder / "vocabulary.json").write_text(json.dumps(list(dict.fromkeys(tokens))))
    return folder


class Told:
    """What a model of some folder is told."""

    def __init__(self, folder: Path) -> None:
        self.names = vocabulary(folder)
        self.bias = BiasTokens(folder)

    def tokens(self, *phrases: str) -> list[str]:
        return [self.names[number] for number in self.bias.tokens(phrases)]

    def text(self, *phrases: str) -> str:
        return text_of(self.tokens(*phrases))


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(vocabulary_of(tmp_path))


def test_who_is_told_nothing_gets_no_tokens(told: Told) -> None:
    assert told.bias.tokens(()) == ()


def test_phrases_are_told_as_what_was_said_before(told: Told) -> None:
    tokens = told.tokens("the boat", "red light")

    assert tokens[0] == BEFORE
    assert told.text("the boat", "red light") == " the boat, red light."
    assert tokens[1:3] == [name_of(" the"), name_of(" boat")]


def test_words_that_were_told_are_left_out(told: Told) -> None:
    assert told.text("the boat", "boat", "The Boat") == " the boat."
    assert told.text("the boat", "the red boat") == " the boat, red."
    assert told.text("boat", "the boat light red boat") == " boat, the boat light red."


def test_all_that_fits_is_told_in_order(told: Told) -> None:
    phrases = [f"{a}{b}" for a in "abcd" for b in "xyz"]

    assert told.text(*phrases) == f" {', '.join(phrases)}."


def test_rare_words_go_first_where_there_is_no_room_for_all(told: Told) -> None:
    rare = [f"zq{n}xkvjw" for n in range(80)]
    alone, with_common = told.text(*rare), told.text(*COMMON, *rare)

    fit = [word for word in rare if f" {word}" in alone]
    assert 5 < len(fit) < len(rare)
    assert [word for word in rare if f" {word}" in with_common] == fit


def test_a_phrase_that_is_too_long_leaves_room_for_others(told: Told) -> None:
    assert told.text("x" * 500, "boat") == " boat."


PHRASES = st.lists(st.text(max_size=30), max_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary_of(tmp_path_factory.mktemp("model"))


@given(phrases=PHRASES)
def test_the_budget_is_kept_whatever_is_told(phrases: list[str], folder: Path) -> None:
    told = Told(folder)
    tokens = told.bias.tokens(tuple(phrases))

    assert len(tokens) <= MAX_TOKENS + 1
    assert tokens == BiasTokens(folder).tokens(tuple(phrases))
    assert [told.names[number] for number in tokens].count(BEFORE) == bool(tokens)
    if tokens:
        assert told.names[tokens[0]] == BEFORE
        assert told.names[tokens[-1]] == "."
        # Something is told, or nothing at all.
        assert len(tokens) > 2


@pytest.mark.parametrize("phrases", [("x" * 500,), ("",), (" ",), ("<|endoftext|>",)])
def test_what_cannot_be_told_is_not(phrases: Bias, folder: Path) -> None:
    told = Told(folder)
    tokens = told.bias.tokens(phrases)

    assert tokens == () or len(tokens) > 2
    assert "<|endoftext|>" not in [told.names[number] for number in tokens]


# With a real model ------------------------------------------------------------------


def bias_of(pack: str) -> Bias:
    loaded = load_pack(pack)
    return build_lexicon(loaded, default_scene(loaded)).bias


@pytest.mark.models
def test_words_become_the_tokens_the_model_was_trained_on(store: Store) -> None:
    folder = store.path(PackModels().asr)
    told, tokenizer = Told(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    listed = [word for name in ("barista", "explorer") for word in bias_of(name)]
    syllables = [
        a + b for a in "bdfgklmnprstvwz" for b in ("a", "ee", "ix", "ou", "yr")
    ]
    invented = [one + other for one in syllables for other in syllables]
    words = [*listed, *invented[:: len(invented) // 400]]
    assert len(words) >= 500

    for word in words:
        written = tokenizer.encode(f" {word}.", add_special_tokens=False).ids
        assert list(told.bias.tokens((word,))[1:]) == written, word


@pytest.mark.models
@pytest.mark.parametrize(
    "phrase",
    [
        "Caf\u00e9",
        "\u4f60\u597d",
        "\u0431\u043e\u0442",
        "X-42",
        "8 oz",
        "Dr. No",
        "rock & roll",
        "O'Brien",
        "captain's hat",
        "R2D2",
    ],
)
def test_odd_names_do_too(store: Store, phrase: str) -> None:
    folder = store.path(PackModels().asr)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    written = tokenizer.encode(f" {phrase}.", add_special_tokens=False).ids

    assert list(Told(folder).bias.tokens((phrase,))[1:]) == written


@pytest.mark.models
@pytest.mark.parametrize("pack", ["barista", "explorer"])
def test_a_pack_is_told_within_the_budget(store: Store, pack: str) -> None:
    told = Told(store.path(PackModels().asr))
    bias = bias_of(pack)
    tokens = told.tokens(*bias)

    assert MAX_TOKENS / 2 < len(tokens) <= MAX_TOKENS + 1
    assert told.bias.tokens(bias) == BiasTokens(store.path(PackModels().asr)).tokens(
        bias
    )
    rare = {
        "barista": ("americano", "cappuccino", "sweetener"),
        "explorer": ("dinghy",),
    }
    for word in rare[pack]:
        assert word in text_of(tokens)
