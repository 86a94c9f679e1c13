"""Sentence templates in, one graph over normalised words out.

First the templates become a graph over the pieces of text they are written in; then
the pieces between two spaces are joined to words, and these are normalised; a Chinese
character stands by itself. Rules are put in where they are named, and permutations
become one place for each set of items said, so that the graph stays small where the
sentences are many.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge.han import HAN, is_han
from edge.normalise import words_of
from edge.word_graph import SlotEdge, State, WordGraph, merged
from models.pack import PackError, Template
from models.template import AnyOrder, Choice, Node, RuleRef, Series, SlotRef, Words

MAX_SPELLINGS = 100_000
"""Words that optional parts can make, as in ``light[s]``, over all templates."""
_HAN = re.compile(f"[{HAN}]")


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
    """Returns words and the spaces between them.

    Each Chinese character is a word, so that optional parts and slots need no spaces
    around them: ``把{object}涂成{colour}``.
    """
    parts: list[str] = [" "] if text[:1].isspace() else []
    for word in text.split():
        parts += [*(_characters(word) if _HAN.search(word) else [word]), " "]
    return parts if text[-1:].isspace() else parts[:-1]


def _characters(text: str) -> list[str]:
    """Returns the words of Chinese text, with a space on both sides of a character."""
    parts: list[str] = []
    for word in words_of(text):
        parts += [" ", word, " "] if is_han(word) else [word, " "]
    return parts if parts and is_han(text[-1]) else parts[:-1]


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
        return merged(WordGraph(tuple(self.states)))

    def _state_at(self, place: int) -> int:
        place = self._meeting(place)
        if place not in self._numbers:
            self._numbers[place] = len(self.states)
            self.states.append(State())
            self._pending.append(place)
        return self._numbers[place]

    def _meeting(self, place: int) -> int:
        """Returns where the only way on from a place leads, with no word begun.

        The ends of alternatives meet there: one state does for all of them.
        """
        node = self.nodes[place]
        while node.slot is None and node.accepts < 0:
            if node.text == " ":
                place = node.target
            elif not node.text and len(node.steps) == 1:
                (place,) = node.steps
            else:
                break
            node = self.nodes[place]
        return place

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
