"""How words sound: listed, guessed from letters or put together; and what is alike."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.phonetics import mandarin
from edge.phonetics.costs import EditCosts, english_costs, load_costs, save_costs
from edge.phonetics.dictionary import Dictionary
from edge.phonetics.letters import pronounced
from edge.phonetics.mandarin import mandarin_costs
from edge.phonetics.sounds import Form, Sounds
from models.errors import ModelError
from models.pack import PackModels
from models.store import State, Store

LISTED = """\
'bout B AW T
a AH
a(2) EY
boat B OW T
boathouse B OW T HH AW S
boathouses B OW T HH AW S IH Z
captain K AE P T AH N
captain's K AE P T AH N Z
captain(2) K AE P T IH N
captains K AE P T AH N Z
house HH AW S
light L AY T
lighthouse L AY T HH AW S
zoo Z UW
"""


def dictionary(folder: Path, text: str | bytes) -> Dictionary:
    path = folder / "words.dict"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Dictionary(path)


def said(found: Dictionary, word: str) -> list[str]:
    return [" ".join(sounds) for sounds in found.pronunciations(word)]


def distance(sounds: Sounds, one: str, other: str) -> float:
    """Returns the weighted edit distance of two words, per sound of the longer one."""
    meant, heard = sounds.of(one)[0], sounds.of(other)[0]
    costs = sounds.costs
    row = [0.0, *itertools.accumulate(costs.insert[heard].tolist())]
    for symbol in meant:
        after = [row[0] + float(costs.delete[symbol])]
        for at, sound in enumerate(heard, 1):
            least = min(
                row[at - 1] + costs.substitute[symbol, sound],
                row[at] + costs.delete[symbol],
                after[-1] + costs.insert[sound],
            )
            after.append(float(least))
        row = after
    return float(row[-1]) / max(len(meant), len(heard))


# Dictionary -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("boat", ["B OW T"]),
        ("captain", ["K AE P T AH N", "K AE P T IH N"]),
        ("captains", ["K AE P T AH N Z"]),  # the first eight letters are the same
        ("captain's", ["K AE P T AH N Z"]),
        ("boathouse", ["B OW T HH AW S"]),
        ("boathouses", ["B OW T HH AW S IH Z"]),
        ("a", ["AH", "EY"]),
        ("'bout", ["B AW T"]),  # the first line
        ("zoo", ["Z UW"]),  # the last one
        ("boath", []),
        ("bo", []),
        ("boathousess", []),
        ("zoos", []),
        ("", []),
        (" ", []),
        ("\u0431\u043e\u0442", []),
        ("\u65e5\u672c", []),
        ("bo\u00e4t", []),
        ("\U0001f6a4", []),
    ],
)
def test_a_word_is_looked_up(tmp_path: Path, word: str, sounds: list[str]) -> None:
    assert said(dictionary(tmp_path, LISTED), word) == sounds


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("last", ["zoo Z UW", "x EH K S", "an AE N", "boathouses B OW"])
def test_the_last_line_counts_however_it_ends(
    tmp_path: Path, last: str, end: str
) -> None:
    word, _, sounds = last.partition(" ")

    found = dictionary(tmp_path, f"ab AE B\nboat B OW T\n{last}{end}")

    assert said(found, word) == [sounds]
    assert said(found, "boat") == ["B OW T"]


@pytest.mark.parametrize("text", ["a AH\n", "a AH", "an AE N\n", "boat B OW T"])
def test_a_file_may_hold_one_word(tmp_path: Path, text: str) -> None:
    word, _, sounds = text.strip().partition(" ")

    found = dictionary(tmp_path, text)

    assert said(found, word) == [sounds]
    assert said(found, "other") == []


def test_lines_may_be_in_any_order_and_in_any_script(tmp_path: Path) -> None:
    text = "zoo Z UW\ncaf\u00e9 K AE F EY\nboat B OW T\n".encode("latin-1")
    found = dictionary(tmp_path, text)

    assert said(found, "caf\u00e9") == ["K AE F EY"]
    assert said(found, "boat") == ["B OW T"]
    assert said(found, "caf") == []


def test_only_so_many_ways_to_say_a_word_count(tmp_path: Path) -> None:
    ways = [f"tomato({n}) T{n}" for n in range(2, 9)]
    found = dictionary(tmp_path, "\n".join(["tomato T1", *ways, "zoo Z UW", ""]))

    assert said(found, "tomato") == ["T1", "T2", "T3", "T4"]


@pytest.mark.parametrize("what", ["missing", "folder", "empty"])
def test_what_cannot_be_read_is_told(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    if what == "empty":
        path.touch()

    with pytest.raises(ModelError) as error:
        Dictionary(path)

    assert error.value.code == "pronunciations"
    assert str(path) in error.value.message
    assert error.value.hint


WORDS = st.text(alphabet="abcz'", min_size=1, max_size=12)


@given(st.dictionaries(WORDS, st.sampled_from(["AH", "B OW T"]), min_size=1))
def test_every_listed_word_is_found_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, listed: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("dictionary")
    lines = [f"{word} {sounds}\n" for word, sounds in listed.items()]
    found = dictionary(folder, "".join([*lines, "zzzzzzzz Z\n"]))

    assert {word: said(found, word) for word in listed} == {
        word: [sounds] for word, sounds in listed.items()
    }
    for word in listed:
        for other in (word[:-1], f"{word}b"):
            assert said(found, other) == ([listed[other]] if other in listed else [])


# Letters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("zorbulax", "zorbulacks"),
        ("kraken", "craken"),
        ("aelar", "aylar"),
        ("phinneas", "finneas"),
        ("quorra", "kworra"),
        ("xenia", "zenia"),
        ("thorn", "thorne"),
        ("brynn", "brinn"),
        ("skye", "sky"),
        ("elsa", "ellsa"),
    ],
)
def test_two_spellings_of_a_name_sound_near(one: str, other: str) -> None:
    sounds = Sounds()

    assert distance(sounds, one, other) < 0.2
    assert distance(sounds, one, "marmalade") > 0.4


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("ship", "SH IH P"),
        ("make", "M EY K"),
        ("night", "N AY T"),
        ("city", "S IH T IY"),
        ("gnome", "N OW M"),
        ("nation", "N AE SH AH N"),
        ("b", "B"),
    ],
)
def test_letters_are_said_as_english_is(word: str, sounds: str) -> None:
    assert " ".join(pronounced(word)) == sounds


@given(st.text(max_size=30))
def test_any_text_has_sounds_of_the_table_or_none(text: str) -> None:
    symbols = set(english_costs().symbols)

    assert set(pronounced(text)) <= symbols
    if any(letter in "bdfklmnprstvz" for letter in text):
        assert pronounced(text)


@given(st.text(max_size=12))
def test_every_word_has_numbers_within_the_table(word: str) -> None:
    sounds = Sounds()

    for form in sounds.of(word):
        assert len(form)
        assert form.min() >= 0
        assert form.max() < len(sounds.costs.symbols)


# Words ------------------------------------------------------------------------------


@pytest.fixture
def sounds(tmp_path: Path) -> Sounds:
    (tmp_path / "words.dict").write_text(LISTED, encoding="utf-8")
    return Sounds(tmp_path / "words.dict")


def spelled(sounds: Sounds, form: Form) -> str:
    return " ".join(sounds.costs.symbols[n] for n in form)


def test_listed_words_come_before_spelling(sounds: Sounds) -> None:
    assert [spelled(sounds, form) for form in sounds.of("captain")] == [
        "K AE P T AH N",
        "K AE P T IH N",
    ]
    assert [spelled(sounds, form) for form in sounds.of("zoot")] == ["Z UW T"]


def test_a_compound_is_said_as_its_parts(sounds: Sounds) -> None:
    (form,) = sounds.of("houseboat")
    assert spelled(sounds, form) == "HH AW S B OW T"
    # Not as two parts of which one is a letter or two.
    assert [spelled(sounds, one) for one in sounds.of("boata")] == [
        " ".join(pronounced("boata"))
    ]


def test_the_same_word_is_looked_up_once(sounds: Sounds) -> None:
    assert sounds.of("boat") is sounds.of("boat")


@pytest.mark.parametrize("word", ["", "'", "\u0431\u043e\u0442", "123"])
def test_a_word_that_cannot_be_said_has_no_sounds(sounds: Sounds, word: str) -> None:
    assert sounds.of(word) == ()


@pytest.mark.models
def test_the_dictionary_of_the_store_is_read() -> None:
    store, name = Store.default(), PackModels().pronunciations
    if store.state(name) is not State.READY:
        from models.fetch import fetch

        fetch(store, name)
    (path,) = store.path(name).glob("*.dict")
    found = Dictionary(path)

    assert said(found, "read") == ["R EH D", "R IY D"]
    assert said(found, "'bout") == ["B AW T"]
    assert said(found, "zywicki") == ["Z IH W IH K IY"]
    assert said(found, "catastrophe")
    assert said(found, "qwertzuiop") == []
    symbols = set(english_costs().symbols)
    for word in ("the", "lighthouse", "ounce", "mocha", "anticlockwise"):
        assert {s for way in found.pronunciations(word) for s in way} <= symbols


# Costs ------------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [english_costs(), mandarin_costs(), Sounds().costs])
def test_costs_are_on_one_scale(costs: EditCosts) -> None:
    n = len(costs.symbols)
    assert costs.substitute.shape == (n, n)
    assert len(set(costs.symbols)) == n
    assert np.diag(costs.substitute).tolist() == [0.0] * n
    off = costs.substitute[~np.eye(n, dtype=bool)]
    assert off.min() > 0
    assert off.max() <= 2
    assert np.abs(costs.substitute - costs.substitute.T).max() <= 0.5
    for changes in (costs.delete, costs.insert):
        assert changes.shape == (n,)
        assert changes.min() > 0.2
        assert changes.max() <= 2


def cost(costs: EditCosts, one: str, other: str) -> float:
    return float(costs.substitute[costs.symbols.index(one), costs.symbols.index(other)])


@pytest.mark.parametrize(
    "pair", ["T D", "P B", "K G", "S Z", "M N", "IY IH", "AA AO", "S SH", "F TH"]
)
def test_sounds_that_are_confused_cost_less(pair: str) -> None:
    one, other = pair.split()
    costs = english_costs()

    vowels = ("IY", "AA") if one[0] in "AEIOU" else ("K", "M")
    assert cost(costs, one, other) < 0.5 < cost(costs, *vowels)
    assert cost(costs, one, other) < cost(costs, one, "W")


@pytest.mark.parametrize(
    "pair", ["z zh", "n l", "in ing", "an ang", "o uo", "i \u00fc"]
)
def test_sounds_of_mandarin_that_are_confused_cost_less(pair: str) -> None:
    one, other = pair.split()
    costs = mandarin_costs()

    assert cost(costs, one, other) < 0.5
    assert cost(costs, "b", "x") == cost(costs, "a", "iong") == 1
    assert cost(costs, "b", "a") == 2


def test_languages_have_no_sound_in_common() -> None:
    english, chinese = english_costs(), mandarin_costs()
    both = Sounds(language="zh").costs
    n = len(english.symbols)

    assert not set(english.symbols) & set(chinese.symbols)
    assert set(mandarin.INITIALS).isdisjoint(mandarin.FINALS)
    assert both.symbols == english.symbols + chinese.symbols
    assert (both.substitute[:n, n:] == 2).all()
    assert (both.substitute[n:, :n] == 2).all()
    assert (both.substitute[:n, :n] == english.substitute).all()


def test_costs_are_read_as_they_were_written(tmp_path: Path) -> None:
    save_costs(tmp_path / "costs.json", english_costs(), "a test")
    read = load_costs(tmp_path / "costs.json")

    assert read.symbols == english_costs().symbols
    for one, other in (
        (read.substitute, english_costs().substitute),
        (read.delete, english_costs().delete),
        (read.insert, english_costs().insert),
    ):
        assert np.abs(one - other).max() <= 0.005 + 1e-6
