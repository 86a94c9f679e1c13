"""The graph over words that all templates become, and the walk through it.

All templates become one nondeterministic automaton. It is walked with the set of
states that can be reached after each word, each state with its best way there, so the
time is words times states, whatever the templates; nothing is tried twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from models.pack import Value


@dataclass(frozen=True, slots=True)
class SlotEdge:
    """A way through the graph that a phrase of a list opens."""

    list_name: str
    slot: str
    target: int


@dataclass(slots=True)
class State:
    """What may come next."""

    words: dict[str, list[int]] = field(default_factory=dict)
    slots: list[SlotEdge] = field(default_factory=list)
    accepts: list[int] = field(default_factory=list)
    """Sentences that may end here, by position in the graph's sentences."""

    def targets(self) -> list[int]:
        """Returns the states that this one leads to."""
        by_words = [target for targets in self.words.values() for target in targets]
        return by_words + [edge.target for edge in self.slots]


@dataclass(frozen=True, slots=True, eq=False)
class WordGraph:
    """Templates, ready to be matched; the first state is where all of them begin."""

    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """A slot and the words that fill it."""

    slot: str
    value: Value | None
    """None where the words themselves are the value."""
    start: int
    """First word."""
    end: int
    """After the last word."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand the words."""

    sentence: int
    n_literal: int
    """Words that the template itself holds."""
    n_listed: int
    """Words that a list with known phrases holds."""
    start: int
    """First word."""
    end: int
    """After the last word."""
    slots: tuple[Filled, ...]


def in_order(after: Sequence[Sequence[int]]) -> list[int]:
    """Returns the places of an acyclic graph, each after all that lead to it.

    Kahn (1962). Places without any edge into them come first.

    Args:
        after: The places that each leads to.
    """
    n_before = [0] * len(after)
    for targets in after:
        for target in targets:
            n_before[target] += 1
    order = [place for place, n in enumerate(n_before) if not n]
    for place in order:
        for target in after[place]:
            n_before[target] -= 1
            if not n_before[target]:
                order.append(target)
    return order


def merged(graph: WordGraph) -> WordGraph:
    """Returns the graph with states that the same words reach made one.

    A hundred templates that begin with the same rule each hold their own copy of it.
    Two states whose edges come from the same states with the same words are reached by
    the same sentences, so that what follows either may follow both.
    """
    order = in_order([state.targets() for state in graph.states])
    entering: list[set[tuple[int, str, str]]] = [set() for _ in order]
    numbers = [0] * len(order)
    by_edges: dict[frozenset[tuple[int, str, str]], int] = {}
    for at in order:
        number = by_edges.setdefault(frozenset(entering[at]), len(by_edges))
        numbers[at] = number
        state = graph.states[at]
        for word, targets in state.words.items():
            for target in targets:
                entering[target].add((number, word, ""))
        for edge in state.slots:
            entering[edge.target].add((number, edge.slot, edge.list_name))
    states = [State() for _ in by_edges]
    for at in order:
        state, kept = graph.states[at], states[numbers[at]]
        for word, targets in state.words.items():
            known = kept.words.setdefault(word, [])
            to = dict.fromkeys(numbers[target] for target in targets)
            known += [target for target in to if target not in known]
        for edge in state.slots:
            leads = replace(edge, target=numbers[edge.target])
            if leads not in kept.slots:
                kept.slots.append(leads)
        kept.accepts += state.accepts
    return WordGraph(tuple(states))


Endings = Callable[[str, int], Iterable[tuple[int, Value | None, bool]]]
"""For a list and a first word: where its phrases end, their values, and whether any
words would have done."""

_Slots = tuple["_Slots", Filled] | None
_Way = tuple[int, int, int, _Slots]
"""Literal words, listed words, first word, slots last to first."""


def readings(
    graph: WordGraph,
    words: Sequence[str],
    endings: Endings,
    *,
    starts: Iterable[int],
    ends: frozenset[int],
) -> list[Reading]:
    """Returns the best reading of each sentence that accepts the words.

    The best has most literal words, then most listed words, then ends first.

    Args:
        graph: The templates.
        words: What was said, normalised.
        endings: The look-up of phrases.
        starts: Words at which a sentence may begin.
        ends: Words before which it may end.
    """
    best: dict[int, tuple[int, _Way]] = {}
    for at, front in enumerate(_fronts(graph, words, endings, starts)):
        if at not in ends:
            continue
        for number, way in front.items():
            for sentence in graph.states[number].accepts:
                if sentence not in best or way[:2] > best[sentence][1][:2]:
                    best[sentence] = (at, way)
    return [
        Reading(sentence, way[0], way[1], way[2], end, _in_order(way[3]))
        for sentence, (end, way) in best.items()
    ]


def can_go_on(
    graph: WordGraph,
    words: Sequence[str],
    endings: Endings,
    *,
    starts: Iterable[int],
    goes_on: Callable[[str, int], bool],
) -> bool:
    """Returns whether some sentence begins with the words and has more to come.

    Args:
        graph: The templates.
        words: What was said so far, normalised.
        endings: As for ``readings``.
        starts: Words at which a sentence may begin.
        goes_on: For a list and a first word: whether one of its phrases begins with all
            the words from there and has more to come.
    """
    fronts = _fronts(graph, words, endings, starts)
    for number in fronts[-1]:
        state = graph.states[number]
        if state.words or state.slots:
            return True
    return any(
        goes_on(edge.list_name, at)
        for at, front in enumerate(fronts[:-1])
        for number in front
        for edge in graph.states[number].slots
    )


def _fronts(
    graph: WordGraph,
    words: Sequence[str],
    endings: Endings,
    starts: Iterable[int],
) -> list[dict[int, _Way]]:
    """Returns the states that can be reached before each word and after the last."""
    fronts: list[dict[int, _Way]] = [{} for _ in range(len(words) + 1)]
    for start in starts:
        fronts[start][0] = (0, 0, start, None)

    def reach(at: int, state: int, way: _Way) -> None:
        known = fronts[at].get(state)
        if known is None or way[:2] > known[:2]:
            fronts[at][state] = way

    for at, front in enumerate(fronts[:-1]):
        for number, way in front.items():
            state = graph.states[number]
            n_literal, n_listed, start, slots = way
            for target in state.words.get(words[at], ()):
                reach(at + 1, target, (n_literal + 1, n_listed, start, slots))
            for edge in state.slots:
                for end, value, is_free in endings(edge.list_name, at):
                    filled = Filled(edge.slot, value, at, end)
                    n_more = 0 if is_free else end - at
                    way_on = (n_literal, n_listed + n_more, start, (slots, filled))
                    reach(end, edge.target, way_on)
    return fronts


def _in_order(slots: _Slots) -> tuple[Filled, ...]:
    filled: list[Filled] = []
    while slots is not None:
        slots, last = slots
        filled.append(last)
    return tuple(reversed(filled))
