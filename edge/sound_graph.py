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
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edge.phonetics.sounds import Form, Indices, Sounds, side_by_side
from edge.slot_values import Numbers, Phrases, SlotWords
from edge.word_graph import SlotEdge, WordGraph, in_order

FREE = -1
"""Word of an edge that takes any words."""
LISTED = -2
"""Word of an edge that takes a phrase of the first list; of the next one, one less."""
NO_WORD = -1
"""Among the words of a phrase: it has no more."""


@dataclass(slots=True)
class Vocabulary:
    """The words that can be said, numbered, with their sounds; it only grows."""

    sounds: Sounds
    words: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _phrases: dict[tuple[str, ...], tuple[list[int], Form]] = field(
        default_factory=dict
    )
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

    def phrase(self, words: tuple[str, ...]) -> tuple[list[int], Form]:
        """Returns the numbers of words in a row, and their sounds as said most."""
        known = self._phrases.get(words)
        if known is None:
            numbers = [self.number(word) for word in words]
            forms = [form[0] for word in words if (form := self.sounds.of(word))]
            spoken = np.concatenate(forms) if forms else np.zeros(0, np.int16)
            known = self._phrases[words] = (numbers, spoken)
        return known

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
        sounds, lengths = side_by_side(forms)
        order = np.argsort(lengths, kind="stable")
        return cls(sounds[order], lengths[order], np.array(owners, np.int32)[order])


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


@dataclass(frozen=True, slots=True, eq=False)
class PhraseTable:
    """The phrases of a list, each as one long word."""

    phrases: tuple[tuple[str, ...], ...]
    """In normalised words."""
    words: Indices
    """(n, most words) their numbers; that of no word after the end."""
    sounds: npt.NDArray[np.int16]
    """(n, longest), -1 after the end."""
    lengths: Indices
    """(n,) in sounds."""
    is_short: npt.NDArray[np.bool_]
    """(n,) whether the last word is not said."""

    @classmethod
    def build(
        cls, phrases: Sequence[tuple[str, ...]], vocabulary: Vocabulary
    ) -> PhraseTable:
        """Returns the table of some phrases.

        Of a phrase whose other words say which it is, the last one may be left out: "a
        bit of almond" is almond milk, where milk is all that almonds make.
        """
        n_with = Counter(word for phrase in set(phrases) for word in set(phrase))
        known = set(phrases)
        said = [(phrase, phrase) for phrase in phrases]
        for phrase in phrases:
            *others, last = phrase
            tells = any(n_with[other] < n_with[last] for other in others)
            if tells and tuple(others) not in known:
                said.append((phrase, tuple(others)))
        both = [vocabulary.phrase(words) for _, words in said]
        sounds, lengths = side_by_side([spoken for _, spoken in both])
        n_words = max((len(words) for _, words in said), default=0)
        numbers = np.full((len(said), n_words), NO_WORD, np.int32)
        for row, (listed, _) in enumerate(both):
            numbers[row, : len(listed)] = listed
        return cls(
            phrases=tuple(phrase for phrase, _ in said),
            words=numbers,
            sounds=sounds,
            lengths=lengths,
            is_short=np.array([phrase != words for phrase, words in said], np.bool_),
        )


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
    for source, target, length in edges:
        leaving[source].append((target, length))
    levels = [0] * n
    for place in in_order([[target for target, _ in ways] for ways in leaving]):
        for target, length in leaving[place]:
            levels[target] = max(levels[target], levels[place] + length)
    return levels


Words = PhraseTable | Network | None
"""What a slot takes: one of some phrases, a way through a network, or any words."""


@dataclass(frozen=True, slots=True, eq=False)
class SoundGraph:
    """What can be said now, as arrays; place 0 is where sentences begin."""

    sources: Indices
    """(n,) of the edges."""
    words: Indices
    """(n,); below 0 ``FREE`` for edges that take any words, or ``LISTED``."""
    targets: Indices
    levels: Indices
    """Of the places, which are in their order; edges are in that of the levels of their
    sources, then of their targets."""
    lists: tuple[PhraseTable, ...]
    """What edges of ``LISTED`` words take."""
    is_loose: npt.NDArray[np.bool_]
    """Of the places: whether an edge that takes any words follows, there or later."""
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
    _templates: tuple[WordGraph, _Skeleton] | None = None
    _known: dict[str, tuple[SlotWords, Words]] = field(default_factory=dict)
    _built: tuple[tuple[object, ...], SoundGraph] | None = None

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
        if self._templates is None or self._templates[0] is not graph:
            skeleton = _skeleton(graph, intents, never, self.vocabulary)
            self._templates = (graph, skeleton)
        skeleton = self._templates[1]
        names = dict.fromkeys(edge.list_name for _, edge in skeleton.slots)
        words = {name: self._of(name, lists[name]) for name in names}
        # What a list holds is not in the graph, but what kind of words it is.
        kinds = [
            each if isinstance(each, Network) else type(each) for each in words.values()
        ]
        key = (skeleton, *kinds)
        if self._built is None or self._built[0] != key:
            self._built = (key, _filled(skeleton, words, self.vocabulary))
        tables = [each for each in words.values() if isinstance(each, PhraseTable)]
        return replace(self._built[1], lists=tuple(tables))

    def _of(self, name: str, words: SlotWords) -> Words:
        known = self._known.get(name)
        if known is None or known[0] is not words:
            known = self._known[name] = (words, _words_of(words, self.vocabulary))
        return known[1]


