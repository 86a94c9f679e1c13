"""Sentence templates as one graph over words, and the walk through it.

All templates become one nondeterministic automaton. It is walked with the set of
states that can be reached after each word, each state with its best way there, so the
time is words times states, whatever the templates; nothing is tried twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge.normalise import words_of
from models.pack import PackError, Template, Value
from models.template import AnyOrder, Choice, Node, RuleRef, Series, SlotRef, Words

MAX_SPELLINGS = 100_000
"""Words that optional parts can make, as in ``light[s]``, over all templates."""


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


_Slots = tuple["_Slots", Filled] | None
_Way = tuple[int, int, int, _Slots]
"""Literal words, listed words, first word, slots last to first."""


def readings(
    graph: WordGraph,
    words: Sequence[str],
    endings: Callable[[str, int], Iterable[tuple[int, Value | None, bool]]],
    *,
    starts: Iterable[int],
    ends: frozenset[int],
) -> list[Reading]:
    """Returns the best reading of each sentence that accepts the words.

    The best has most literal words, then most listed words, then ends first.

    Args:
        graph: The templates.
        words: What was said, normalised.
        endings: For a list and a first word: where its phrases end, their values, and
            whether any words would have done.
        starts: Words at which a sentence may begin.
        ends: Words before which it may end.
    """
    fronts: list[dict[int, _Way]] = [{} for _ in range(len(words) + 1)]
    for start in starts:
        fronts[start][0] = (0, 0, start, None)
    best: dict[int, tuple[int, _Way]] = {}

    def reach(at: int, state: int, way: _Way) -> None:
        known = fronts[at].get(state)
        if known is None or way[:2] > known[:2]:
            fronts[at][state] = way

    for at, front in enumerate(fronts):
        for number, way in front.items():
            state = graph.states[number]
            n_literal, n_listed, start, slots = way
            if at in ends:
                for sentence in state.accepts:
                    if sentence not in best or way[:2] > best[sentence][1][:2]:
                        best[sentence] = (at, way)
            if at == len(words):
                continue
            for target in state.words.get(words[at], ()):
                reach(at + 1, target, (n_literal + 1, n_listed, start, slots))
            for edge in state.slots:
                for end, value, is_free in endings(edge.list_name, at):
                    filled = Filled(edge.slot, value, at, end)
                    n_more = 0 if is_free else end - at
                    way_on = (n_literal, n_listed + n_more, start, (slots, filled))
                    reach(end, edge.target, way_on)
    return [
        Reading(sentence, way[0], way[1], way[2], end, _in_order(way[3]))
        for sentence, (end, way) in best.items()
    ]


def _in_order(slots: _Slots) -> tuple[Filled, ...]:
    filled: list[Filled] = []
    while slots is not None:
        slots, last = slots
        filled.append(last)
    return tuple(reversed(filled))


def build_graph(
    templates: Sequence[Template], *, rules: Mapping[str, Template], file: str
) -> WordGraph:
    """Returns one graph of all templates, sentences numbered in their order.

    Args:
        templates: The sentences.
        rules: What the templates' rules stand for.
        file: The pack's file, for messages.

    Raises:
        PackError: ``pack_spellings``: optional parts inside words make too many words.
    """
    pieces = _Pieces(rules=rules)
    root = pieces.new()
    for sentence, template in enumerate(templates):
        end = pieces.add(template.tree, pieces.step(root))
        pieces.nodes[end].accepts = sentence
    return _Spelling(nodes=pieces.nodes, file=file).graph(root)


@dataclass(slots=True)
class _Piece:
    """A place between two pieces of text; leads on by at most one kind of step."""

    steps: list[int] = field(default_factory=list)
    """Where it leads without any text."""
    text: str = ""
    """What leads to ``target``: part of a word, or a space."""
    slot: SlotRef | None = None
    target: int = -1
    accepts: int = -1


@dataclass(slots=True)
class _Pieces:
    """The graph over pieces of text, as the templates are written."""

    rules: Mapping[str, Template]
    nodes: list[_Piece] = field(default_factory=list)

    def new(self) -> int:
        self.nodes.append(_Piece())
        return len(self.nodes) - 1

    def step(self, start: int) -> int:
        """Returns a new place that ``start`` leads to without any text."""
        end = self.new()
        self.nodes[start].steps.append(end)
        return end

    def add(self, node: Node, start: int) -> int:
        """Returns the place after a template that begins at ``start``."""
        match node:
            case Words():
                return self._words(node.text, start)
            case SlotRef():
                place = self.step(start)
                self.nodes[place].slot = node
                self.nodes[place].target = end = self.new()
                return end
            case RuleRef():
                return self.add(self.rules[node.name].tree, start)
            case Series():
                for item in node.items:
                    start = self.add(item, start)
                return start
            case Choice():
                ends = [self.add(item, self.step(start)) for item in node.items]
                end = self.new()
                for branch in ends:
                    self.nodes[branch].steps.append(end)
                return end
            case AnyOrder():
                return self._any_order(node.items, start)

    def _words(self, text: str, start: int) -> int:
        for part in _parts(text):
            place = self.step(start)
            self.nodes[place].text = part
            self.nodes[place].target = start = self.new()
        return start

    def _any_order(self, items: tuple[Node, ...], start: int) -> int:
        """One place for each set of items that have been said."""
        places = [start, *(self.new() for _ in range(2 ** len(items) - 1))]
        for said, place in enumerate(places):
            for index, item in enumerate(items):
                if not said >> index & 1:
                    end = self.add(item, self.step(place))
                    self.nodes[end].steps.append(places[said | 1 << index])
        return places[-1]


def _parts(text: str) -> list[str]:
    """Returns words and the spaces between them."""
    parts: list[str] = [" "] if text[:1].isspace() else []
    for word in text.split():
        parts += [word, " "]
    return parts if text[-1:].isspace() else parts[:-1]


@dataclass(slots=True)
class _Spelling:
    """Joins the pieces between two spaces to words, and normalises these."""

    nodes: list[_Piece]
    file: str
    states: list[State] = field(default_factory=list)
    _words: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"": ()})
    _numbers: dict[int, int] = field(default_factory=dict)
    _pending: list[int] = field(default_factory=list)
    _n_spelled: int = 0

    def graph(self, root: int) -> WordGraph:
        self._state_at(root)
        while self._pending:
            place = self._pending.pop()
            self._spell(place, self.states[self._numbers[place]])
        return WordGraph(tuple(self.states))

    def _state_at(self, place: int) -> int:
        if place not in self._numbers:
            self._numbers[place] = len(self.states)
            self.states.append(State())
            self._pending.append(place)
        return self._numbers[place]

    def _spell(self, root: int, state: State) -> None:
        """Fills a state with every word that begins at ``root``."""
        seen = {(root, "")}
        pending = [(root, "")]
        while pending:
            place, spelled = pending.pop()
            node = self.nodes[place]
            ends_word = node.slot is not None or node.accepts >= 0 or node.text == " "
            words = self._words_of(spelled) if ends_word else ()
            if words:
                self._lead(state, words, place)
                continue
            if ends_word:
                spelled = ""
            if node.accepts >= 0:
                state.accepts.append(node.accepts)
            if node.slot is not None:
                target = self._state_at(node.target)
                state.slots.append(
                    SlotEdge(node.slot.list_name, node.slot.slot, target)
                )
                continue
            ways = [(step, spelled) for step in reversed(node.steps)]
            if node.text:
                ways.append((node.target, (spelled + node.text).strip()))
            for way in ways:
                if way not in seen:
                    seen.add(way)
                    pending.append(way)
                    self._count()

    def _words_of(self, spelled: str) -> tuple[str, ...]:
        if spelled not in self._words:
            self._words[spelled] = words_of(spelled)
        return self._words[spelled]

    def _lead(self, state: State, words: tuple[str, ...], place: int) -> None:
        target = self._state_at(place)
        for word in words[:-1]:
            self.states.append(State())
            state.words.setdefault(word, []).append(len(self.states) - 1)
            state = self.states[-1]
        targets = state.words.setdefault(words[-1], [])
        if target not in targets:
            targets.append(target)

    def _count(self) -> None:
        self._n_spelled += 1
        if self._n_spelled > MAX_SPELLINGS:
            raise PackError(
                "pack_spellings",
                f"{self.file}:1: the templates make more than {MAX_SPELLINGS} words.",
                "Put spaces between optional parts, or use lists.",
            )
