"""Everything that can be said, as one graph of words that sound.

The graph of words becomes arrays: an edge is a word between two places, and the phrases
of a slot's list stand between the places that the slot connects. Places carry their
level, the longest way to them, so that a walk takes whole levels at once. What a list
holds is kept with the list, so that a change of the scene copies arrays and builds only
what is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge.phonetics.sounds import Form, Sounds
from edge.slot_values import Numbers, Phrases, SlotWords
from edge.word_graph import SlotEdge, WordGraph

Indices = npt.NDArray[np.int32]
FREE = -1
"""Word of an edge that takes any words."""


@dataclass(slots=True)
class Vocabulary:
    """The words that can be said, numbered, with their sounds; it only grows."""

    sounds: Sounds
    words: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _dropped: dict[str, int] = field(default_factory=dict)
    _forms: list[Form] = field(default_factory=list)
    _owners: list[int] = field(default_factory=list)
    _table: FormTable | None = None

    def number(self, word: str) -> int:
        """Returns the number of a word, which is taken up where it is new."""
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = len(self.words)
            self.words.append(word)
            for form in self.sounds.of(word):
                self._forms.append(form)
                self._owners.append(number)
            self._table = None
        return number

    def dropped(self, word: str) -> int:
        """Returns the number that stands for a word of which nothing is said."""
        number = self._dropped.get(word)
        if number is None:
            number = self._dropped[word] = len(self.words)
            self.words.append(word)
        return number

    @property
    def all_dropped(self) -> Indices:
        """The numbers of words of which nothing is said."""
        return np.array(list(self._dropped.values()), np.int32)

    def table(self) -> FormTable:
        """Returns the sounds of all words so far."""
        if self._table is None:
            self._table = FormTable.build(self._forms, self._owners)
        return self._table


@dataclass(frozen=True, slots=True, eq=False)
class FormTable:
    """Ways to say words, shorter ones first."""

    sounds: npt.NDArray[np.int16]
    """(n, longest), -1 after the end."""
    lengths: Indices
    """(n,)"""
    words: Indices
    """(n,) which word each is a way to say."""

    @classmethod
    def build(cls, forms: Sequence[Form], owners: Sequence[int]) -> FormTable:
        """Returns the table of forms and the words they belong to."""
        lengths = np.array([len(form) for form in forms], np.int32)
        order = np.argsort(lengths, kind="stable")
        sounds = np.full((len(forms), max(lengths, default=0)), -1, np.int16)
        for row, at in enumerate(order):
            sounds[row, : lengths[at]] = forms[at]
        return cls(sounds, lengths[order], np.array(owners, np.int32)[order])


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Edges between places; those of a list lead from 0 to an exit, numbered -1."""

    sources: Indices
    words: Indices
    targets: Indices
    levels: Indices
    """Of the places: the longest way there."""
    depth: int
    """Words of the longest way through."""


def phrase_network(
    phrases: Sequence[tuple[str, ...]], vocabulary: Vocabulary
) -> Network:
    """Returns a tree of phrases that share their beginnings.

    Of a phrase whose other words say which it is, the last one may be left out: "a bit
    of almond" is almond milk, where milk is all that almonds make.
    """
    below: dict[tuple[int, int], int] = {}
    edges: dict[tuple[int, int, int], None] = {}
    levels = [0]
    n_with = Counter(word for phrase in set(phrases) for word in set(phrase))
    known = set(phrases)
    for phrase in phrases:
        place = 0
        for at, spelled in enumerate(phrase):
            word = vocabulary.number(spelled)
            if at == len(phrase) - 1:
                edges[place, word, -1] = None
                n_alike = n_with[spelled]
                tells = any(n_with[other] < n_alike for other in phrase[:-1])
                if tells and phrase[:-1] not in known:
                    edges[place, vocabulary.dropped(spelled), -1] = None
                break
            step = below.get((place, word))
            if step is None:
                step = below[place, word] = len(levels)
                levels.append(at + 1)
                edges[place, word, step] = None
            place = step
    depth = max(map(len, phrases), default=0)
    return _network(list(edges), levels, depth)


def graph_network(graph: WordGraph, vocabulary: Vocabulary) -> Network:
    """Returns an acyclic graph of words without slots, its accepting places the exits.

    Used for numbers: few words that make many phrases.
    """
    edges: dict[tuple[int, int, int], None] = {}
    for number, state in enumerate(graph.states):
        for spelled, targets in state.words.items():
            word = vocabulary.number(spelled)
            for target in targets:
                if graph.states[target].accepts:
                    edges[number, word, -1] = None
                if graph.states[target].words:
                    edges[number, word, target] = None
    levels = _levels(len(graph.states), [(s, t, 1) for s, _, t in edges if t >= 0])
    depth = 1 + max((levels[source] for source, _, _ in edges), default=-1)
    return _network(_suffixes_merged(edges, levels), levels, depth)