def _words_of(words: SlotWords, vocabulary: Vocabulary) -> Words:
    match words:
        case Phrases():
            return PhraseTable.build(words.phrases, vocabulary)
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
    graph: WordGraph,
    intents: Sequence[str],
    never: Sequence[tuple[str, ...]],
    vocabulary: Vocabulary,
) -> _Skeleton:
    """Returns the templates as edges, and sentences that mean no intent."""
    words: list[tuple[int, int, int]] = []
    slots: list[tuple[int, SlotEdge]] = []
    accepts: dict[tuple[int, str], None] = {}
    for place, state in enumerate(graph.states):
        for spelled, targets in state.words.items():
            number = vocabulary.number(spelled)
            words += [(place, number, target) for target in targets]
        slots += [(place, edge) for edge in state.slots]
        accepts |= dict.fromkeys((place, intents[n]) for n in state.accepts)
    n_places = len(graph.states)
    for sentence in never:
        place = 0
        for spelled in sentence:
            words.append((place, vocabulary.number(spelled), n_places))
            place = n_places
            n_places += 1
        if place:
            accepts[place, ""] = None
    return _Skeleton(n_places, words, slots, list(accepts))


def _filled(
    skeleton: _Skeleton, words: Mapping[str, Words], vocabulary: Vocabulary
) -> SoundGraph:
    """Returns the graph with what its slots take."""
    tables = {n: each for n, each in words.items() if isinstance(each, PhraseTable)}
    numbers = {name: LISTED - n for n, name in enumerate(tables)}
    lengths = {
        name: each.depth if isinstance(each, Network) else 1
        for name, each in words.items()
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
    simple = [
        (at, numbers.get(slot.list_name, FREE), slot.target)
        for at, slot in skeleton.slots
        if not isinstance(words[slot.list_name], Network)
    ]
    edges = [np.array([*skeleton.words, *simple], np.int32).reshape(-1, 3)]
    all_levels = [np.array(levels, np.int32)]
    n_places = skeleton.n_places
    for at, slot in skeleton.slots:
        network = words[slot.list_name]
        if not isinstance(network, Network):
            continue
        # Place 0 of the list is the place before the slot; its exit the one after.
        offset = n_places - 1
        sources = np.where(network.sources == 0, at, network.sources + offset)
        targets = np.where(network.targets < 0, slot.target, network.targets + offset)
        edges.append(np.stack((sources, network.words, targets), axis=1))
        all_levels.append(network.levels[1:] + levels[at])
        n_places += len(network.levels) - 1
    columns, levels_of, numbers_of = _in_order_of_levels(
        np.concatenate(edges), np.concatenate(all_levels)
    )
    names = tuple(dict.fromkeys(name for _, name in skeleton.accepts))
    accepts = np.array(
        [(place, names.index(name)) for place, name in skeleton.accepts], np.int32
    ).reshape(-1, 2)
    return SoundGraph(
        sources=columns[:, 0],
        words=columns[:, 1],
        targets=columns[:, 2],
        levels=levels_of,
        lists=tuple(tables.values()),
        is_loose=_is_loose(columns, n_places),
        accepting=numbers_of[accepts[:, 0]],
        intents=accepts[:, 1],
        names=names,
        vocabulary=vocabulary,
    )


def _in_order_of_levels(
    edges: Indices, levels: Indices
) -> tuple[Indices, Indices, Indices]:
    """Returns edges and levels with the places numbered anew, and their new numbers."""
    order = np.argsort(levels, kind="stable")
    numbers = np.empty(len(order), np.int32)
    numbers[order] = np.arange(len(order))
    levels = levels[order]
    columns = np.stack(
        (numbers[edges[:, 0]], edges[:, 1], numbers[edges[:, 2]]), axis=1
    )
    by_level = np.lexsort((columns[:, 2], levels[columns[:, 0]]))
    return np.asfortranarray(columns[by_level]), levels, numbers


def _is_loose(edges: Indices, n_places: int) -> npt.NDArray[np.bool_]:
    """Returns the places before an edge that takes any words."""
    is_loose = np.zeros(n_places, np.bool_)
    before = edges[edges[:, 1] == FREE, 0]
    while len(before):
        is_loose[before] = True
        before = np.unique(edges[np.isin(edges[:, 2], before), 0])
        before = before[~is_loose[before]]
    return is_loose
