"""The graph of sounds says what the templates say, no more and no less."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge.alignment import Alignment, align
from edge.grammar import Said, sentences_of
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.normalise import Token, words_of
from edge.phonetics.sounds import Sounds
from edge.scene import Scene, SceneObject
from edge.slot_values import Numbers, Phrases
from edge.sound_graph import FREE, LISTED, SoundGraph
from edge.sound_windows import Hypothesis
from edge.word_graph import WordGraph
from models.pack_file import load_pack

PACKS = ("barista", "explorer")
N_WALKS = 60
FREE_WORDS = ("salty", "pepper", "moonlight", "seven", "seas")
PACK = """\
format = 1
name = "test"
[character.Mara]
persona = "x"
[lists]
thing = { from_scene = { tag = "thing" } }
place = { from_scene = { tag = "place" } }
shade = { values = ["red", "dark red"] }
[intents.grab]
say = ["[please] (grab|take) [the] {thing}"]
[intents.go]
say = ["go to [the] {place}"]
[intents.paint]
say = ["paint [the] {thing} {shade}"]
"""
Dice = np.random.Generator


@cache
def lexicon_of(pack: str) -> Lexicon:
    loaded = load_pack(pack)
    scene = default_scene(loaded)
    facts = dict.fromkeys(scene.facts, True)
    return build_lexicon(loaded, replace(scene, facts=facts), sounds=Sounds())


def small(folder: Path, *objects: SceneObject) -> Lexicon:
    (folder / "pack.toml").write_text(PACK, encoding="utf-8")
    return build_lexicon(load_pack(folder), Scene(objects=objects))


def a_thing(name: str, *, tag: str = "thing") -> SceneObject:
    return SceneObject(id=name.replace(" ", "_"), name=name, tags=frozenset([tag]))


def heard(lexicon: Lexicon, words: tuple[str, ...]) -> list[Alignment]:
    forms = [lexicon.sounds.of(word)[0] for word in words]
    starts = itertools.accumulate(map(len, forms), initial=0)
    one = Hypothesis(sounds=np.concatenate(forms), starts=tuple(starts))
    return align(lexicon.sound, [one], limit=0.2, n_best=50)


def readings_of(lexicon: Lexicon, words: tuple[str, ...]) -> list[Said]:
    text = " ".join(words)
    ends = list(itertools.accumulate(len(word) + 1 for word in words))
    tokens = tuple(
        Token(text=word, start=end - len(word) - 1, end=end - 1)
        for word, end in zip(words, ends, strict=True)
    )
    return sentences_of(lexicon, text, tokens)


# What templates say, the graph says -------------------------------------------------


def walk(dice: Dice, graph: WordGraph, lexicon: Lexicon) -> tuple[int, list[str]]:
    """Returns a sentence that templates make, by chance, and its number."""
    state, words = graph.states[0], list[str]()
    while True:
        ways = len(state.words) + len(state.slots)
        if state.accepts and (not ways or dice.random() < 0.5):
            return state.accepts[0], words
        n = int(dice.integers(ways))
        if n < len(state.words):
            word = list(state.words)[n]
            words.append(word)
            target = int(dice.choice(state.words[word]))
        else:
            edge = state.slots[n - len(state.words)]
            words += phrase(dice, lexicon, edge.list_name)
            target = edge.target
        state = graph.states[target]


def phrase(dice: Dice, lexicon: Lexicon, list_name: str) -> list[str]:
    listed = lexicon.lists[list_name]
    match listed:
        case Phrases():
            return list(listed.phrases[int(dice.integers(len(listed.phrases)))])
        case Numbers():
            while True:  # until it is within the bounds
                _, words = walk(dice, listed.spoken, lexicon)
                if any(end == len(words) for end, _ in listed.endings(words, 0)):
                    return words
        case _:
            return [str(dice.choice(FREE_WORDS)) for _ in range(dice.integers(1, 4))]


def sounds_of(lexicon: Lexicon, words: Iterable[str]) -> list[int]:
    return [int(n) for word in words for n in lexicon.sounds.of(word)[0]]


@pytest.mark.parametrize("pack", PACKS)
def test_what_templates_make_costs_nothing(pack: str) -> None:
    lexicon = lexicon_of(pack)
    dice = np.random.default_rng(7)
    for _ in range(N_WALKS):
        number, said = walk(dice, lexicon.commands.graph, lexicon)
        words = tuple(said)
        intent = lexicon.commands.intents[number].name

        found = {one.intent: one for one in heard(lexicon, words)}

        assert intent in found, words
        best = found[intent]
        assert best.per_sound == pytest.approx(0, abs=1e-3), words
        meant = [word.word for word in best.words]
        if "" not in meant:  # with no free text
            # The same words, or others that sound the same.
            assert sounds_of(lexicon, meant) == sounds_of(lexicon, words)


# What the graph says, templates say -------------------------------------------------


def leaving(lexicon: Lexicon) -> Mapping[int, list[tuple[int, int]]]:
    edges: dict[int, list[tuple[int, int]]] = defaultdict(list)
    sound = lexicon.sound
    for source, word, target in zip(
        sound.sources.tolist(),
        sound.words.tolist(),
        sound.targets.tolist(),
        strict=True,
    ):
        edges[source].append((word, target))
    return edges


def spoken(sound: SoundGraph, word: int, dice: np.random.Generator) -> list[str]:
    """Returns what is said for an edge, any of the phrases where it takes a list."""
    if word == FREE:
        return ["salty"]
    if word >= 0:
        return [sound.vocabulary.words[word]]
    phrases = sound.lists[LISTED - word].phrases
    return list(phrases[int(dice.integers(len(phrases)))])


@pytest.mark.parametrize("pack", PACKS)
def test_the_graph_makes_nothing_else(pack: str) -> None:
    lexicon = lexicon_of(pack)
    sound, edges = lexicon.sound, leaving(lexicon)
    accepts: dict[int, list[str]] = defaultdict(list)
    for place, intent in zip(sound.accepting, sound.intents, strict=True):
        accepts[int(place)].append(sound.names[intent])
    numbers = {
        word
        for listed in lexicon.lists.values()
        if isinstance(listed, Numbers)
        for state in listed.spoken.states
        for word in state.words
    }
    silent = {words_of(line.text) for line in lexicon.pack.never}
    dice = np.random.default_rng(11)
    n_checked = 0
    for _ in range(20 * N_WALKS):
        place, words = 0, list[str]()
        while not (accepts[place] and (not edges[place] or dice.random() < 0.4)):
            ways = edges[place]
            word, place = ways[int(dice.integers(len(ways)))]
            words += spoken(sound, word, dice)
        names = {said.declared.name for said in readings_of(lexicon, tuple(words))}
        for intent in accepts[place]:
            if not intent:
                assert tuple(words) in silent or len(words) < 5
            elif not numbers & set(words):  # else it may be out of bounds
                assert intent in names, words
                n_checked += 1
    assert n_checked > N_WALKS


@pytest.mark.parametrize("pack", PACKS)
def test_levels_grow_along_every_edge(pack: str) -> None:
    sound = lexicon_of(pack).sound

    assert (sound.levels[sound.sources] < sound.levels[sound.targets]).all()
    assert sound.levels[0] == 0


def test_shared_beginnings_are_kept_once() -> None:
    lexicon = lexicon_of("explorer")
    sound = lexicon.sound
    from_start = sound.words[sound.sources == 0].tolist()
    mine = {lexicon.sound.vocabulary.words[word] for word in from_start if word >= 0}

    assert {"please", "could", "go", "paint"} <= mine
    templates = [
        target
        for word, target in leaving(lexicon)[0]
        if sound.vocabulary.words[word] == "could"
    ]
    # One place for all templates; and one line each of what must not be understood.
    n_lines = sum(words_of(line.text)[:1] == ("could",) for line in lexicon.pack.never)
    assert len(templates) <= n_lines + 4


# A scene that changes ---------------------------------------------------------------


def test_only_lists_that_changed_are_built_again(tmp_path: Path) -> None:
    before = small(tmp_path, a_thing("boat"), a_thing("harbour", tag="place"))
    networks = dict(before.graphs._known)
    templates = before.graphs._templates
    scene = Scene(
        revision=1,
        objects=(a_thing("boat"), a_thing("kite"), a_thing("harbour", tag="place")),
    )

    after = build_lexicon(before.pack, scene, previous=before)

    assert after.graphs is before.graphs
    assert after.graphs._templates is templates
    kept = {
        name
        for name, (_, network) in after.graphs._known.items()
        if network is networks[name][1]
    }
    assert kept == {"place", "shade"}


def test_a_scene_that_stays_the_same_builds_no_list_again(tmp_path: Path) -> None:
    objects = (a_thing("boat"), a_thing("harbour", tag="place"))
    before = small(tmp_path, *objects)
    networks = dict(before.graphs._known)

    after = build_lexicon(
        before.pack, Scene(revision=1, objects=objects), previous=before
    )

    assert all(
        network is networks[name][1]
        for name, (_, network) in after.graphs._known.items()
    )
    assert after.sound.words.tolist() == before.sound.words.tolist()


def test_the_graph_of_before_still_says_what_it_said(tmp_path: Path) -> None:
    before = small(tmp_path, a_thing("boat"))
    build_lexicon(before.pack, Scene(objects=(a_thing("kite"),)), previous=before)

    (found,) = heard(before, ("grab", "the", "boat"))
    assert found.intent == "grab"
    assert found.cost == 0
    assert all(one.cost > 0.5 for one in heard(before, ("grab", "the", "kite")))


def test_what_is_gone_can_no_longer_be_said(tmp_path: Path) -> None:
    before = small(tmp_path, a_thing("boat"), a_thing("kite"))
    after = build_lexicon(
        before.pack, Scene(objects=(a_thing("boat"),)), previous=before
    )

    assert heard(before, ("grab", "the", "kite"))[0].cost == 0
    assert all(one.cost > 0.5 for one in heard(after, ("grab", "the", "kite")))


def test_a_list_without_values_closes_its_sentences(tmp_path: Path) -> None:
    lexicon = small(tmp_path, a_thing("harbour", tag="place"))

    assert heard(lexicon, ("grab", "the")) == []
    assert heard(lexicon, ("go", "to", "harbour"))[0].cost == 0


def test_a_new_name_among_a_thousand_is_heard(tmp_path: Path) -> None:
    parts = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u")]
    names = [" ".join(("old", a + b)) for a in parts for b in parts][:1000]
    before = small(tmp_path, *map(a_thing, names))
    scene = Scene(objects=(*map(a_thing, names), a_thing("zorbulax crystal")))

    after = build_lexicon(before.pack, scene, previous=before)

    words = ("grab", "the", "zorbulax", "crystal")
    first, *others = heard(after, words)
    assert (first.intent, first.cost) == ("grab", 0)
    assert tuple(word.word for word in first.words) == words
    assert all(one.cost > 0 for one in others)
    assert all(one.cost > 0.5 for one in heard(before, words))
    (old, *_) = heard(after, ("grab", "the", *names[-1].split()))
    assert old.cost == 0


def test_phrases_that_begin_alike_end_where_they_end(tmp_path: Path) -> None:
    lexicon = small(tmp_path, a_thing("boat"), a_thing("boat house"))

    for name in (("boat",), ("boat", "house")):
        for shade in (("red",), ("dark", "red")):
            words = ("paint", *name, *shade)
            (first, *_) = heard(lexicon, words)
            assert first.cost == 0
            assert tuple(word.word for word in first.words) == words