def _suffixes_merged(
    edges: Iterable[tuple[int, int, int]], levels: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Returns the edges with places from which the same can be said made one."""
    leaving: dict[int, set[tuple[int, int]]] = {}
    for source, word, target in edges:
        leaving.setdefault(source, set()).add((word, target))
    merged: dict[int, int] = {-1: -1}
    by_edges: dict[frozenset[tuple[int, int]], int] = {}
    kept: dict[tuple[int, int, int], None] = {}
    for place in sorted(leaving, key=lambda place: -levels[place]):
        key = frozenset((word, merged[target]) for word, target in leaving[place])
        number = merged[place] = by_edges.setdefault(key, place)
        if place in (number, 0):
            merged[place] = place
            kept |= dict.fromkeys((place, word, target) for word, target in key)
    return list(kept)


def _network(
    edges: Sequence[tuple[int, int, int]], levels: Sequence[int], depth: int
) -> Network:
    columns = np.array(edges, np.int32).reshape(-1, 3)
    return Network(
        sources=columns[:, 0],
        words=columns[:, 1],
        targets=columns[:, 2],
        levels=np.array(levels, np.int32),
        depth=depth,
    )


def _levels(n: int, edges: Sequence[tuple[int, int, int]]) -> list[int]:
    """Returns the longest way from a place without edges into it to each other one.

    Args:
        n: Places.
        edges: From, to, and how long.
    """
    leaving: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    n_entering = [0] * n
    for source, target, length in edges:
        leaving[source].append((target, length))
        n_entering[target] += 1
    levels = [0] * n
    ready = [place for place in range(n) if not n_entering[place]]
    for place in ready:
        for target, length in leaving[place]:
            levels[target] = max(levels[target], levels[place] + length)
            n_entering[target] -= 1
            if not n_entering[target]:
                ready.append(target)
    return levels


@dataclass(frozen=True, slots=True, eq=False)
class SoundGraph:
    """What can be said now, as arrays; place 0 is where sentences begin."""

    sources: Indices
    """(n,) of the edges."""
    words: Indices
    """(n,); ``FREE`` for edges that take any words."""
    targets: Indices
    levels: Indices
    """Of the places."""
    accepting: Indices
    """Places at which a sentence may end, once for each intent."""
    intents: Indices
    """The intent of each of them, by position among the names."""
    names: tuple[str, ...]
    vocabulary: Vocabulary


@dataclass(slots=True)
class SoundGraphs:
    """Builds graphs, and keeps what does not change from one to the next."""

    vocabulary: Vocabulary
    _merged: tuple[WordGraph, _Skeleton] | None = None
    _networks: dict[str, tuple[SlotWords, Network | None]] = field(default_factory=dict)

    def build(
        self,
        graph: WordGraph,
        intents: Sequence[str],
        lists: Mapping[str, SlotWords],
        never: Sequence[tuple[str, ...]] = (),
    ) -> SoundGraph:
        """Returns the graph of sentences and the lists as they are now.

        Args:
            graph: The templates.
            intents: The intent of each sentence.
            lists: What the slots can be filled with.
            never: Words that mean no intent; the name of theirs is empty.
        """
        if self._merged is None or self._merged[0] is not graph:
            skeleton = _skeleton(graph, intents, self.vocabulary)
            self._merged = (graph, _with_others(skeleton, never, self.vocabulary))
        skeleton = self._merged[1]
        networks = {
            name: self._network(name, lists[name])
            for name in dict.fromkeys(edge.list_name for _, edge in skeleton.slots)
        }
        return _filled(skeleton, networks, self.vocabulary)

    def _network(self, name: str, words: SlotWords) -> Network | None:
        known = self._networks.get(name)
        if known is None or known[0] is not words:
            known = self._networks[name] = (words, _network_of(words, self.vocabulary))
        return known[1]


def _network_of(words: SlotWords, vocabulary: Vocabulary) -> Network | None:
    """Returns the phrases of a list as a network; None where any words do."""
    match words:
        case Phrases():
            return phrase_network(words.phrases, vocabulary)
        case Numbers():
            return graph_network(words.spoken, vocabulary)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _Skeleton:
    """The templates without what fills their slots."""

    n_places: int
    words: list[tuple[int, int, int]]
    """Edges: from, word, to."""
    slots: list[tuple[int, SlotEdge]]
    """From, and the slot with where it leads."""
    accepts: list[tuple[int, str]]
    """Place and intent."""


def _skeleton(
    graph: WordGraph, intents: Sequence[str], vocabulary: Vocabulary
) -> _Skeleton:
    """Returns the graph with places that the same words reach made one.

    A hundred templates that begin with the same rule each hold their own copy of it.
    Two places whose edges come from the same places with the same words are reached by
    the same sentences, so that what follows either may follow both.
    """
    order = _topological(graph)
    entering: dict[int, set[tuple[int, object]]] = {place: set() for place in order}
    merged: dict[int, int] = {}
    by_edges: dict[frozenset[tuple[int, object]], int] = {}
    words: dict[tuple[int, int, int], None] = {}
    slots: dict[tuple[int, SlotEdge], None] = {}
    accepts: dict[tuple[int, str], None] = {}
    for place in order:
        key = frozenset(entering[place])
        number = merged[place] = by_edges.setdefault(key, len(by_edges))
        state = graph.states[place]
        for spelled, targets in state.words.items():
            for target in targets:
                entering[target].add((number, spelled))
        for edge in state.slots:
            entering[edge.target].add((number, (edge.list_name, edge.slot)))
    for place in order:
        state, number = graph.states[place], merged[place]
        for spelled, targets in state.words.items():
            word = vocabulary.number(spelled)
            words |= dict.fromkeys((number, word, merged[t]) for t in targets)
        for edge in state.slots:
            to = SlotEdge(edge.list_name, edge.slot, merged[edge.target])
            slots[number, to] = None
        accepts |= dict.fromkeys((number, intents[s]) for s in state.accepts)
    return _Skeleton(len(by_edges), list(words), list(slots), list(accepts))


def _with_others(
    skeleton: _Skeleton, sentences: Sequence[tuple[str, ...]], vocabulary: Vocabulary
) -> _Skeleton:
    """Returns the templates and sentences that mean no intent."""
    n_places = skeleton.n_places
    words, accepts = list(skeleton.words), list(skeleton.accepts)
    for sentence in sentences:
        place = 0
        for spelled in sentence:
            words.append((place, vocabulary.number(spelled), n_places))
            place = n_places
            n_places += 1
        if place:
            accepts.append((place, ""))
    return _Skeleton(n_places, words, skeleton.slots, accepts)


def _topological(graph: WordGraph) -> list[int]:
    """Returns the places, each after all that lead to it."""
    after = [
        [t for targets in state.words.values() for t in targets]
        + [edge.target for edge in state.slots]
        for state in graph.states
    ]
    n_before = [0] * len(after)
    for targets in after:
        for target in targets:
            n_before[target] += 1
    order = [0]
    for place in order:
        for target in after[place]:
            n_before[target] -= 1
            if not n_before[target]:
                order.append(target)
    return order


def _filled(
    skeleton: _Skeleton, networks: Mapping[str, Network | None], vocabulary: Vocabulary
) -> SoundGraph:
    """Returns the graph with each slot's list put in."""
    lengths = {
        name: network.depth if network else 1 for name, network in networks.items()
    }
    levels = _levels(
        skeleton.n_places,
        [
            *((source, target, 1) for source, _, target in skeleton.words),
            *(
                (at, edge.target, lengths[edge.list_name])
                for at, edge in skeleton.slots
            ),
        ],
    )
    edges = [np.array(skeleton.words, np.int32).reshape(-1, 3)]
    all_levels = [np.array(levels, np.int32)]
    n_places = skeleton.n_places
    for at, slot in skeleton.slots:
        network = networks[slot.list_name]
        if network is None:
            edges.append(np.array([[at, FREE, slot.target]], np.int32))
            continue
        # Place 0 of the list is the place before the slot; its exit the one after.
        offset = n_places - 1
        sources = np.where(network.sources == 0, at, network.sources + offset)
        targets = np.where(network.targets < 0, slot.target, network.targets + offset)
        edges.append(np.stack((sources, network.words, targets), axis=1))
        all_levels.append(network.levels[1:] + levels[at])
        n_places += len(network.levels) - 1
    columns = np.concatenate(edges)
    names = tuple(dict.fromkeys(name for _, name in skeleton.accepts))
    accepts = np.array(
        [(place, names.index(name)) for place, name in skeleton.accepts], np.int32
    ).reshape(-1, 2)
    return SoundGraph(
        sources=columns[:, 0],
        words=columns[:, 1],
        targets=columns[:, 2],
        levels=np.concatenate(all_levels),
        accepting=accepts[:, 0],
        intents=accepts[:, 1],
        names=names,
        vocabulary=vocabulary,
    )
