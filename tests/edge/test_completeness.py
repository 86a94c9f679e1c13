"""Whether more is to be expected of the player: a longer command is never cut off."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.grammar import (
    AFTER,
    Completeness,
    completeness,
    match,
    sentences_of,
    tokens_of,
)
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.normalise import words_of
from edge.slot_values import AnyWords, Numbers, Phrases, SlotWords
from models.pack import RangeList
from models.pack_file import load_pack, pack_names
from models.template import SlotRef
from models.units import UNITS
from tests.edge.test_grammar_samples import Sampler, lexicon_of

OPEN, COMPLETE, CLOSED = Completeness


class Speaker(Sampler):
    """Says numbers in all the ways in which people do."""

    def _fill(self, node: SlotRef) -> str:
        declared = self.pack.lists[node.list_name]
        if not isinstance(declared, RangeList):
            return super()._fill(node)
        number = self.choose.randint(int(declared.low) + 1, int(declared.high))
        spoken = [str(number)]
        if declared.unit:
            spoken += [f"{number}.5", f"{number} and a half", "half a", "a couple of"]
        unit = self.choose.choice(UNITS[declared.unit].words) if declared.unit else ""
        return f"{self.choose.choice(spoken)} {unit}"


@pytest.mark.parametrize("name", pack_names())
@given(choose=st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_no_beginning_of_a_longer_command_is_closed(
    name: str, choose: random.Random
) -> None:
    lexicon = lexicon_of(name)
    speaker = Speaker(lexicon.pack, choose)
    intent = choose.choice(lexicon.intents)
    words = words_of(speaker.say(choose.choice(intent.say).tree))
    if match(lexicon, " ".join(words)) is None:
        return  # a number beyond its bounds, as 100 and a half

    for n in range(len(words)):
        begun = " ".join(words[:n])
        assert completeness(lexicon, begun) is not CLOSED, (begun, words[n:])


@pytest.mark.parametrize("name", pack_names())
@given(choose=st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_what_is_understood_is_not_open_and_the_rest_is(
    name: str, choose: random.Random
) -> None:
    lexicon = lexicon_of(name)
    speaker = Speaker(lexicon.pack, choose)
    text = speaker.say(choose.choice(choose.choice(lexicon.intents).say).tree)
    words = text.split()[: choose.randint(1, 12)]

    for said in (text, " ".join(words), f"please {text}"):
        is_open = completeness(lexicon, said) is OPEN
        found = sentences_of(lexicon, said, tokens_of(lexicon, said))
        assert is_open == (not found), said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", OPEN),
        ("go", OPEN),
        ("the weather today", OPEN),
        ("walk forward", COMPLETE),
        ("walk forward ten", OPEN),
        ("walk forward ten metres", CLOSED),
        ("Walk forward, 10 metres.", CLOSED),
        ("please walk forward ten metres", CLOSED),
        ("walk ten metres", COMPLETE),
        ("take a step back", CLOSED),
        ("turn left", COMPLETE),
        ("turn left ninety degrees", CLOSED),
    ],
)
def test_what_of_the_island_is_a_whole_command(
    text: str, expected: Completeness
) -> None:
    assert completeness(lexicon_of("explorer"), text) is expected


def test_politeness_after_a_command_is_not_waited_for() -> None:
    lexicon = lexicon_of("explorer")

    for phrase in AFTER:
        assert match(lexicon, f"take a step back {phrase}") is not None
    assert completeness(lexicon, "take a step back") is CLOSED


PACK = """
format = 1
name = "harbour"
[character.Mara]
persona = "Harbour pilot."
[lists]
metres = { range = [-5, 50], unit = "m" }
count = { range = [0, 200] }
below = { range = [-200, 200] }
words = { type = "text" }
boat = { values = ["red boat", "red boat of tom", "blue"] }
thing = { from_scene = { tag = "thing" } }
[intents.a]
say = ["go {metres}"]
[intents.b]
say = ["buy {count}"]
[intents.b2]
say = ["count {below}"]
[intents.c]
say = ["write {words}"]
[intents.d]
say = ["take (it|the) {boat}"]
[intents.e]
say = ["hold {thing}"]
[intents.f]
say = ["stop", "stop there", "wind it up"]
[intents.g]
say = ["paint it (red; [very] loud)"]
[intents.h]
say = ["turn the light[s] on", "wind [it] up a bit"]
"""


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    folder: Path = tmp_path_factory.mktemp("pack")
    (folder / "pack.toml").write_text(PACK)
    pack = load_pack(folder)
    return build_lexicon(pack, default_scene(pack))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go ten metres", CLOSED),
        ("go minus two metres", CLOSED),
        ("count minus two", COMPLETE),
        ("count minus", OPEN),
        ("buy two", COMPLETE),
        ("buy twenty", COMPLETE),
        ("buy twenty two", COMPLETE),
        ("buy zero", COMPLETE),
        ("write hello", COMPLETE),
        ("write hello to all of you", COMPLETE),
        ("take it red", OPEN),
        ("take it red boat", COMPLETE),
        ("take it red boat of tom", CLOSED),
        ("take it blue", CLOSED),
        ("hold", OPEN),
        ("stop", COMPLETE),
        ("stop there", CLOSED),
        ("wind it up", COMPLETE),
        ("wind up a bit", CLOSED),
        ("paint it red", OPEN),
        ("paint it red loud", CLOSED),
        ("paint it red very", OPEN),
        ("paint it loud red", CLOSED),
        ("turn the light", OPEN),
        ("turn the lights on", CLOSED),
        ("Mara, stop there", CLOSED),
        ("stop there, Mara", CLOSED),
    ],
)
def test_each_kind_of_word_says_whether_more_may_come(
    lexicon: Lexicon, text: str, expected: Completeness
) -> None:
    assert completeness(lexicon, text) is expected


NUMBERS = {
    name: Numbers.build(RangeList(name=name, line=1, low=-10, high=500, unit=unit))
    for name, unit in (("bare", ""), ("metres", "m"))
}


@given(
    name=st.sampled_from(sorted(NUMBERS)),
    whole=st.integers(0, 400),
    ending=st.sampled_from(["", ".5", " and a half", " point two five"]),
    sign=st.sampled_from(["", "minus "]),
)
def test_the_beginning_of_a_number_goes_on(
    name: str, whole: int, ending: str, sign: str
) -> None:
    numbers = NUMBERS[name]
    unit = " metres" if name == "metres" else ""
    words = words_of(f"{sign}{whole}{ending}{unit}")
    if not any(end == len(words) for end, _ in numbers.endings(words, 0)):
        return  # out of bounds

    for n in range(1, len(words)):
        whole_already = any(end == n for end, _ in numbers.endings(words[:n], 0))
        assert numbers.goes_on(words[:n], 0) or not whole_already, words[:n]


phrases = st.lists(st.sampled_from(["red", "boat", "of", "tom"]), min_size=1).map(
    " ".join
)


@given(st.lists(phrases, min_size=1, max_size=8))
def test_the_beginning_of_a_phrase_goes_on_and_its_end_does_not(
    spoken: list[str],
) -> None:
    found: SlotWords = Phrases.build((phrase, phrase) for phrase in spoken)

    for phrase in spoken:
        words = ("go", *words_of(phrase))
        for n in range(1, len(words) + 1):
            longer = any(
                words_of(other)[: n - 1] == words[1:n] and len(words_of(other)) > n - 1
                for other in spoken
            )
            assert found.goes_on(words[:n], 1) == longer


def test_any_words_go_on() -> None:
    assert AnyWords().goes_on(["write"], 1)
    assert AnyWords().goes_on(["write", "this"], 1)
