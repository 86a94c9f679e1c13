"""What was heard is aligned to what can be said at the least cost, and soon."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.alignment import MAX_SOUNDS, Alignment, HeardAs, align
from edge.phonetics.sounds import Sounds
from edge.slot_values import AnyWords, Phrases, SlotWords
from edge.sound_graph import SoundGraph, SoundGraphs, Vocabulary
from edge.sound_windows import Hypothesis
from edge.template_graph import build_graph
from models.pack import Template
from models.template import parse_template

SOUNDS = Sounds()
SUBSTITUTE: list[list[float]] = SOUNDS.costs.substitute.tolist()
DELETE: list[float] = SOUNDS.costs.delete.tolist()
INSERT: list[float] = SOUNDS.costs.insert.tolist()
WORDS = ("paint", "boat", "goat", "red", "green", "lantern", "stop", "to", "left")
FREE_COST = 0.02
LIMIT = 0.6
HEADROOM = 1.5
"""Cost of a sentence up to which no way to it is given up."""
NEAR = 0.4
"""Cost per sound of a word up to which it is never overlooked."""
LISTS: Mapping[str, SlotWords] = {
    "words": AnyWords(),
    "colour": Phrases.build([("red", "red"), ("light green", "green")]),
}


def graph_of(
    sentences: dict[str, list[str]],
    never: Sequence[str] = (),
    lists: Mapping[str, SlotWords] = LISTS,
) -> SoundGraph:
    """Returns the graph of sentences, by intent."""
    pairs = [(name, text) for name, said in sentences.items() for text in said]
    templates = [
        Template(text=text, line=1, tree=parse_template(text)) for _, text in pairs
    ]
    return SoundGraphs(Vocabulary(SOUNDS)).build(
        build_graph(templates, rules={}, file="test"),
        [name for name, _ in pairs],
        lists,
        [tuple(said.split()) for said in never],
    )


def spelled(text: str) -> list[int]:
    return [int(n) for word in text.split() for n in SOUNDS.of(word)[0]]


def heard(text: str, penalty: float = 0.0) -> Hypothesis:
    lengths = [len(spelled(word)) for word in text.split()]
    return Hypothesis(
        sounds=np.array(spelled(text), np.int16),
        starts=tuple(itertools.accumulate(lengths, initial=0)),
        penalty=penalty,
    )


def nearest(graph: SoundGraph, *texts: str, limit: float = LIMIT) -> list[Alignment]:
    return align(graph, [heard(text) for text in texts], limit=limit, n_best=20)


def said(alignment: Alignment) -> str:
    return " ".join(word.word or "*" for word in alignment.words)


# The same, slowly -------------------------------------------------------------------


@dataclass(frozen=True)
class Slow:
    """The least cost of a sentence, and what each of its words covers."""

    cost: float
    spans: tuple[tuple[int, int], ...]


def edits(
    meant: Sequence[int], sounds: Sequence[int], band: float = math.inf
) -> list[float]:
    """Returns the weighted edit distance to the first n sounds, for all n.

    With a band, no sound is compared with one that is farther from its place.
    """
    row = [0.0]
    for sound in sounds:
        row.append(row[-1] + INSERT[sound] if len(row) <= band else math.inf)
    for i, symbol in enumerate(meant, 1):
        after = [row[0] + DELETE[symbol] if i <= band else math.inf]
        for j, sound in enumerate(sounds, 1):
            least = min(
                row[j - 1] + SUBSTITUTE[symbol][sound],
                row[j] + DELETE[symbol],
                after[j - 1] + INSERT[sound],
            )
            after.append(least if abs(i - j) <= band else math.inf)
        row = after
    return row


def slowly(sentence: Sequence[str], one: Hypothesis) -> Slow:
    """Returns the best way to hear a sentence, by trying all stretches of all words.

    A ``*`` is one or more whole words.
    """
    sounds = one.sounds.tolist()
    ends = [one.starts[word] for word in one.ends] or [len(sounds)]

    @functools.cache
    def rest(at: int, n: int) -> Slow:
        ways: list[Slow] = []
        if n == len(sentence):
            ways = [Slow(0.0, ())] if at in ends else []
        elif sentence[n] == "*":
            bounds = one.starts if at in one.starts else ()
            for end in (bound for bound in bounds if bound > at):
                after = rest(end, n + 1)
                cost = FREE_COST * (end - at) + after.cost
                ways.append(Slow(cost, ((at, end), *after.spans)))
        else:
            for end, cost in enumerate(edits(spelled(sentence[n]), sounds[at:]), at):
                after = rest(end, n + 1)
                ways.append(Slow(cost + after.cost, ((at, end), *after.spans)))
        if at < len(sounds):  # or the next sound is too much
            after = rest(at + 1, n)
            ways.append(Slow(INSERT[sounds[at]] + after.cost, after.spans))
        return min(ways, key=lambda way: way.cost, default=Slow(math.inf, ()))

    begins = [rest(one.starts[word], 0) for word in one.begins]
    return min(begins, key=lambda way: way.cost)


def is_clear(sentence: Sequence[str], way: Slow, one: Hypothesis) -> bool:
    """Returns whether each word was heard well enough not to be overlooked."""
    if way.cost > HEADROOM:
        return False
    for word, (start, end) in zip(sentence, way.spans, strict=True):
        if word != "*":
            meant, sounds = spelled(word), one.sounds[start:end].tolist()
            close = edits(meant, sounds, band=1)[-1]
            if close > min(NEAR * len(meant), edits(meant, sounds)[-1] + 1e-6):
                return False
    return True


def cost_of(alignment: Alignment, one: Hypothesis) -> float:
    """Returns what the words of an alignment cost where they are said to be heard."""
    sounds = one.sounds.tolist()
    inserted: list[float] = [0.0, *itertools.accumulate(INSERT[s] for s in sounds)]
    ends = [one.starts[word] for word in one.ends] or [len(sounds)]
    first = alignment.words[0].start
    last = alignment.words[-1].end
    cost: float = min(
        inserted[first] - inserted[one.starts[word]]
        for word in one.begins
        if one.starts[word] <= first
    )
    cost += min(inserted[end] - inserted[last] for end in ends if end >= last)
    for before, after in itertools.pairwise(alignment.words):
        cost += inserted[after.start] - inserted[before.end]
    for word in alignment.words:
        if word.word:
            cost += edits(spelled(word.word), sounds[word.start : word.end])[-1]
        else:
            cost += FREE_COST * (word.end - word.start)
    return cost


def check_in_order(words: Sequence[HeardAs], n_sounds: int) -> None:
    at = 0
    for word in words:
        assert at <= word.start <= word.end <= n_sounds
        at = word.end


def check_against_slow(sentences: dict[str, list[str]], one: Hypothesis) -> None:
    found = align(graph_of(written(sentences)), [one], limit=LIMIT, n_best=20)
    by_intent = {alignment.intent: alignment for alignment in found}
    assert len(by_intent) == len(found)
    for alignment in found:
        check_in_order(alignment.words, len(one.sounds))
        assert alignment.cost == pytest.approx(cost_of(alignment, one), abs=5e-3)
        assert said(alignment) in sentences[alignment.intent]
    for intent, texts in sentences.items():
        ways = [(slowly(tuple(text.split()), one), text.split()) for text in texts]
        best, sentence = min(ways, key=lambda way: way[0].cost)
        if intent in by_intent:
            assert by_intent[intent].cost >= best.cost - 1e-3
        ends = [one.starts[word] for word in one.ends] or [len(one.sounds)]
        if is_clear(sentence, best, one) and best.cost / min(ends) <= LIMIT / 2:
            assert by_intent[intent].cost == pytest.approx(best.cost, abs=1e-3)


def written(sentences: dict[str, list[str]]) -> dict[str, list[str]]:
    """Returns sentences as templates write them."""
    return {
        intent: [text.replace("*", "{words}") for text in texts]
        for intent, texts in sentences.items()
    }


# Agreement --------------------------------------------------------------------------

a_sentence = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
some_sentences = st.dictionaries(
    st.sampled_from(["one", "two", "three"]),
    st.lists(a_sentence, min_size=1, max_size=3, unique=True),
    min_size=1,
)


@st.composite
def misheard(draw: st.DrawFn, sentences: list[str]) -> Hypothesis:
    """A sentence some of whose sounds are others, lost, or new."""
    words = draw(st.sampled_from(sentences)).split()
    starts, sounds = [0], list[int]()
    for word in words:
        said = spelled(word if word != "*" else draw(st.sampled_from(WORDS)))
        for at in draw(st.sets(st.integers(0, len(said) - 1), max_size=1)):
            change = draw(st.sampled_from(["replace", "remove", "insert"]))
            other = draw(st.integers(0, 38))
            said[at : at + 1] = {
                "replace": [other],
                "remove": [],
                "insert": [other, said[at]],
            }[change]
        sounds += said or [0]
        starts.append(len(sounds))
    n = len(words)
    begins = draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=2))
    ends = draw(st.sets(st.integers(1, n), max_size=2))
    return Hypothesis(
        sounds=np.array(sounds, np.int16),
        starts=tuple(starts),
        begins=tuple(sorted(begins)),
        ends=tuple(sorted(ends)),
    )


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_cost_is_that_of_the_edit_distance(data: st.DataObject) -> None:
    sentences = data.draw(some_sentences)
    every = [text for texts in sentences.values() for text in texts]

    check_against_slow(sentences, data.draw(misheard(every)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_cost_is_the_same_where_any_words_do(data: st.DataObject) -> None:
    sentences = {
        "call": ["paint boat *", "left * stop"],
        "say": ["* red"],
        "go": ["stop to boat"],
    }
    every = [text for texts in sentences.values() for text in texts]

    check_against_slow(sentences, data.draw(misheard(every)))


@pytest.mark.parametrize(
    ("sentence", "heard_as"),
    [
        ("paint boat red", "paint boat red"),
        ("paint boat red", "point boat red"),
        ("paint boat red", "paint the boat red"),  # a word too many
        ("paint boat red", "paint boat then red then"),
        ("paint boat red", "so paint boat red"),
        ("paint boat red", "paint boat red lanternlantern"),  # farther than a word goes
        ("paint to boat red", "paint boat red"),  # a short word was lost
        ("lantern lantern", "lanternlantern"),
        ("go go stop", "gogo stop"),
    ],
)
def test_words_too_many_and_too_few_have_their_cost(
    sentence: str, heard_as: str
) -> None:
    one = heard(heard_as)
    found = align(graph_of({"it": [sentence]}), [one], limit=5.0, n_best=5)

    (alignment,) = found
    check_in_order(alignment.words, len(one.sounds))
    assert said(alignment) == sentence
    slow = slowly(sentence.split(), one)
    assert alignment.cost == pytest.approx(slow.cost, abs=1e-3)
    assert alignment.cost == pytest.approx(cost_of(alignment, one), abs=1e-3)


# What a caller sees -----------------------------------------------------------------


def test_exact_words_cost_nothing() -> None:
    graph = graph_of({"paint": ["paint [the] boat {colour}"]})

    (found,) = nearest(graph, "paint the boat light green")

    assert (found.intent, found.cost, found.per_sound) == ("paint", 0, 0)
    assert said(found) == "paint the boat light green"
    starts = heard("paint the boat light green").starts
    # The words of a phrase share what was heard of it.
    assert [word.start for word in found.words] == [*starts[:3], starts[3], starts[3]]
    assert [word.end for word in found.words] == [*starts[1:4], starts[5], starts[5]]


def test_the_nearer_sentence_comes_first() -> None:
    graph = graph_of({"far": ["paint goat green"], "near": ["paint boat red"]})

    found = nearest(graph, "paint bote red")

    assert found[0].intent == "near"
    assert [one.per_sound for one in found] == sorted(one.per_sound for one in found)


def test_no_more_are_returned_than_asked_for() -> None:
    graph = graph_of({"a": ["paint boat"], "b": ["paint goat"], "c": ["paint coat"]})
    hypotheses = [heard("paint boat")]

    (found,) = align(graph, hypotheses, limit=LIMIT, n_best=1)

    assert found.intent == "a"


def test_a_sentence_of_its_own_words_goes_before_any_words() -> None:
    graph = graph_of({"free": ["paint {words}"], "own": ["paint boat red"]})

    first, second = nearest(graph, "paint boat red")

    assert (first.intent, second.intent) == ("own", "free")
    assert said(second) == "paint *"


def test_any_words_hold_whole_words_and_at_least_one() -> None:
    graph = graph_of({"call": ["paint {words} left"]})
    one = heard("paint salty pepper left")

    (found,) = nearest(graph, "paint salty pepper left")

    free = found.words[1]
    assert (free.word, free.start, free.end) == ("", one.starts[1], one.starts[3])
    # The sounds of the name are not counted: they fit whatever they are.
    assert found.per_sound == pytest.approx(0, abs=1e-6)
    assert nearest(graph, "paint left", limit=0.2) == []


def test_the_hypothesis_that_fits_wins_unless_it_is_unlikely() -> None:
    graph = graph_of({"it": ["paint boat red"]})
    likely, other = heard("point goat rid"), heard("paint boat red")
    unlikely = heard("paint boat red", penalty=0.5)

    (first, second) = align(graph, [likely, other], limit=LIMIT, n_best=5)
    assert (first.hypothesis, second.hypothesis) == (1, 0)
    assert first.per_sound == 0

    first, *_ = align(graph, [likely, unlikely], limit=LIMIT, n_best=5)
    assert first.hypothesis == 0
    (alone,) = align(graph, [unlikely], limit=LIMIT, n_best=5)
    assert alone.per_sound == pytest.approx(0.5)


def test_hypotheses_do_not_disturb_each_other() -> None:
    graph = graph_of({"it": ["paint boat red", "stop"], "two": ["lantern left"]})
    texts = ["stop", "paint the bode red", "lantern loft", "green green goat"]

    together = {
        (one.hypothesis, one.intent): (one.words, one.cost)
        for one in nearest(graph, *texts, limit=0.3)
    }
    for row, text in enumerate(texts):
        alone = {(row, one.intent): one for one in nearest(graph, text, limit=0.3)}
        assert {key for key in together if key[0] == row} == alone.keys()
        for key, found in alone.items():
            words, cost = together[key]
            assert words == found.words
            assert cost == pytest.approx(found.cost, abs=1e-3)


def test_what_must_not_be_understood_wins_where_it_is_nearer() -> None:
    graph = graph_of({"paint": ["paint boat red"]}, never=["paint goat red"])

    assert nearest(graph, "paint gote red")[0].intent == ""
    assert nearest(graph, "paint bote red")[0].intent == "paint"


def test_a_sentence_begins_and_ends_where_it_may() -> None:
    graph = graph_of({"it": ["paint boat"]})
    text = heard("hello paint boat lantern")
    free = Hypothesis(
        sounds=text.sounds, starts=text.starts, begins=(0, 1), ends=(3, 4)
    )

    (found,) = align(graph, [free], limit=LIMIT, n_best=5)
    assert found.cost == 0
    assert (found.words[0].start, found.words[-1].end) == (
        text.starts[1],
        text.starts[3],
    )
    assert align(graph, [text], limit=0.3, n_best=5) == []


@pytest.mark.parametrize("texts", [[""], ["", "paint"]])
def test_nothing_can_be_heard_and_nothing_can_be_said(texts: list[str]) -> None:
    for graph in (graph_of({}), graph_of({"it": ["paint boat red"]})):
        for found in nearest(graph, *texts, limit=0.2):
            assert found.words == ()


def test_an_empty_graph_takes_nothing() -> None:
    assert nearest(graph_of({}), "paint the boat") == []
    assert nearest(graph_of({"": []}, never=["no"]), "paint the boat") == []


def test_what_is_nothing_like_a_sentence_is_none() -> None:
    graph = graph_of({"it": ["paint boat red"]})

    assert nearest(graph, "the weather is lovely for fishing", limit=0.3) == []


def test_as_many_sounds_as_can_be_are_aligned() -> None:
    graph = graph_of({"it": ["paint boat red"], "say": ["stop {words}"]})
    long = "stop " + " ".join(["lantern"] * 100)
    cut = heard(long)
    n_words = next(n for n, at in enumerate(cut.starts) if at > MAX_SOUNDS) - 1
    one = Hypothesis(
        sounds=cut.sounds[: cut.starts[n_words]], starts=cut.starts[: n_words + 1]
    )

    found = align(graph, [one], limit=LIMIT, n_best=5)

    assert [alignment.intent for alignment in found] == ["say"]
    assert found[0].words[-1].end == len(one.sounds)


def test_the_same_is_found_every_time() -> None:
    graph = graph_of({"a": ["paint boat red"], "b": ["paint goat red"]})

    assert nearest(graph, "paint oat red") == nearest(graph, "paint oat red")


# Rivals -----------------------------------------------------------------------------


def test_a_phrase_that_sounds_almost_the_same_is_told_as_well() -> None:
    lists = {"thing": Phrases.build([("beech", "beech"), ("beach", "beach")])}
    graph = graph_of({"paint": ["paint {thing} red"]}, lists=lists)

    found = nearest(graph, "paint beech red")

    assert [said(one) for one in found] == ["paint beech red", "paint beach red"]
    one = heard("paint beech red")
    for alignment in found:
        check_in_order(alignment.words, len(one.sounds))
        assert alignment.cost == pytest.approx(cost_of(alignment, one), abs=5e-3)


def test_a_phrase_that_sounds_otherwise_is_not() -> None:
    lists = {"thing": Phrases.build([("boat", "boat"), ("lantern", "lantern")])}
    graph = graph_of({"paint": ["paint {thing} red"]}, lists=lists)

    (found,) = nearest(graph, "paint boat red")

    assert said(found) == "paint boat red"


def test_what_is_far_from_the_nearest_may_be_left_out() -> None:
    graph = graph_of({"a": ["paint boat red"], "b": ["paint lantern green"]})
    one = [heard("paint boat red")]

    every = align(graph, one, limit=LIMIT, n_best=20)
    near = align(graph, one, limit=LIMIT, n_best=20, near=0.05)

    assert [found.intent for found in every] == ["a", "b"]
    assert near == every[:1]
